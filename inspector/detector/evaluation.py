"""How well a recipe tells defective cups from clean ones: judged by what the line itself runs."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import RecipeError
from inspector.decision import Calibration, judge
from inspector.detector.datasets import GOOD, Labelled
from inspector.detector.figures import Figures, figures, image_figures
from inspector.detector.pictures import PictureSet, check_alike, read_mask, survey
from inspector.detector.preparation import PIXEL_FORMAT, OnProgress, Steps
from inspector.recipe.manifest import ViewEntry
from inspector.vision import (
    SIZE,
    UPRIGHT_CUP,
    Lean,
    OrientationReference,
    Refusal,
    Segment,
    cut_out,
    heat_on_cup,
    prepare,
    whole,
)

TRUTH_SIDE = SIZE
"""Pixel figures of whole pictures are counted with the longer side reduced to this: as fine as a cup
image, and finer than any heat map."""

Distances = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""n×R×K×3 uint8 views to n×h×w distance maps."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One test picture after vision.

    Attributes:
        name: kind and file, for captions.
        kind: ``good`` or a defect.
        view: what the networks compare, R×K×3 uint8 RGB; None where vision refused the picture.
        picture: what is looked at, h×w×3 uint8 RGB: the cup image, or the whole picture; likewise.
        mask: where it is defective, h×w bool; likewise.
        lean: that a polar view was unrolled with.
    """

    name: str
    kind: str
    view: NDArray[np.uint8] | None
    picture: NDArray[np.uint8] | None
    mask: NDArray[np.bool_] | None
    lean: Lean = UPRIGHT_CUP


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One test picture that the detector has judged.

    Attributes:
        name: as in :class:`Seen`.
        kind: likewise.
        picture: likewise.
        mask: likewise.
        heat: normalised heat on the picture, h×w float32.
        score: image score.
        rejected: the score exceeds the threshold.
    """

    name: str
    kind: str
    picture: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    heat: NDArray[np.float32]
    score: float
    rejected: bool


@dataclass(frozen=True, slots=True)
class KindResult:
    """One kind of picture (``good`` or a defect): how many, and what became of them.

    Attributes:
        images: how many.
        rejected: of them, for whatever reason.
        refused: of them, by vision.
        image_auroc: how well this kind's scores are told from the clean ones'; None for the clean
            ones themselves and for a kind of which nothing could be judged.
    """

    images: int
    rejected: int
    refused: int
    image_auroc: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a set of pictures says of a recipe.

    Attributes:
        figures: over the pictures that could be judged.
        detection_rate: share of defective ones rejected, for whatever reason: refused by vision, too.
        false_reject_rate: share of clean ones rejected, for whatever reason.
        kinds: each kind's counts.
        judged: the pictures themselves, about 1 MB each; what sheets are made of.
    """

    figures: Figures
    detection_rate: float
    false_reject_rate: float
    kinds: dict[str, KindResult]
    judged: tuple[Judged, ...]

    def as_json(self) -> dict[str, object]:
        """Plain values, without the pictures."""
        return {
            **asdict(self.figures),
            "detection_rate": self.detection_rate,
            "false_reject_rate": self.false_reject_rate,
            "kinds": {kind: asdict(counts) for kind, counts in self.kinds.items()},
        }


def seen_cups(
    labelled: Sequence[Labelled],
    segment: Segment,
    reference: OrientationReference | None,
    view: ViewEntry,
    on_progress: OnProgress = lambda _done, _of: None,
    *,
    bits: int | None = None,
) -> Iterator[Seen]:
    """Every test frame as the line's vision sees it; masks are cut out and turned as their cups.

    ``bits`` are those of the clean pictures, see :func:`survey`.

    Raises:
        RecipeError: a picture or mask cannot be used; all are opened before the first is seen.
    """
    steps = Steps(2 * len(labelled), on_progress)
    pictures = _opened(labelled, steps, bits)
    for one in labelled:
        raw = pictures.mosaic(one.path)
        cup = prepare(raw, PIXEL_FORMAT, segment, reference, view=view)
        if isinstance(cup, Refusal):
            yield Seen(_name(one), one.kind, None, None, None)
        else:
            mask = np.zeros((SIZE, SIZE), np.bool_)
            if one.mask is not None:
                marked = read_mask(one.mask, (raw.shape[0], raw.shape[1]))
                mask = _marked(cut_out(marked * np.uint8(255), cup))
            yield Seen(_name(one), one.kind, cup.view, cup.image(), mask, cup.lean)
        steps()


def seen_whole(
    labelled: Sequence[Labelled],
    view: ViewEntry,
    on_progress: OnProgress = lambda _done, _of: None,
    *,
    bits: int | None = None,
    aspect: float | None = None,
) -> Iterator[Seen]:
    """Every test picture as it is, for a recipe of whole pictures; ``bits`` as in :func:`seen_cups`.

    ``aspect`` is the clean pictures' width to height, see :func:`check_alike`.

    Raises:
        RecipeError: a picture or mask cannot be used, or a picture has another shape than the clean ones
            or, where theirs is not known, than the rest.
    """
    steps = Steps(2 * len(labelled), on_progress)
    pictures = _opened(labelled, steps, bits)
    check_alike(pictures, aspect)
    for one in labelled:
        colour = pictures.colour(one.path)
        rows, columns = colour.shape[:2]
        scale = min(1.0, TRUTH_SIDE / max(rows, columns))
        shape = max(round(rows * scale), 1), max(round(columns * scale), 1)
        mask = np.zeros(shape, np.bool_)
        if one.mask is not None:
            marked = read_mask(one.mask, (rows, columns)) * np.uint8(255)
            mask = _marked(cv2.resize(marked, shape[::-1], interpolation=cv2.INTER_AREA))
        seen = whole(colour, (view.rows, view.columns))
        yield Seen(_name(one), one.kind, seen, whole(colour, shape), mask)
        steps()


def evaluate(
    calibration: Calibration, view: ViewEntry, pictures: Iterable[Seen], distances: Distances
) -> Evaluation:
    """Judge pictures and compare with the truth.

    Pixel figures are counted in the frame of what is looked at: the cup image, 384×384, whatever the
    view; or the whole picture, its longer side reduced to 384 px.

    Args:
        calibration: what decides.
        view: what the pictures show.
        pictures: of :func:`seen_cups` or :func:`seen_whole`.
        distances: the detector.

    Raises:
        RecipeError: the pictures do not leave both clean and defective ones, or no mask marks anything.
    """
    images, rejected, refused = Counter[str](), Counter[str](), Counter[str]()
    judged: list[Judged] = []
    for seen in pictures:
        images[seen.kind] += 1
        if seen.view is None or seen.picture is None or seen.mask is None:
            refused[seen.kind] += 1
            rejected[seen.kind] += 1
            continue
        on_picture = partial(_on_picture, view=view, shape=seen.mask.shape, lean=seen.lean)
        result = judge(distances(seen.view[None])[0], calibration, on_picture)
        rejected[seen.kind] += result.defective
        # A line folds the heat of hot cups alone; pixel figures count them all.
        heat = result.picture if result.picture is not None else on_picture(result.heat)
        judged.append(
            Judged(
                seen.name,
                seen.kind,
                seen.picture,
                seen.mask,
                heat,
                result.score,
                result.defective,
            )
        )
    if len({one.kind == GOOD for one in judged}) < 2:
        raise RecipeError(
            f"of {images.total()} test pictures, {refused.total()} of them refused by vision, not both "
            "clean and defective ones can be judged",
            "put clean ones into test/good and defective ones beside it",
        )
    if not any(one.mask.any() for one in judged):
        raise RecipeError(
            "no mask marks a single pixel", "give masks that are bright where defective"
        )
    bad = [kind for kind in images if kind != GOOD]
    return Evaluation(
        figures=figures(
            [one.score for one in judged],
            [one.kind != GOOD for one in judged],
            [one.heat for one in judged],
            [one.mask for one in judged],
            calibration.image_threshold,
            calibration.pixel_threshold,
        ),
        detection_rate=sum(rejected[k] for k in bad) / sum(images[k] for k in bad),
        false_reject_rate=rejected[GOOD] / images[GOOD],
        kinds={
            kind: KindResult(images[kind], rejected[kind], refused[kind], _told_apart(kind, judged))
            for kind in sorted(images)
        },
        judged=tuple(judged),
    )


def _opened(
    labelled: Sequence[Labelled], on_picture: Callable[[], None], bits: int | None
) -> PictureSet:
    """All test pictures and masks, opened once."""
    pictures = survey([one.path for one in labelled], on_picture, bits)
    for one, shape in zip(labelled, pictures.shapes, strict=True):
        if one.mask is not None:
            read_mask(one.mask, shape)
    return pictures


def _told_apart(kind: str, judged: Sequence[Judged]) -> float | None:
    """Image AUROC of one kind of defect against the clean pictures."""
    compared = [one for one in judged if one.kind in (kind, GOOD)]
    labels = [one.kind != GOOD for one in compared]
    if not any(labels):
        return None
    return image_figures([one.score for one in compared], labels)[0]


def _on_picture(
    heat: NDArray[np.float32], view: ViewEntry, shape: tuple[int, ...], lean: Lean
) -> NDArray[np.float32]:
    """A heat map of a view in the pixels of what is looked at."""
    if view.kind == "whole":
        rows, columns = shape
        return np.asarray(cv2.resize(heat, (columns, rows)), np.float32)
    return heat_on_cup(heat, view, lean)


def _marked(coverage: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels that the defect covers by half; where it is finer than that, those it touches."""
    by_half = coverage > 127
    return by_half if by_half.any() else coverage > 0


def _name(one: Labelled) -> str:
    return f"{one.kind}/{one.path.stem}"
