"""What runs a lane's networks, for the metrics."""

from inspector.engine import Choice
from inspector.telemetry.metrics import ENGINE_INFO, GOLDEN_ERROR


class EngineGauges:
    """Shows the engine that a lane runs now, and takes back the one before.

    Args:
        lane: name.
    """

    def __init__(self, lane: str) -> None:
        self._lane = lane
        self._before: Choice | None = None

    def __call__(self, choice: Choice) -> None:
        """From now on this one runs."""
        if self._before is not None:
            self._show(self._before, 0, 0.0)
        self._show(choice, 1, choice.golden_error / choice.band)
        self._before = choice

    def _show(self, choice: Choice, running: int, of_band: float) -> None:
        labels = (self._lane, str(choice.backend), choice.precision)
        ENGINE_INFO.labels(*labels, str(choice.how)).set(running)
        GOLDEN_ERROR.labels(*labels).set(of_band)
