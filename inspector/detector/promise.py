"""A threshold from clean scores, and what may be promised of it: order statistics, no distribution.

With n clean scores the k-th smallest is the threshold. If the clean parts to come resemble those pictures,
the share of them above it is distributed as Beta(n - k + 1, k), whatever the scores' distribution
(Wilks, 1941); ties only make it smaller. Two statements follow:

- *expected*: over the draw of the pictures and the next part, (n + 1 - k)/(n + 1) (split conformal);
- *promised*: with 95 % confidence over the draw of the pictures, at most the 95 % quantile of that Beta
  distribution (a tolerance limit). This is the one that matters: a line has one draw and lives with it.

Where the pictures also chose what is scored, the better one of two candidates, the scores are the chosen
one's and no fair draw any more. The promise holds all the same if each candidate's holds with confidence
1 - (1 - c)/2 (Bonferroni): the chosen one's is broken only in draws in which one of the two is, and these
are at most twice (1 - c)/2 of all, whatever the choice went by.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import beta

ScoredOn = Literal["held-out", "leave-one-out", "augmented views"]
"""Which clean pictures gave the scores, and with it what the promise rests on. ``held-out``: pictures
that taught nothing; proven. ``leave-one-out``: each by what the others taught; see ``calibrating``.
``augmented views``: changed copies of the only picture; they resemble each other more than clean parts
do, so that nothing is proven."""

_ROUNDING = 1e-9
"""Keeps floating point from asking for one picture more than exact arithmetic would."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A threshold with a finite-sample bound on the false-reject rate.

    Attributes:
        threshold: scores above it reject.
        false_reject_rate: what is promised: with ``confidence`` over the draw of the clean pictures, at
            most this share of clean parts is rejected.
        expected_rate: the share expected over the draw of the pictures and the next part, at most.
        confidence: of the promise.
        images: clean pictures it was taken from.
        wanted: the rate that was asked for.
        images_needed: pictures, all told, from which the rate asked for can be promised; 0 when it is.
        recorded: pictures, all told: with those left out, and with those that taught where others gave the
            scores.
        scored_on: which clean pictures gave the scores.
        left_out: pictures beside these, counted as clean cups that are rejected.
    """

    threshold: float
    false_reject_rate: float
    expected_rate: float
    confidence: float
    images: int
    wanted: float
    images_needed: int
    recorded: int
    scored_on: ScoredOn = "held-out"
    left_out: int = 0


def promised_threshold(
    scores: NDArray[np.floating],
    wanted: float,
    confidence: float = 0.95,
    scored_on: ScoredOn = "held-out",
    left_out: int = 0,
    candidates: int = 1,
) -> Promise:
    """The smallest threshold of which the wanted false-reject rate can be promised.

    When there are too few scores even for the largest, it is taken, and what it does keep is promised.

    Args:
        scores: image scores of clean pictures.
        wanted: false-reject rate asked for, above 0 and below 1.
        confidence: asked for, above 0 and below 1.
        scored_on: which pictures these are.
        left_out: pictures that the guard left out, or that vision refused as the line would. The first
            may be clean cups all the same, the second are, and will be rejected: a threshold that forgot
            them would promise what nobody measured, so each counts as one above every score.
        candidates: how many were compared on these pictures, of which this is the one chosen; 1 where
            nothing was.

    Raises:
        ValueError: no scores, one that is not finite, or a rate or confidence outside 0 … 1.
    """
    count = len(scores)
    if count == 0 or not np.isfinite(scores).all():
        raise ValueError("a threshold needs finite scores of clean pictures")
    if not (0 < wanted < 1 and 0 < confidence < 1):
        raise ValueError("the false-reject rate and the confidence must lie between 0 and 1")
    ranks, everyone = np.arange(1, count + 1), count + left_out
    each = 1 - (1 - confidence) / candidates
    limits = beta.ppf(each, everyone + 1 - ranks, ranks)  # falls with the rank
    kept = min(int(np.count_nonzero(limits > wanted + _ROUNDING)), count - 1)
    proven = scored_on != "augmented views"
    return Promise(
        threshold=float(np.sort(scores)[kept]),
        false_reject_rate=float(limits[kept]) if proven else 1.0,
        expected_rate=(everyone - kept) / (everyone + 1) if proven else 1.0,
        confidence=confidence,
        images=count,
        wanted=wanted,
        images_needed=_needed(wanted, each, left_out) if limits[kept] > wanted + _ROUNDING else 0,
        recorded=everyone,
        scored_on=scored_on,
        left_out=left_out,
    )


@cache  # a study of many draws asks the same each time
def _needed(wanted: float, confidence: float, left_out: int) -> int:
    """From how many pictures, so many of them left out, the largest score keeps the rate."""

    def too_much(rank: float) -> float:
        return float(beta.ppf(confidence, left_out + 1, rank)) - wanted

    rank = float(brentq(too_much, 1e-3, 100 * (left_out + 1) / wanted))
    return left_out + math.ceil(rank - _ROUNDING)
