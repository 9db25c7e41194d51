"""Camera settings → GenICam features, in the order cameras want them."""

from collections.abc import Callable

from inspector.camera.nodes import Nodes, Value
from inspector.config import CameraSettings

Skipped = Callable[[str, Value], None]
"""Told of each default that the camera has no feature for, or does not let be written."""


def configure(nodes: Nodes, settings: CameraSettings, skipped: Skipped) -> None:
    """Set the camera up for acquisition; it must not be acquiring yet.

    What the settings ask for must be there. What is merely set to be on the safe side, such as the
    automatic exposure switched off, is skipped where the camera lacks it.

    Raises:
        CameraError: a feature that was asked for is missing or refuses its value.
    """

    def prefer(name: str, value: Value) -> None:
        if nodes.takes(name, value):
            nodes.write(name, value)
        else:
            skipped(name, value)

    # Left on by whoever used the camera before; many features are locked or refused while it is.
    prefer("TriggerMode", "Off")
    prefer("AcquisitionMode", "Continuous")
    # Every frame in order, or a gap that shows; never the newest one in silence.
    prefer("StreamBufferHandlingMode", "OldestFirst")
    nodes.write("PixelFormat", settings.pixel_format)
    if settings.exposure_us is not None:
        prefer("ExposureAuto", "Off")
        nodes.write("ExposureTime", settings.exposure_us)
    if settings.gain_db is not None:
        prefer("GainAuto", "Off")
        nodes.write("Gain", settings.gain_db)
    for name, value in settings.node_values.items():
        nodes.write(name, value)
    _set_chunks(nodes)
    if settings.trigger == "free_run":
        prefer("AcquisitionFrameRateEnable", True)
        if "frame_rate_hz" in settings.model_fields_set:
            nodes.write("AcquisitionFrameRate", settings.frame_rate_hz)
        else:
            prefer("AcquisitionFrameRate", settings.frame_rate_hz)
        return
    prefer("TriggerSelector", "FrameStart")
    # Mode before source, in two writes: some cameras refuse a source while the mode is off.
    nodes.write("TriggerMode", "On")
    if settings.trigger == "software":
        nodes.write("TriggerSource", "Software")
    else:
        nodes.write("TriggerSource", settings.trigger_line)
        prefer("TriggerActivation", "RisingEdge")


def _set_chunks(nodes: Nodes) -> None:
    """Ask for the exposure time and the time stamp with every frame, where the camera can."""
    if not (nodes.offers("ChunkModeActive") and nodes.offers("ChunkSelector")):
        return
    wanted = [name for name in ("ExposureTime", "Timestamp") if nodes.offers("ChunkSelector", name)]
    if not wanted:
        return
    nodes.write("ChunkModeActive", True)
    for name in wanted:
        nodes.write("ChunkSelector", name)
        if nodes.offers("ChunkEnable"):
            nodes.write("ChunkEnable", True)
