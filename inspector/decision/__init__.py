"""Heat map and calibration to verdict: pure rules."""

from inspector.decision.calibration import Calibration
from inspector.decision.judgement import (
    Judgement,
    enlarged,
    heat_map,
    image_score,
    judge,
    normalised,
    regions,
    verdict,
)

__all__ = [
    "Calibration",
    "Judgement",
    "enlarged",
    "heat_map",
    "image_score",
    "judge",
    "normalised",
    "regions",
    "verdict",
]
