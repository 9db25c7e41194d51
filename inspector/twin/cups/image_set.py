"""Writes drawn cups to disk: frames, masks and truth in the layout of MVTec AD.

``train/good`` for clean cups, ``test/<kind>`` with ``ground_truth/<kind>`` for the others,
``cup_mask/…`` beside them, and one ``truth-train.json`` or ``truth-test.json``.
"""

import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from inspector.core.errors import InspectorError
from inspector.twin.cups.arrays import Picture
from inspector.twin.cups.cup_types import CupType
from inspector.twin.cups.defect_kinds import DefectKind
from inspector.twin.cups.picture import CupPicture, draw_cup
from inspector.twin.cups.truth import CupTruth

_IMAGE_SET: Final = 1
"""Keeps the cups of an image set apart from those of a stream of the same seed."""
_SEVERITIES: Final = (0.3, 1.0)
_GOOD: Final = "good"


class FrameFormat(StrEnum):
    """File format of the frames; masks are always PNG."""

    JPG = "jpg"
    PNG = "png"


class ImageWriteError(InspectorError):
    """A picture cannot be written."""


def write_image_set(
    folder: Path,
    cup_type: CupType,
    count: int,
    seed: int,
    *,
    defects: bool,
    frame_format: FrameFormat = FrameFormat.JPG,
) -> Iterator[Path]:
    """Draws and writes cups one by one; yields the path of each frame once it is written.

    Args:
        folder: where the set goes; made if it is not there.
        cup_type: of all cups.
        count: how many.
        seed: the same seed gives the same cups.
        defects: False writes clean cups to ``train/good``; True writes to ``test``, in turn a
            clean cup and one of each kind of defect.
        frame_format: JPEG (quality 95, full colour resolution) or PNG.

    Raises:
        ImageWriteError: a file cannot be written.
    """
    part = "test" if defects else "train"
    random = np.random.default_rng((seed, cup_type.number, _IMAGE_SET, int(defects)))
    kinds: tuple[DefectKind | None, ...] = (None, *DefectKind) if defects else (None,)
    records = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        severity = float(random.uniform(*_SEVERITIES))
        picture = draw_cup(cup_type, int(random.integers(2**62)), defect=kind, severity=severity)
        place = Path(part) / (kind or _GOOD)
        records.append(_write_cup(folder, place, f"{number:04d}", picture, frame_format))
        yield folder / str(records[-1]["frame"])
    (folder / f"truth-{part}.json").write_text(json.dumps(records, indent=1) + "\n")


def _write_cup(
    folder: Path, place: Path, name: str, picture: CupPicture, frame_format: FrameFormat
) -> dict[str, object]:
    """Writes one cup's files and returns what the truth file says about it."""
    frame = place / f"{name}.{frame_format}"
    cup_mask = Path("cup_mask") / place / f"{name}_mask.png"
    _write(folder / frame, picture.frame)
    _write(folder / cup_mask, picture.truth.cup_mask * 255)
    record = {"frame": str(frame), "cup_mask": str(cup_mask), **_described(picture.truth)}
    if picture.truth.defective:
        defect_mask = Path("ground_truth") / place.name / f"{name}_mask.png"
        _write(folder / defect_mask, picture.truth.defect_mask * 255)
        record["defect_mask"] = str(defect_mask)
    return record


def _described(truth: CupTruth) -> dict[str, object]:
    return {
        "cup_type": truth.cup_type,
        "seed": truth.seed,
        "angle_deg": round(truth.angle_deg, 4),
        "centre_xy": [round(value, 3) for value in truth.centre_xy],
        "rim_radius_px": round(truth.rim_radius_px, 3),
        "defects": [
            {"kind": defect.kind, "severity": round(defect.severity, 4), "area_px": defect.area_px}
            for defect in truth.defects
        ],
    }


def _write(path: Path, picture: Picture) -> None:
    """Writes an RGB or grey picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = picture[..., ::-1] if picture.ndim == 3 else picture
    options = (
        [
            cv2.IMWRITE_JPEG_QUALITY,
            95,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ]
        if path.suffix == ".jpg"
        else [cv2.IMWRITE_PNG_COMPRESSION, 1]
    )
    if not cv2.imwrite(str(path), np.ascontiguousarray(stored), options):
        raise ImageWriteError(f"cannot write {path}", "check the folder's rights and free space")
