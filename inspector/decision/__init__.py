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
from inspector.decision.promise import Promise, promised_threshold

__all__ = [
    "Calibration",
    "Judgement",
    "Promise",
    "enlarged",
    "heat_map",
    "image_score",
    "judge",
    "normalised",
    "promised_threshold",
    "regions",
    "verdict",
]
