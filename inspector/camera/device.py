"""One opened camera: buffers in, deliveries out. The only file that knows how harvesters grabs."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inspector.camera.configure import Skipped, configure
from inspector.camera.discovery import Discovery
from inspector.camera.library import Buffer, ParameterKey, ParameterSet, gentl
from inspector.camera.nodes import GENICAM_ERRORS, Nodes, brief
from inspector.config import CameraSettings
from inspector.core.errors import CameraError

_LATCHES: Final = (
    ("TimestampLatch", "TimestampLatchValue", None),
    # GigE Vision cameras older than SFNC 2.0 count ticks.
    ("GevTimestampControlLatch", "GevTimestampValue", "GevTimestampTickFrequency"),
)
_PROBES: Final = ("DeviceTemperature", "PayloadSize", "Width")


class CameraGoneError(Exception):
    """The camera does not answer any more."""


class CameraBusyError(Exception):
    """The camera is there but cannot be opened: somebody else holds it."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One buffer of the camera's, told of while it is still the producer's.

    Attributes:
        raw_id: the frame id as the camera counts it, None where it cannot be told.
        device_ns: time stamp on the camera's clock, 0 where there is none.
        arrived_ns: when the producer handed it over, host monotonic clock.
        complete: False where part of the payload is missing; there are no pixels then.
        width: columns, 0 unless complete; height and pixel_format likewise.
        height: rows.
        pixel_format: PFNC name.
        pixels: H×(W·channels) view of the producer's memory, valid only inside `Camera.fetch`'s consumer.
        exposure_us: from chunk data, None where there is none.
    """

    raw_id: int | None
    device_ns: int
    arrived_ns: int
    complete: bool
    width: int = 0
    height: int = 0
    pixel_format: str = ""
    pixels: NDArray[np.generic] | None = None
    exposure_us: float | None = None


class Camera:
    """An opened and configured camera. Used on one thread; `close` it on the way out."""

    def __init__(
        self, discovery: Discovery, index: int, settings: CameraSettings, skipped: Skipped
    ) -> None:
        """Open the camera at this index of the last search, and configure it.

        Raises:
            CameraBusyError: somebody else holds it.
            CameraGoneError: it went away meanwhile.
            CameraError: its features do not fit the settings.
        """
        try:
            self._acquirer: Any = discovery.harvester.create(index, config=_parameters(settings))
        except GENICAM_ERRORS as error:
            raise CameraBusyError(brief(error)) from error
        stream = self._acquirer.data_streams[0]
        self.nodes = Nodes(self._acquirer.remote_device.node_map, stream.node_map)
        self._stream = stream
        # harvesters' own fetch queues an incomplete buffer again before anyone can ask for its id,
        # cannot tell it from a time-out, and measures its time-out by the wall clock. So the event it
        # registered is waited for here; harvesters opens, starts, unpacks and closes.
        (self._new_buffer,) = self._acquirer._new_buffer_event_monitor_dict.values()  # noqa: SLF001
        self._probe = next((name for name in _PROBES if self.nodes.offers(name)), None)
        self._chunk_exposure = False
        self._chunk_timestamp = False
        try:
            configure(self.nodes, settings, skipped)
            self._acquirer.num_buffers = max(settings.buffers, self._acquirer.min_num_buffers)
        except CameraError:
            if self.answers():
                self.close()
                raise
            raise CameraGoneError("it went away while it was configured") from None
        self._chunk_exposure = self.nodes.offers("ChunkSelector", "ExposureTime")
        self._chunk_timestamp = self.nodes.offers("ChunkSelector", "Timestamp")

    def start(self) -> None:
        """Begin to acquire.

        Raises:
            CameraGoneError: the camera does not answer.
        """
        try:
            self._acquirer.start()
        except GENICAM_ERRORS as error:
            raise CameraGoneError(brief(error)) from error

    def payload_bytes(self) -> int:
        """Room one frame takes, chunk data included; 0 where neither stream nor camera tells."""
        try:
            if self._stream.defines_payload_size():
                return int(self._stream.payload_size)
        except GENICAM_ERRORS:
            pass
        return int(self.nodes.read("PayloadSize")) if self.nodes.offers("PayloadSize") else 0

    def fetch(self, timeout_ms: int, consume: Callable[[Delivery], None]) -> bool:
        """Wait for one buffer, let ``consume`` copy from it, and give it back to the producer.

        The wait holds the interpreter lock. Returns False when none came in time.

        Raises:
            CameraGoneError: the producer reports an error other than a time-out.
        """
        try:
            self._new_buffer.update_event_data(timeout_ms)
        except gentl.TimeoutException:
            return False
        except GENICAM_ERRORS as error:
            raise CameraGoneError(f"the stream ended: {brief(error)}") from error
        arrived_ns = time.monotonic_ns()
        raw = self._new_buffer.buffer
        try:
            consume(self._delivery(raw, arrived_ns))
        finally:
            raw.parent.queue_buffer(raw)
        return True

    def latch(self) -> tuple[int, int, int] | None:
        """Host clock before, camera clock, host clock after, in ns; None where it has no latch.

        Raises:
            CameraError: the camera does not answer.
        """
        for command, value, frequency in _LATCHES:
            if self.nodes.offers(command) and self.nodes.offers(value):
                before_ns = time.monotonic_ns()
                self.nodes.execute(command)
                after_ns = time.monotonic_ns()
                device_ns = int(self.nodes.read(value))
                if frequency is not None and self.nodes.offers(frequency):
                    ticks_per_s = int(self.nodes.read(frequency))
                    if ticks_per_s == 0:  # so says a camera that has no time stamps
                        return None
                    device_ns = device_ns * 1_000_000_000 // ticks_per_s
                return before_ns, device_ns, after_ns
        return None

    def answers(self) -> bool:
        """True while the camera itself, not a cache, answers a cheap question."""
        if self._probe is None:
            return True
        try:
            self.nodes.read(self._probe)
        except CameraError:
            return False
        return True

    def temperature_c(self) -> float | None:
        """The camera's own temperature in °C, None where it does not tell."""
        if not self.nodes.offers("DeviceTemperature"):
            return None
        try:
            return float(self.nodes.read("DeviceTemperature"))
        except CameraError:
            return None

    def underruns(self) -> int:
        """Frames since the start that found no free buffer, as the producer counts them."""
        try:
            return int(self._stream.num_underrun)
        except GENICAM_ERRORS:
            return 0

    def close(self) -> None:
        """Stop and close; every buffer must be back. Errors are of no use to anyone any more."""
        try:
            self._acquirer.stop()
            self._acquirer.destroy()
        except GENICAM_ERRORS:
            return

    def _delivery(self, raw: Any, arrived_ns: int) -> Delivery:
        raw_id = _read(raw, "frame_id")
        device_ns = _time_stamp(raw)
        if not raw.is_complete():
            return Delivery(raw_id, device_ns, arrived_ns, complete=False)
        try:
            buffer = Buffer(
                module=raw,
                node_map=self._acquirer.remote_device.node_map,
                acquire=self._acquirer,
            )
            image = buffer.payload.components[0]
            if image is None:
                return Delivery(raw_id, device_ns, arrived_ns, complete=False)
            exposure_us = None
            if self._chunk_exposure or self._chunk_timestamp:
                buffer.update_chunk_data()
                exposure_us, device_ns = self._chunk_values(device_ns)
            return Delivery(
                raw_id=raw_id,
                device_ns=device_ns,
                arrived_ns=arrived_ns,
                complete=True,
                width=image.width,
                height=image.height,
                pixel_format=image.data_format,
                # harvesters leaves a line's padding in.
                pixels=image.data.reshape(image.height, -1)[
                    :, : round(image.width * image.num_components_per_pixel)
                ],
                exposure_us=exposure_us,
            )
        except (*GENICAM_ERRORS, IndexError, KeyError):
            # Nothing usable in it, or a pixel format that harvesters has no name for: as good as
            # incomplete.
            return Delivery(raw_id, device_ns, arrived_ns, complete=False)

    def _chunk_values(self, device_ns: int) -> tuple[float | None, int]:
        """Exposure in µs and the time stamp, from the chunk data attached last."""
        exposure_us = None
        try:
            if self._chunk_exposure:
                exposure_us = float(self.nodes.read("ChunkExposureTime"))
            if device_ns == 0 and self._chunk_timestamp:
                device_ns = int(self.nodes.read("ChunkTimestamp"))
        except CameraError:
            # Promised, but not in this frame.
            return exposure_us, device_ns
        return exposure_us, device_ns


def _parameters(settings: CameraSettings) -> Any:
    return ParameterSet(
        {
            ParameterKey.NUM_BUFFERS_FOR_FETCH_CALL: settings.buffers,
            ParameterKey.ENABLE_AUTO_CHUNK_DATA_UPDATE: False,
        }
    )


def _read(module: Any, name: str) -> int | None:
    """An integer property of a GenTL module, None where the producer does not tell it."""
    try:
        return int(getattr(module, name))
    except GENICAM_ERRORS:
        return None


def _time_stamp(raw: Any) -> int:
    """A buffer's time stamp in ns, 0 where it has none."""
    stamp_ns = _read(raw, "timestamp_ns")
    if stamp_ns is not None:
        return stamp_ns
    ticks = _read(raw, "timestamp")
    frequency = _read(raw.parent.parent, "timestamp_frequency")
    return ticks * 1_000_000_000 // frequency if ticks and frequency else 0
