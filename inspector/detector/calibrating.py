"""The numbers of a decision, from clean pictures alone (§4.1; notes on q_a, q_b and the score)."""

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.decision import (
    Calibration,
    Promise,
    heat_map,
    image_score,
    normalised,
    promised_threshold,
)

QUANTILE_A, QUANTILE_B = 0.9, 0.995
"""Of the heat on held-out clean pictures; those of EfficientAD (Batzner et al., 2023)."""
SCORE_SHARE = 0.01
"""Share of positions averaged into the image score: steadier than the maximum."""
_QUIETEST = 0.5
"""No position counts as quieter than this part of the median one."""


def position_scale(distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much clean cups differ at each position, relative to the median position.

    Args:
        distances: n×h×w of clean pictures, D of Eq. 1.

    Returns:
        h×w, smoothed over 3×3 positions, at least a half.
    """
    clean = np.asarray(cv2.blur(-distances.mean(axis=0), (3, 3)), np.float32)
    relative = clean / np.median(clean)
    return np.asarray(np.maximum(relative, _QUIETEST), np.float32)


def radius_scale(distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same for polar views: how far clean cups ever go at each radius, relative to the median one.

    Water drops and the rim's shine come at any angle, so all angles of a radius share one scale, and it
    is their greatest distance, since the image score is the hottest position.

    Args:
        distances: n×h×w of clean pictures, D of Eq. 1.

    Returns:
        h×w, the same all along a row, at least a half.
    """
    greatest = -distances.min(axis=(0, 2))
    relative = np.maximum(greatest / np.median(greatest), _QUIETEST)
    return np.asarray(np.repeat(relative[:, None], distances.shape[2], axis=1), np.float32)


def calibrate(
    distances: NDArray[np.float32],
    scale: NDArray[np.float32] | None,
    wanted: float,
    score_share: float = SCORE_SHARE,
) -> tuple[Calibration, Promise]:
    """Fit Eq. 3 and the thresholds on held-out clean pictures.

    Eq. 3 only shifts and stretches the score, so fitting it on the same pictures as the threshold
    leaves the promise intact; the position scale must come from other pictures.

    Args:
        distances: n×h×w of clean pictures that trained nothing.
        scale: from :func:`position_scale` on other pictures; None to use none.
        wanted: false-reject rate asked for.
        score_share: see ``Calibration``.

    Returns:
        The calibration, and what may be promised of its image threshold.

    Raises:
        ValueError: no pictures, or they are all alike.
    """
    heat = heat_map(distances, scale)
    q_a, q_b = (float(q) for q in np.quantile(heat, (QUANTILE_A, QUANTILE_B)))
    draft = Calibration(q_a, q_b, 0.0, 0.0, score_share, scale)
    maps = normalised(heat, draft)
    promise = promised_threshold(np.array([image_score(m, score_share) for m in maps]), wanted)
    hottest = promised_threshold(maps.max(axis=(1, 2)), wanted)
    fitted = Calibration(q_a, q_b, promise.threshold, hottest.threshold, score_share, scale)
    return fitted, promise
