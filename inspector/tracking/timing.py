"""Where parts are in time on one lane, in ns."""

from dataclasses import dataclass

from inspector.core.frame import CERTAIN_NS


@dataclass(frozen=True, slots=True)
class Timing:
    """The lane's times, all in ns.

    Attributes:
        min_interval_ns: parts closer than this at the photo-eye cannot be told apart.
        travel_ns: photo-eye (free run: picture centre) to gate.
        decide_before_ns: the command must be out this long before the part is at the gate.
        frame_timeout_ns: trigger to frame at most.
        eye_error_ns: a photo-eye time is late by so much at most: the PLC's scan, and the mapping of its
            clock.

    Raises:
        ValueError: a time is not positive, or no part could ever pass with these.
    """

    min_interval_ns: int
    travel_ns: int
    decide_before_ns: int
    frame_timeout_ns: int
    eye_error_ns: int

    def __post_init__(self) -> None:
        times = (
            self.min_interval_ns,
            self.travel_ns,
            self.decide_before_ns,
            self.frame_timeout_ns,
        )
        if min(times) <= 0 or self.eye_error_ns < 0:
            raise ValueError("every time of a lane must be positive")
        if self.min_interval_ns < 5 * self.eye_error_ns:
            raise ValueError(
                "min_interval must be at least five times eye_error: or a frame cannot be told from its "
                "neighbour's by its time"
            )
        if self.min_interval_ns >= self.decision_ns:
            raise ValueError(
                "min_interval must be shorter than travel − decide_before: a part passes only when it "
                "is known that no other follows too closely"
            )

    @classmethod
    def from_ms(
        cls,
        *,
        min_interval_ms: float,
        travel_ms: float,
        decide_before_ms: float,
        frame_timeout_ms: float,
        eye_error_ms: float,
    ) -> "Timing":
        """The same from milliseconds, as the configuration has them."""
        return cls(
            min_interval_ns=round(min_interval_ms * 1e6),
            travel_ns=round(travel_ms * 1e6),
            decide_before_ns=round(decide_before_ms * 1e6),
            frame_timeout_ns=round(frame_timeout_ms * 1e6),
            eye_error_ns=round(eye_error_ms * 1e6),
        )

    @property
    def decision_ns(self) -> int:
        """From photo-eye to the latest command."""
        return self.travel_ns - self.decide_before_ns

    @property
    def clock_error_ns(self) -> int:
        """The host's reading of the PLC's clock may be off by so much at most for its times to count.

        A photo-eye time is late by scan and reading together. Late by less than half an interval and half
        of e, a part is still farther than :attr:`window_ns` from its successor's frame. That frame may be
        dated too early, by as much as e without harm.
        """
        too_early_ns = max(CERTAIN_NS - self.eye_error_ns, 0)
        return (self.min_interval_ns - self.eye_error_ns) // 2 - too_early_ns

    @property
    def window_ns(self) -> int:
        """A frame exposed nearer than this to a photo-eye time may belong to it.

        It then shows its own part nearer the middle than any neighbour: a part that is told to be at t
        was there in [t − e, t], and its successor, told an interval later, e less than that after it.
        """
        return (self.min_interval_ns - 3 * self.eye_error_ns) // 2
