"""Where parts are in time on one lane, in ns."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """The lane's times, all in ns.

    Attributes:
        min_interval_ns: parts closer than this at the photo-eye cannot be told apart.
        travel_ns: photo-eye (free run: picture centre) to gate.
        decide_before_ns: the command must be out this long before the part is at the gate.
        frame_timeout_ns: trigger to frame at most.

    Raises:
        ValueError: a time is not positive, or no part could ever pass with these.
    """

    min_interval_ns: int
    travel_ns: int
    decide_before_ns: int
    frame_timeout_ns: int

    def __post_init__(self) -> None:
        times = (
            self.min_interval_ns,
            self.travel_ns,
            self.decide_before_ns,
            self.frame_timeout_ns,
        )
        if min(times) <= 0:
            raise ValueError("every time of a lane must be positive")
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
    ) -> "Timing":
        """The same from milliseconds, as the configuration has them."""
        return cls(
            min_interval_ns=round(min_interval_ms * 1e6),
            travel_ns=round(travel_ms * 1e6),
            decide_before_ns=round(decide_before_ms * 1e6),
            frame_timeout_ns=round(frame_timeout_ms * 1e6),
        )

    @property
    def decision_ns(self) -> int:
        """From photo-eye to the latest command."""
        return self.travel_ns - self.decide_before_ns

    @property
    def window_ns(self) -> int:
        """A frame exposed nearer than this to a photo-eye event may belong to it: half an interval."""
        return self.min_interval_ns // 2
