"""Distance map and calibration → judgement of one cup image. Pure: the same map, the same verdict."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, Region, Verdict
from inspector.decision.calibration import Calibration

CUP_IMAGE = 384
"""Edge of the cup image, px: the regions' frame."""
MOST_REGIONS = 16
"""Regions told of one part; a cup with more is bad enough with its hottest ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What one distance map says.

    Attributes:
        defective: the image score exceeds the threshold, or is no number.
        score: image score, normalised heat.
        heat: h×w float32, normalised heat (Eq. 3); about 0 … 1 on clean cups, without upper bound.
        picture: the same heat on the cup image, S×S float32, to be looked at; None where the part is not
            defective and nothing exceeds the pixel threshold: most cups, and folding takes milliseconds.
        regions: where the heat exceeds the pixel threshold, in cup-image pixels, hottest first; never
            empty for a defective part.
    """

    defective: bool
    score: float
    heat: NDArray[np.float32]
    picture: NDArray[np.float32] | None
    regions: tuple[Region, ...]


def enlarged(heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """The heat map of an upright view in the cup image's pixels, 384×384."""
    size = (CUP_IMAGE, CUP_IMAGE)
    return np.asarray(cv2.resize(heat, size, interpolation=cv2.INTER_LINEAR), np.float32)


def judge(
    distance: NDArray[np.float32],
    calibration: Calibration,
    on_cup: Callable[[NDArray[np.float32]], NDArray[np.float32]] = enlarged,
) -> Judgement:
    """Judge one cup image by its distance map.

    Args:
        distance: h×w, D of Eq. 1, in (-∞, 0].
        calibration: the recipe's.
        on_cup: takes a heat map of the recipe's view, h×w, to one of the cup image, S×S, hotter nowhere.

    Raises:
        ValueError: the map's shape is not the position scale's.
    """
    heat = normalised(heat_map(distance, calibration.position_scale), calibration)
    score = image_score(heat, calibration.score_share)
    # Written so that a score which is no number rejects.
    defective = not score <= calibration.image_threshold
    if not defective and not heat.max() > calibration.pixel_threshold:
        return Judgement(defective, score, heat, None, ())
    # What is no number counts as nought here: it is rejected by its score, and this is for the eye.
    picture = on_cup(np.nan_to_num(heat))
    found = regions(picture, calibration.pixel_threshold)
    if defective and not found:
        found = regions(picture, float(np.nextafter(picture.max(), -np.inf)))[:1]
    return Judgement(defective, score, heat, picture, found)


def heat_map(
    distance: NDArray[np.float32], position_scale: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Eq. 2: H = -exp(D), in [-1, 0); …×h×w, each position first divided by its scale.

    Raises:
        ValueError: the scale has another shape.
    """
    if position_scale is None:
        return -np.exp(distance)
    if distance.shape[-2:] != position_scale.shape:
        raise ValueError(
            f"a map of {distance.shape[-2:]} cannot be scaled by one of {position_scale.shape}"
        )
    return np.asarray(-np.exp(distance / position_scale), np.float32)


def normalised(heat: NDArray[np.float32], calibration: Calibration) -> NDArray[np.float32]:
    """Eq. 3: (H - q_a)/(q_b - q_a)."""
    span = calibration.q_b - calibration.q_a
    return np.asarray((heat - calibration.q_a) / span, np.float32)


def image_score(heat: NDArray[np.float32], share: float) -> float:
    """Mean of the hottest ``share`` of an h×w map's positions, at least one; not a number if any is."""
    count = max(1, round(share * heat.size))
    return float(np.sort(heat, axis=None)[-count:].mean())


def regions(picture: NDArray[np.float32], threshold: float) -> tuple[Region, ...]:
    """Connected areas of a heat map on the cup image that exceed the threshold.

    Returns:
        At most 16, hottest first.
    """
    hot = (picture > threshold).astype(np.uint8)
    # Most of a cup is cold, and need not be looked through more than once.
    left, top, across, down = cv2.boundingRect(hot)
    if not across:
        return ()
    around = slice(top, top + down), slice(left, left + across)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(hot[around])
    found = []
    for label in range(1, count):
        x, y, width, height = (int(value) for value in boxes[label, :4])
        window = (slice(y, y + height), slice(x, x + width))
        peak = float(picture[around][window][labels[window] == label].max())
        found.append(Region(left + x, top + y, width, height, peak))
    return tuple(sorted(found, key=lambda region: -region.peak)[:MOST_REGIONS])


def verdict(part: PartId, judgement: Judgement, recipe: str) -> Verdict:
    """The verdict on a part whose cup image was judged.

    Args:
        part: the part the image shows.
        judgement: of that image.
        recipe: label of the recipe that judged.
    """
    return Verdict(
        part=part,
        outcome=Outcome.REJECT if judgement.defective else Outcome.PASS,
        reason=Reason.DEFECT if judgement.defective else Reason.CLEAN,
        score=judgement.score,
        regions=judgement.regions,
        recipe=recipe,
    )
