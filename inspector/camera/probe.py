"""What `inspector doctor` asks of a lane's camera."""

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from inspector.camera.device import Camera, CameraBusyError, CameraGoneError
from inspector.camera.discovery import Discovery, FoundCamera, choose
from inspector.camera.nodes import Value
from inspector.config import CameraSettings
from inspector.core.errors import CameraError

_SEARCH_S: Final = 3.0
_JUMBO_BYTES: Final = 8000
"""Packets below this cost a gigabit link about one frame/s in twenty, and the host an interrupt each."""


class Level(StrEnum):
    """How bad a finding is."""

    GOOD = "good"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found out; ``remedy`` is empty where nothing needs to be mended."""

    level: Level
    what: str
    remedy: str = ""


def probe_camera(settings: CameraSettings) -> list[Finding]:
    """Open the camera as the line would, and tell what was found; it takes up to a few seconds.

    Call it in a process of its own (``multiprocessing``'s spawn): a producer may crash, hang or stay
    loaded, and a camera that was opened once is sure to be free again only when the process ends.
    The line must not be running, since it holds the camera.
    """
    findings: list[Finding] = []
    try:
        _probe(settings, findings)
    except CameraError as error:
        findings.append(Finding(Level.ERROR, error.what, error.remedy))
    return findings


def _probe(settings: CameraSettings, findings: list[Finding]) -> None:
    discovery = Discovery(settings.producer)
    findings.append(Finding(Level.GOOD, f"the producer {settings.producer} can be loaded"))
    found = _search(discovery)
    if not found:
        why = "".join(f" ({line})" for line in discovery.complaints.lines[-1:])
        raise CameraError(
            f"no camera answers{why}",
            "check cable and power, and that the camera's address is in the network of this computer",
        )
    cameras = ", ".join(f"{camera.model} {camera.serial}" for camera in found)
    findings.append(Finding(Level.GOOD, f"cameras found: {cameras}"))
    index = choose(found, settings.serial)
    if index is None:
        return
    skipped: list[str] = []

    def skip(name: str, _value: Value) -> None:
        skipped.append(name)

    try:
        camera = Camera(discovery, index, settings, skip)
    except (CameraBusyError, CameraGoneError) as error:
        raise CameraError(
            f"the camera cannot be opened: {error}", "end the program that uses it, e.g. the line"
        ) from error
    try:
        findings.append(
            Finding(
                Level.GOOD,
                f"the camera takes its settings: {settings.pixel_format}, {settings.trigger} trigger",
            )
        )
        if skipped:
            findings.append(
                Finding(Level.GOOD, f"defaults it has no use for: {', '.join(skipped)}")
            )
        findings += _readings(camera, settings)
    finally:
        camera.close()


def _search(discovery: Discovery) -> list[FoundCamera]:
    until = time.monotonic() + _SEARCH_S
    while not (found := discovery.search()) and time.monotonic() < until:
        time.sleep(0.3)
    return found


def _readings(camera: Camera, settings: CameraSettings) -> list[Finding]:
    """Network, clock and temperature of an open camera."""
    nodes = camera.nodes
    findings = []
    if nodes.offers("GevSCPSPacketSize"):
        packet = int(nodes.read("GevSCPSPacketSize"))
        findings.append(
            Finding(Level.GOOD, f"packets of {packet} bytes")
            if packet >= _JUMBO_BYTES
            else Finding(
                Level.WARNING,
                f"packets of {packet} bytes",
                "set the network card to MTU 9000 and node_values GevSCPSPacketSize to 8228 or more",
            )
        )
    if nodes.offers("DeviceLinkThroughputLimit") and camera.payload_bytes():
        throughput = float(nodes.read("DeviceLinkThroughputLimit"))
        rate_hz = throughput / camera.payload_bytes()
        text = f"the link carries {rate_hz:.1f} frames/s of {camera.payload_bytes() / 1e6:.1f} MB"
        too_fast = settings.trigger == "free_run" and settings.frame_rate_hz > rate_hz
        findings.append(
            Finding(
                Level.WARNING,
                f"{text}, fewer than the {settings.frame_rate_hz:g} asked for",
                "lower camera.frame_rate_hz, or raise DeviceLinkThroughputLimit",
            )
            if too_fast
            else Finding(Level.GOOD, text)
        )
    reading = camera.latch()
    findings.append(
        Finding(
            Level.WARNING,
            "the camera's clock cannot be latched: no frame can be told from its neighbour's, and the "
            "line rejects every part",
            "take a camera with TimestampLatch or GevTimestampControlLatch, or newer firmware",
        )
        if reading is None
        else Finding(
            Level.GOOD, f"the camera's clock is read to ±{(reading[2] - reading[0]) / 2e6:.2f} ms"
        )
    )
    temperature_c = camera.temperature_c()
    if temperature_c is not None:
        findings.append(Finding(Level.GOOD, f"the camera is at {temperature_c:.0f} °C"))
    return findings
