"""The figures of anomaly detection, from scores and heat maps and the truth: §5's, and two beside them.

The best F1 over all thresholds, which the paper reports, flatters: the threshold is chosen on the very
pictures that it is then measured on, and where most pictures are defective, calling all of them defective
scores well. The F1 at the calibrated threshold stands beside it, and is what a line gets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

PRO_LIMIT = 0.3
"""False-positive rate up to which AU-PRO is taken, as Bergmann et al. take it."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How well scores and heat maps tell defective from clean; all from 0 to 1.

    Attributes:
        image_auroc: area under the images' ROC curve.
        image_f1_best: of defective images, best over all thresholds.
        image_f1: the same at the calibrated threshold.
        pixel_auroc: over the pixels of all pictures.
        pixel_f1_best: of defective pixels, best over all thresholds.
        pixel_f1: the same at the calibrated threshold.
        au_pro: area under the per-region overlap, up to a false-positive rate of 0.3, as a share of
            0.3: every region counts the same, however small.
    """

    image_auroc: float
    image_f1_best: float
    image_f1: float
    pixel_auroc: float
    pixel_f1_best: float
    pixel_f1: float
    au_pro: float


def figures(
    scores: Sequence[float],
    labels: Sequence[bool],
    heats: Sequence[NDArray[np.float32]],
    masks: Sequence[NDArray[np.bool_]],
    image_threshold: float,
    pixel_threshold: float,
) -> Figures:
    """All figures of n judged pictures.

    Args:
        scores: image scores; one that is no number counts as the highest, as it rejects.
        labels: True for a defective picture.
        heats: h×w each, any size.
        masks: True where defective, each of its heat map's size.
        image_threshold: scores above it reject.
        pixel_threshold: heat above it is marked.

    Raises:
        ValueError: pictures or pixels are all clean or all defective, so that nothing can be told.
    """
    image = _image_curve(scores, labels)
    pixel = _Curve(
        np.concatenate([heat.ravel() for heat in heats]),
        np.concatenate([mask.ravel() for mask in masks]),
        _region_shares(masks),
    )
    return Figures(
        image_auroc=image.area(),
        image_f1_best=image.best_f1(),
        image_f1=image.f1_above(image_threshold),
        pixel_auroc=pixel.area(),
        pixel_f1_best=pixel.best_f1(),
        pixel_f1=pixel.f1_above(pixel_threshold),
        au_pro=pixel.overlap_area(),
    )


def image_figures(scores: Sequence[float], labels: Sequence[bool]) -> tuple[float, float]:
    """Image AUROC and best image F1 alone, of n scores and whether they are of defective pictures."""
    curve = _image_curve(scores, labels)
    return curve.area(), curve.best_f1()


class _Curve:
    """What is found as the threshold falls, one point a distinct score: one sorting serves all figures.

    Args:
        scores: n.
        truth: n bool.
        shares: n, part of its region that a defective position is.
    """

    def __init__(
        self,
        scores: NDArray[np.floating],
        truth: NDArray[np.bool_],
        shares: NDArray[np.floating] | NDArray[np.bool_],
    ) -> None:
        if truth.all() or not truth.any():
            raise ValueError("clean and defective ones are both needed")
        order = np.argsort(scores)[::-1]
        falling = scores[order]
        # Equal scores cannot be told apart: a point stands where one of them ends.
        ends = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(falling) - 1)
        self._thresholds = falling[ends]
        self._found = np.cumsum(truth[order])[ends]
        self._false = ends + 1 - self._found
        self._overlap = np.cumsum(shares[order], dtype=np.float64)[ends]

    def area(self) -> float:
        """Under the ROC curve."""
        found = np.append(0, self._found) / self._found[-1]
        return float(np.trapezoid(found, np.append(0, self._false) / self._false[-1]))

    def overlap_area(self) -> float:
        """Under the mean share of each region found, up to the limit, divided by the limit."""
        overlap = np.append(0.0, self._overlap) / self._overlap[-1]
        false = np.append(0, self._false) / self._false[-1]
        end = int(np.searchsorted(false, PRO_LIMIT))
        at_limit = np.interp(PRO_LIMIT, false[end - 1 : end + 1], overlap[end - 1 : end + 1])
        area = np.trapezoid(np.append(overlap[:end], at_limit), np.append(false[:end], PRO_LIMIT))
        return float(area) / PRO_LIMIT

    def best_f1(self) -> float:
        """Over all thresholds."""
        return float(self._f1().max())

    def f1_above(self, threshold: float) -> float:
        """When what exceeds the threshold is called defective."""
        above = int(np.count_nonzero(self._thresholds > threshold))
        return float(self._f1()[above - 1]) if above else 0.0

    def _f1(self) -> NDArray[np.float64]:
        # 2·TP/(2·TP + FP + FN), and TP + FN are all there are.
        called_or_true = self._found + self._false + self._found[-1]
        return np.asarray(2.0 * self._found / called_or_true, np.float64)


def _image_curve(scores: Sequence[float], labels: Sequence[bool]) -> _Curve:
    truth = np.asarray(labels, np.bool_)
    return _Curve(np.nan_to_num(np.asarray(scores, np.float64), nan=np.inf), truth, truth)


def _region_shares(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.float32]:
    """For every pixel of all masks: 1 over the size of its (8-connected) region, 0 where clean."""
    shares = []
    for mask in masks:
        _, labels, sizes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        # Where all of a picture is marked, nothing is left of what is around.
        share = 1.0 / np.maximum(sizes[:, cv2.CC_STAT_AREA], 1).astype(np.float32)
        share[0] = 0.0
        shares.append(share[labels].ravel())
    return np.concatenate(shares)
