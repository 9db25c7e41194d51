"""What clean pictures say of a detector's maps: the numbers a decision needs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """How a cup type's distance maps become a decision. All of it is fitted on clean pictures alone.

    Attributes:
        q_a: heat that is normalised to 0 (Eq. 3).
        q_b: heat that is normalised to 1, above ``q_a``.
        image_threshold: image score above which a part is rejected, in normalised heat.
        pixel_threshold: normalised heat above which a pixel belongs to a region.
        score_share: share of the map's positions whose mean is the image score; 0 takes the hottest.
        position_scale: h×w, distances are divided by it before Eq. 2, so that places where clean cups
            differ (rim, print) weigh no more than quiet ones; None leaves them as they are.

    Raises:
        ValueError: a number is not finite, ``q_b`` is not above ``q_a``, the share is outside 0 … 1,
            or a scale is not positive.
    """

    q_a: float
    q_b: float
    image_threshold: float
    pixel_threshold: float
    score_share: float = 0.0
    position_scale: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        numbers = (self.q_a, self.q_b, self.image_threshold, self.pixel_threshold)
        if not np.isfinite(numbers).all() or not self.q_a < self.q_b:
            raise ValueError("q_a, q_b and thresholds must be finite, and q_b above q_a")
        if not 0.0 <= self.score_share <= 1.0:
            raise ValueError("score_share must be between 0 and 1")
        scale = self.position_scale
        if scale is not None and not (np.isfinite(scale).all() and (scale > 0).all()):
            raise ValueError("every position's scale must be positive")
