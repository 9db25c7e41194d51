"""How well a recipe tells defective cups from clean ones: judged by what the line itself runs."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from inspector.core.errors import RecipeError
from inspector.decision import Calibration, judge
from inspector.detector.preparation import PIXEL_FORMAT, LabelledFrame, read_frame
from inspector.recipe.manifest import ViewEntry
from inspector.vision import (
    CupImage,
    OrientationReference,
    Refusal,
    Segment,
    heat_on_cup,
    prepare,
)

_MASK_SIDE = 192
"""Pixel figures are counted at this size: half a cup image, finer than the maps."""


@dataclass(frozen=True, slots=True)
class KindResult:
    """One kind of picture (``good`` or a defect)."""

    images: int
    rejected: int
    refused: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a set of pictures says of a recipe.

    Attributes:
        image_auroc: clean against defective, over cups that could be judged.
        pixel_auroc: over all pixels of their maps.
        detection_rate: share of defective cups rejected, for whatever reason.
        false_reject_rate: share of clean cups rejected, for whatever reason.
        kinds: each kind's counts.
    """

    image_auroc: float
    pixel_auroc: float
    detection_rate: float
    false_reject_rate: float
    kinds: dict[str, KindResult]

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One test picture after vision; ``view`` and ``mask`` are None where vision refused it."""

    kind: str
    view: NDArray[np.uint8] | None
    mask: NDArray[np.bool_] | None


Distances = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""n×R×K×3 uint8 views to n×h×w distance maps."""


def seen_frames(
    frames: Iterable[LabelledFrame],
    segment: Segment,
    reference: OrientationReference,
    view: ViewEntry,
) -> Iterator[Seen]:
    """Every test frame as the line's vision sees it."""
    for kind, path, mask_path in frames:
        cup = prepare(read_frame(path), PIXEL_FORMAT, segment, reference, view=view)
        if isinstance(cup, Refusal):
            yield Seen(kind, None, None)
        else:
            yield Seen(kind, cup.view, _mask(cup, mask_path))


def _mask(cup: CupImage, path: Path | None) -> NDArray[np.bool_]:
    """A frame's defect mask, turned and cut out like its cup."""
    if path is None:
        return np.zeros((_MASK_SIDE, _MASK_SIDE), np.bool_)
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise RecipeError(f"{path} cannot be read", "restore the mask")
    side = cup.image.shape[0]
    upright = cv2.warpAffine(
        mask, cup.to_frame, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    small = cv2.resize(upright, (_MASK_SIDE, _MASK_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small > 127, np.bool_)


def evaluate(
    calibration: Calibration, view: ViewEntry, pictures: list[Seen], distances: Distances
) -> Evaluation:
    """Judge pictures and compare with the truth.

    Args:
        calibration: what decides.
        view: what the pictures show.
        pictures: of :func:`seen_frames`.
        distances: the detector.

    Raises:
        RecipeError: the pictures do not hold both clean and defective cups.
    """

    def on_cup(heat: NDArray[np.float32]) -> NDArray[np.float32]:
        return heat_on_cup(heat, view)

    images, rejected, refused = Counter[str](), Counter[str](), Counter[str]()
    scores, labels, heats, masks = [], [], [], []
    for seen in pictures:
        images[seen.kind] += 1
        if seen.view is None or seen.mask is None:
            refused[seen.kind] += 1
            rejected[seen.kind] += 1
            continue
        result = judge(distances(seen.view[None])[0], calibration, on_cup)
        rejected[seen.kind] += result.defective
        scores.append(result.score)
        labels.append(seen.kind != "good")
        heats.append(cv2.resize(result.picture, (_MASK_SIDE, _MASK_SIDE)))
        masks.append(seen.mask)
    if len(set(labels)) < 2:
        raise RecipeError(
            "the test pictures do not hold both clean and defective cups",
            "put clean cups into test/good and defective ones beside it",
        )
    bad = [kind for kind in images if kind != "good"]
    return Evaluation(
        image_auroc=float(roc_auc_score(labels, scores)),
        pixel_auroc=float(roc_auc_score(np.ravel(masks), np.ravel(heats))),
        detection_rate=sum(rejected[k] for k in bad) / sum(images[k] for k in bad),
        false_reject_rate=rejected["good"] / images["good"] if images["good"] else 0.0,
        kinds={k: KindResult(images[k], rejected[k], refused[k]) for k in sorted(images)},
    )
