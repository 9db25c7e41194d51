"""Frame ids as the camera counts them → a count that never runs backwards, and the frames lost."""

from dataclasses import dataclass
from typing import Final

_WRAP: Final = 65535
"""GigE Vision 1.x counts 1 … 65535 and then 1 again; 0 is reserved there. Later standards count in
64 bits, plainly. Both are told by their steps alone: only a count within 16 bits ever wraps."""


@dataclass(frozen=True, slots=True)
class FrameStep:
    """What one frame id says.

    Attributes:
        frame_id: the unwrapped id.
        lost: frames missing between the previous frame and this one.
        restarted: the count began anew, so that this id and earlier ones are not comparable.
    """

    frame_id: int
    lost: int
    restarted: bool


class FrameIds:
    """Follows one stream's frame ids."""

    def __init__(self) -> None:
        self._raw: int | None = None
        self._unwrapped = 0

    def step(self, raw: int) -> FrameStep:
        """Take the next frame's id, incomplete frames included.

        A step forward of less than half the 16-bit count is taken as such across the wrap; any other
        step backwards, or none, means that the camera began to count anew.
        """
        last, self._raw = self._raw, raw
        forward = 0 if last is None else raw - last if raw > last else _across_wrap(last, raw)
        if last is None or forward == 0:
            self._unwrapped = raw
            return FrameStep(raw, 0, restarted=last is not None)
        self._unwrapped += forward
        return FrameStep(self._unwrapped, forward - 1, restarted=False)


def _across_wrap(last: int, raw: int) -> int:
    """Steps from ``last`` over 65535 to ``raw``; 0 where no 16-bit count has gone that way."""
    # A camera that counts from 0 on turns 65535 → 0.
    forward = _WRAP - last + (raw if raw > 0 else 1)
    return forward if last <= _WRAP and raw < last and forward <= _WRAP // 2 else 0
