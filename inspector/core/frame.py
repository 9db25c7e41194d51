"""A frame: one exposure of one lane's camera, and where its pixels lie."""

from dataclasses import dataclass
from typing import Final

CERTAIN_NS: Final = 5_000_000
"""A time of exposure that may be off by more tells no frame from its neighbour's."""


@dataclass(frozen=True, slots=True)
class FrameInfo:
    """What acquisition says of one frame; its pixels are in the lane's ring.

    Attributes:
        lane: the lane's name.
        epoch: which opening of the camera delivered it; frame ids are comparable within one epoch only.
        frame_id: the camera's frame count, unwrapped to 64 bits, so that a gap of n is n lost frames.
        slot: the ring slot that holds the pixels.
        generation: the slot's write count; when it differs on reading, the pixels were overwritten.
        width: columns in pixels.
        height: rows in pixels.
        pixel_format: GenICam PFNC name, e.g. ``BayerRG8``.
        exposed_ns: start of the exposure on the host's monotonic clock, mapped from the camera's own
            time stamp; where that cannot be done, when the frame arrived.
        received_ns: when the copy into the ring ended, host monotonic clock.
        complete: False where the transport lost part of the payload.
        exposure_us: exposure time from chunk data, None where the camera sends none.
        timed: False where ``exposed_ns`` is only when it arrived: then it is nobody's frame.
    """

    lane: str
    epoch: int
    frame_id: int
    slot: int
    generation: int
    width: int
    height: int
    pixel_format: str
    exposed_ns: int
    received_ns: int
    complete: bool
    exposure_us: float | None = None
    timed: bool = True
