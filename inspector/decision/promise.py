"""A threshold from clean scores, and what may be promised of it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Promise:
    """A threshold with a finite-sample bound on the false-reject rate.

    Attributes:
        threshold: scores above it reject.
        false_reject_rate: expected share of clean parts rejected, over the draw of the clean pictures
            and the next part, is at most this (split-conformal bound; no distribution is assumed, only
            that the clean parts to come resemble those pictures).
        images: clean pictures it was taken from.
        wanted: the rate that was asked for.
        images_needed: pictures from which the rate asked for can be promised; 0 when it is.
    """

    threshold: float
    false_reject_rate: float
    images: int
    wanted: float
    images_needed: int


def promised_threshold(scores: NDArray[np.floating], wanted: float) -> Promise:
    """The smallest threshold that keeps the wanted false-reject rate; the largest score if none does.

    With n exchangeable clean scores the next one exceeds the k-th smallest with probability at most
    (n + 1 - k)/(n + 1). When n is too small, the largest score is taken and 1/(n + 1) promised.

    Args:
        scores: image scores of clean pictures that neither trained nor scaled the detector.
        wanted: false-reject rate asked for, above 0 and below 1.

    Raises:
        ValueError: no scores, one that is not finite, or a rate outside 0 … 1.
    """
    count = len(scores)
    if count == 0 or not np.isfinite(scores).all():
        raise ValueError("a threshold needs finite scores of clean pictures")
    if not 0 < wanted < 1:
        raise ValueError("the false-reject rate must lie between 0 and 1")
    # The tolerance keeps rounding from asking for one more than exact arithmetic would.
    rank = math.ceil((count + 1) * (1 - wanted) - 1e-9)
    kept = min(rank, count)
    return Promise(
        threshold=float(np.sort(scores)[kept - 1]),
        false_reject_rate=(count + 1 - kept) / (count + 1),
        images=count,
        wanted=wanted,
        images_needed=math.ceil(1 / wanted - 1 - 1e-9) if rank > count else 0,
    )
