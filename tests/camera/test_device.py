"""What a camera is asked, with no camera there."""

from types import SimpleNamespace
from typing import Any

from inspector.camera.device import Camera


def test_a_camera_that_says_its_clock_never_ticks_has_none_that_can_be_latched() -> None:
    """GigE Vision's way to say that there are no time stamps."""
    said = {
        "GevTimestampControlLatch": None,
        "GevTimestampValue": 0,
        "GevTimestampTickFrequency": 0,
    }
    nodes: Any = SimpleNamespace(
        offers=said.__contains__, execute=said.__getitem__, read=said.__getitem__
    )
    camera = Camera.__new__(Camera)
    camera.nodes = nodes
    assert camera.latch() is None
    said |= {"GevTimestampValue": 25, "GevTimestampTickFrequency": 125_000_000}
    reading = camera.latch()
    assert reading is not None
    assert reading[1] == 200
