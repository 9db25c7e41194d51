"""How far the belt has run, by the clock or by an encoder, and what makes parts on it uncertain."""

from dataclasses import dataclass

from inspector.core.gate_codes import GateReason


@dataclass(frozen=True, slots=True)
class BeltLimits:
    """What the commissioning engineer sets.

    Attributes:
        encoder: positions are encoder counts; otherwise ns of running at the one speed of a timed belt.
        settle_ns: timed: a belt that begins to run has its full speed after so long.
        stand_ns: encoder: a belt that stood longer may have been worked on.
        silent_ns: encoder: no count for so long while the drive runs is a fault.
        backlash: encoder: counts that it may run back.
    """

    encoder: bool = False
    settle_ns: int = 500_000_000
    stand_ns: int = 10_000_000_000
    silent_ns: int = 300_000_000
    backlash: int = 0


class Belt:
    """One belt, looked at once a scan.

    Args:
        limits: see there.
    """

    def __init__(self, limits: BeltLimits) -> None:
        self._limits = limits
        self.position = 0
        """Counts of the encoder, or ns that a timed belt has run."""
        self.doubt: GateReason | None = None
        """A part counted in this scan would not certainly be where it is reckoned."""
        self.steady_since_ns: int | None = None
        """Since when a timed belt has run at its speed; None while it does not."""
        self._furthest: int | None = None
        self._last_ns: int | None = None
        self._moved_ns = 0
        self._runs_since_ns: int | None = None

    def move(self, now_ns: int, counts: int | None, *, runs: bool) -> GateReason | None:
        """One scan later.

        Args:
            now_ns: the program's clock.
            counts: the encoder's, unwrapped; None where the belt is timed.
            runs: the drive says that it runs.

        Returns:
            Why the parts that were on the belt before are less certain from now on: once each time that a
            doubt begins, for each adds its own; None otherwise.
        """
        if self._limits.encoder:
            if counts is None:
                raise ValueError("a belt with an encoder must be given its counts")
            lost = self._follow(now_ns, counts, runs=runs)
        else:
            lost = self._time(now_ns, runs=runs)
        self._last_ns = now_ns
        return lost

    def _time(self, now_ns: int, *, runs: bool) -> GateReason | None:
        if not runs:
            ran = self._runs_since_ns is not None
            self._runs_since_ns = self.steady_since_ns = None
            self.doubt = GateReason.BELT_STOPPED
            return GateReason.BELT_STOPPED if ran else None
        if self._last_ns is not None and self._runs_since_ns is not None:
            self.position += now_ns - self._last_ns
        if self._runs_since_ns is None:
            self._runs_since_ns = now_ns
        if self.steady_since_ns is None and now_ns - self._runs_since_ns >= self._limits.settle_ns:
            self.steady_since_ns = now_ns
        self.doubt = GateReason.BELT_STOPPED if self.steady_since_ns is None else None
        return None

    def _follow(self, now_ns: int, counts: int, *, runs: bool) -> GateReason | None:
        if self._furthest is None or counts != self.position:
            self._moved_ns = now_ns
        if not runs:
            self._runs_since_ns = None
        elif self._runs_since_ns is None:
            self._runs_since_ns = now_ns
        self._furthest = counts if self._furthest is None else max(self._furthest, counts)
        self.position = counts
        still_ns = now_ns - self._moved_ns
        before, self.doubt = self.doubt, None
        if counts < self._furthest - self._limits.backlash:
            self.doubt = GateReason.BELT_REVERSED
        elif self._silent(now_ns):
            self.doubt = GateReason.ENCODER_SILENT
        elif still_ns >= self._limits.stand_ns:
            self.doubt = GateReason.BELT_STOPPED
        return self.doubt if self.doubt is not before else None

    def _silent(self, now_ns: int) -> bool:
        """The drive has run for a while, and the encoder has not counted."""
        if self._runs_since_ns is None:
            return False
        return now_ns - max(self._moved_ns, self._runs_since_ns) >= self._limits.silent_ns
