"""The numbers of a decision, from clean pictures alone (§4.1; notes on q_a, q_b and the score).

The distances come from pictures that taught nothing (held out: :func:`calibrate`), or, where pictures are
too few to spare any, from each picture as a memory bank of the others sees it (leave-one-out:
:func:`calibrate_left_out`).

Why leaving one out may be trusted with a bank: a part to come is judged by the bank of all n pictures. Were
it one of them (full conformal prediction, where the promise is proven), each picture would be compared
with one more than it was, and a nearest patch can only come nearer by that: all their scores, and the
threshold, would be no higher. So the threshold is on the safe side, the more so the fewer the pictures.
This holds of a bank that keeps all patches, without position scale; for a chosen part of the patches, and
with a scale, the promise is measured (``tests/measure/promises.py``), not proven.
"""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.decision import Calibration, heat_map, image_score, normalised
from inspector.detector.promise import Promise, ScoredOn, promised_threshold
from inspector.recipe.view import cup_patches

QUANTILE_A, QUANTILE_B = 0.9, 0.995
"""Of the heat on clean pictures; those of EfficientAD (Batzner et al., 2023)."""
SCORE_SHARE = 0.01
"""Share of positions averaged into the image score: steadier than the maximum."""
_QUIETEST = 0.5
"""No position counts as quieter than this part of the median one."""
_DOUBT = 8
"""Pictures at which a scale counts half; see :func:`_trusted`."""

Maps = NDArray[np.float32]


def position_scale(distances: Maps) -> Maps:
    """How much clean cups differ at each position, relative to the median position.

    Args:
        distances: n×h×w of clean pictures, D of Eq. 1.

    Returns:
        h×w, smoothed over 3×3 positions, nearer to 1 the fewer the pictures, at least a half.

    Raises:
        ValueError: the pictures are all alike.
    """
    return _trusted(cv2.blur(-distances.mean(axis=0), (3, 3)), len(distances))


def round_scale(distances: Maps) -> Maps:
    """The same for round views, whose patches beside the cup tell nothing, not of their neighbours either.

    Args:
        distances: n×h×w of clean pictures, D of Eq. 1.

    Returns:
        h×w; 1 beside the cup.

    Raises:
        ValueError: the pictures are all alike.
    """
    rows, columns = distances.shape[1:]
    shown = np.zeros((rows, columns), np.float32)
    shown.flat[cup_patches((rows, columns))] = 1
    on_cup = shown > 0
    spread = cv2.blur(-distances.mean(axis=0) * shown, (3, 3))[on_cup]
    scale = np.ones_like(shown)
    scale[on_cup] = _trusted(spread / cv2.blur(shown, (3, 3))[on_cup], len(distances))
    return scale


def radius_scale(distances: Maps) -> Maps:
    """The same for polar views: how far clean cups ever go at each radius, relative to the median one.

    Water drops and the rim's shine come at any angle, so all angles of a radius share one scale, and it
    comes from their greatest distance, since the image score is the hottest position. It is the root of it:
    the greatest of a few clean cups is itself a chance, and defects are hotter, too, where clean cups
    are. On development cups that told more apart than the greatest distance or none
    (``docs/measurements/detector-choices.md``).

    Args:
        distances: n×h×w of clean pictures, D of Eq. 1.

    Returns:
        h×w, the same all along a row, nearer to 1 the fewer the pictures, at least a half.

    Raises:
        ValueError: the pictures are all alike.
    """
    scale = _trusted(np.sqrt(np.maximum(-distances.min(axis=(0, 2)), 0)), len(distances))
    return np.asarray(np.repeat(scale[:, None], distances.shape[2], axis=1), np.float32)


def _trusted(spread: NDArray[np.floating], pictures: int) -> Maps:
    """Relative to the median, as far as this many pictures can be trusted to tell.

    An estimate from n pictures is best drawn back to what holds without it by n/(n + v), where v is its
    variance from picture to picture in units of the true variance between positions. v = 8 is a guess
    on the careful side: five pictures then count for 0.38, eighty-four for 0.91. The scale is a ratio, so
    it is its logarithm that is drawn back.
    """
    typical = np.median(spread)
    if not typical > 0:
        raise ValueError("the clean pictures are all alike")
    # Where all pictures are the same, rounding may leave a distance on the other side of nought.
    relative = (np.maximum(spread, 0) / typical) ** (pictures / (pictures + _DOUBT))
    return np.asarray(np.maximum(relative, _QUIETEST), np.float32)


def calibrate(
    distances: Maps,
    scale: Maps | None,
    wanted: float,
    score_share: float = SCORE_SHARE,
    scored_on: ScoredOn = "held-out",
    left_out: int = 0,
    candidates: int = 1,
) -> tuple[Calibration, Promise]:
    """Fit Eq. 3 and the thresholds on clean pictures.

    Eq. 3 only shifts and stretches the score, so fitting it on the same pictures as the threshold
    leaves the promise intact; the position scale must come from other pictures.

    Args:
        distances: n×h×w of clean pictures that taught nothing.
        scale: from :func:`position_scale` or another scale on other pictures; None to use none.
        wanted: false-reject rate asked for.
        score_share: see ``Calibration``.
        scored_on: what the pictures are, if not held out.
        left_out: pictures beside these; see ``promised_threshold``.
        candidates: likewise.

    Returns:
        The calibration, and what may be promised of its image threshold.

    Raises:
        ValueError: no pictures, or they are all alike.
    """
    heat = heat_map(distances, scale)
    return _fitted(heat, scale, wanted, score_share, scored_on, left_out, candidates)


def calibrate_left_out(
    distances: Maps,
    scale_of: Callable[[Maps], Maps] | None,
    wanted: float,
    score_share: float = SCORE_SHARE,
    left_out: int = 0,
    candidates: int = 1,
) -> tuple[Calibration, Promise]:
    """The same from leave-one-out maps alone, the position scale too.

    A scale from all of them would know the very extremes it is to judge: each row's greatest distance,
    divided by itself, is ordinary, and a new cup's is not. So the scale is left out as well: every
    picture's heat is scaled by what the other maps say, as a new cup's will be by what all of them say.

    Args:
        distances: n×h×w of ``leave_one_out``, at least two pictures.
        scale_of: :func:`position_scale`, :func:`round_scale` or :func:`radius_scale`; None to use none.
        wanted: false-reject rate asked for.
        score_share: see ``Calibration``.
        left_out: pictures beside these; see ``promised_threshold``.
        candidates: likewise.

    Returns:
        The calibration, its scale from all the maps; and what may be promised of its threshold.

    Raises:
        ValueError: fewer than two pictures, or they are all alike.
    """
    if len(distances) < 2:
        raise ValueError("leaving one out takes at least two pictures")
    if scale_of is None:
        return calibrate(
            distances, None, wanted, score_share, "leave-one-out", left_out, candidates
        )
    others = (np.delete(distances, number, axis=0) for number in range(len(distances)))
    heat = [heat_map(one, scale_of(rest)) for one, rest in zip(distances, others, strict=True)]
    scale = scale_of(distances)
    return _fitted(
        np.stack(heat), scale, wanted, score_share, "leave-one-out", left_out, candidates
    )


def _fitted(
    heat: Maps,
    scale: Maps | None,
    wanted: float,
    score_share: float,
    scored_on: ScoredOn,
    left_out: int,
    candidates: int,
) -> tuple[Calibration, Promise]:
    # Of a round view that is with what is beside the cup, as the line's score takes its share of all
    # positions: D is 0 there, the coldest there is, so that it is never among the hottest, and Eq. 3 with
    # other quantiles moves scores and threshold alike.
    q_a, q_b = (float(q) for q in np.quantile(heat, (QUANTILE_A, QUANTILE_B)))
    draft = Calibration(q_a, q_b, 0.0, 0.0, score_share, scale)
    maps = normalised(heat, draft)
    scores = np.array([image_score(one, score_share) for one in maps])
    promise, hottest = (
        promised_threshold(
            each, wanted, scored_on=scored_on, left_out=left_out, candidates=candidates
        )
        for each in (scores, maps.max(axis=(1, 2)))
    )
    fitted = replace(draft, image_threshold=promise.threshold, pixel_threshold=hottest.threshold)
    return fitted, promise
