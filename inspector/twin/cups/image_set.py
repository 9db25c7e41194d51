"""Writes drawn cups to disk: frames, masks and truth in the layout of MVTec AD.

``train/good`` for clean cups, ``test/<kind>`` with ``ground_truth/<kind>`` for the others,
``cup_mask/…`` beside them, and one ``truth-train.json`` or ``truth-test.json``.
"""

import hashlib
import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from inspector.core.errors import InspectorError
from inspector.core.files import write_atomically
from inspector.twin.cups.arrays import Picture
from inspector.twin.cups.camera import through_mosaic
from inspector.twin.cups.cup_types import CupType
from inspector.twin.cups.defect_kinds import DefectKind
from inspector.twin.cups.picture import WET_SHARE, CupPicture, draw_cup
from inspector.twin.cups.truth import CupTruth

_IMAGE_SET: Final = 1
"""Keeps the cups of an image set apart from those of a stream of the same seed."""
_SEVERITIES: Final = (0.3, 1.0)
_GOOD: Final = "good"
_OPTIONS: Final = {
    ".jpg": (
        cv2.IMWRITE_JPEG_QUALITY,
        95,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ),
    # Frames are noise and masks are runs: looking for longer matches takes time and gains nothing.
    ".png": (
        cv2.IMWRITE_PNG_COMPRESSION,
        1,
        cv2.IMWRITE_PNG_STRATEGY,
        cv2.IMWRITE_PNG_STRATEGY_RLE,
    ),
}

Record = dict[str, Any]
"""What a truth file says about one picture, ready for JSON."""


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
    wet_share: float = WET_SHARE,
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
        wet_share: how many cups carry drops, 0 … 1.

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
        picture = draw_cup(
            cup_type,
            int(random.integers(2**62)),
            defect=kind,
            severity=severity,
            wet_share=wet_share,
        )
        place = place_of(part, kind)
        records.append(write_cup(folder, place, f"{number:04d}", picture, frame_format))
        yield folder / records[-1]["frame"]
    write_records(folder, part, records)


def place_of(part: str, kind: DefectKind | None) -> Path:
    """Where a set keeps its frames of one kind, such as ``test/crack``."""
    return Path(part) / (kind or _GOOD)


def truth_file(folder: Path, part: str) -> Path:
    """Where a set keeps what is known about its cups."""
    return folder / f"truth-{part}.json"


def write_records(folder: Path, part: str, records: list[Record]) -> None:
    """Writes what is known about the cups of ``train`` or ``test``.

    Raises:
        ImageWriteError: the file cannot be written.
    """
    write_file(truth_file(folder, part), (json.dumps(records, indent=1) + "\n").encode())


def write_cup(
    folder: Path, place: Path, name: str, picture: CupPicture, frame_format: FrameFormat
) -> Record:
    """Writes a cup's frame, as the colour camera delivers it, and its masks.

    Args:
        folder: of the set.
        place: of the frame, below the folder.
        name: of the frame, without suffix.
        picture: what to write.
        frame_format: of the frame.

    Returns:
        What the truth file says about it: the files' paths below the folder and their SHA-256 by
        role, and the truth.

    Raises:
        ImageWriteError: a file cannot be written.
    """
    truth, mask = picture.truth, f"{name}_mask.png"
    frame = (place / f"{name}.{frame_format}", through_mosaic(picture.frame))
    files = {"frame": frame, "cup_mask": ("cup_mask" / place / mask, truth.cup_mask * 255)}
    if truth.defective:
        files["defect_mask"] = (
            "ground_truth" / place.relative_to("test") / mask,
            truth.defect_mask * 255,
        )
    paths = {role: str(path) for role, (path, _) in files.items()}
    digests = {role: write_picture(folder / path, shown) for role, (path, shown) in files.items()}
    return {**paths, "sha256": digests, **_described(truth)}


def _described(truth: CupTruth) -> Record:
    return {
        "cup_type": truth.cup_type,
        "seed": truth.seed,
        "take": truth.take,
        "angle_deg": round(truth.angle_deg, 4),
        "centre_xy": [round(value, 3) for value in truth.centre_xy],
        "rim_radius_px": round(truth.rim_radius_px, 3),
        "defects": [
            {"kind": defect.kind, "severity": round(defect.severity, 4), "area_px": defect.area_px}
            for defect in truth.defects
        ],
    }


def write_picture(path: Path, picture: Picture) -> str:
    """Writes an RGB (H×W×3) or grey (H×W) uint8 picture as JPEG or PNG; returns its SHA-256.

    Raises:
        ImageWriteError: the file cannot be written.
    """
    if path.suffix not in _OPTIONS:
        raise ImageWriteError(f"cannot write {path}", f"end its name in {' or '.join(_OPTIONS)}")
    stored = picture[..., ::-1] if picture.ndim == 3 else picture
    _, encoded = cv2.imencode(path.suffix, np.ascontiguousarray(stored), _OPTIONS[path.suffix])
    content = encoded.tobytes()
    write_file(path, content)
    return hashlib.sha256(content).hexdigest()


def write_file(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, and makes its folder.

    Raises:
        ImageWriteError: it cannot be written.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        raise ImageWriteError(
            f"cannot write {path}: {error.strerror}", "check the folder's rights and free space"
        ) from error
