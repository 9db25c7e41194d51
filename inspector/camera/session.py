"""One opening of a camera: frames into the ring, word of them into the channel, until it is lost."""

import signal
import time
from collections.abc import Callable
from typing import Final

import structlog

from inspector.camera.channel import (
    CameraHealth,
    CameraState,
    Channel,
    GarbageError,
    PassUntil,
    Reopen,
    SoftwareTrigger,
)
from inspector.camera.clock import CameraClock
from inspector.camera.device import Camera, CameraGoneError, Delivery
from inspector.camera.frame_ids import FrameIds
from inspector.camera.output import GateOutput
from inspector.camera.ring import Ring
from inspector.config import LaneSettings
from inspector.config.gates import CameraGateSettings
from inspector.core.errors import CameraError
from inspector.core.frame import FrameInfo
from inspector.telemetry.metrics import (
    CAMERA_TEMPERATURE,
    DROPPED,
    FRAME_GAPS,
    FRAMES,
    LINK_UP,
    UNDERRUNS,
)

_WAIT_MS: Final = 10
"""Longest wait for a buffer at once: signals and commands are seen to in between."""
_WAIT_FOR_HOST_MS: Final = 2
"""The same where the host triggers or moves the gate through the camera, since it delays either."""
_PROBE_NS: Final = 250_000_000
_HEALTH_NS: Final = 1_000_000_000
_STALE_TRIGGER_NS: Final = 100_000_000
"""A trigger that waited longer would show the part somewhere else."""
_COMMANDS_AT_ONCE: Final = 8
"""Frames come first, however much inspection asks for."""
_FIRST_LATCHES: Final = 8
_DEADMAN_S: Final = 20.0


def alive() -> None:
    """Put off the alarm that ends this process.

    A producer that never returns holds the interpreter lock, so that nothing in this process can notice;
    then the kernel ends it, and the supervisor starts a fresh one.
    """
    signal.setitimer(signal.ITIMER_REAL, _DEADMAN_S)


class Session:
    """Runs one opened camera; `run` once."""

    def __init__(
        self,
        camera: Camera,
        lane: LaneSettings,
        ring: Ring,
        channel: Channel,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._camera = camera
        self._lane = lane
        self._ring = ring
        self._channel = channel
        self._log = log
        self._output: GateOutput | None = None
        self._ids = FrameIds()
        self._clock = CameraClock()
        self._timed = True
        self._epoch = time.monotonic_ns()
        self._last_raw_id = 0
        self._last_frame_ns = self._epoch
        self._counted = {"complete": 0, "incomplete": 0, "lost": 0, "underruns": 0}
        self._reported = dict(self._counted)

    def run(self, stopping: Callable[[], bool]) -> str:
        """Acquire until ``stopping()``, or until the camera is lost.

        Returns:
            Why the camera must be opened anew, by a fresh process; empty when it was told to stop.

        Raises:
            CameraError: its frames do not fit into the ring, or it has not the output that the gate needs.
        """
        needed = self._camera.payload_bytes()
        if needed > self._ring.slot_bytes:
            raise CameraError(
                f"a frame of {needed} bytes does not fit into the ring's {self._ring.slot_bytes}",
                "choose a smaller picture or pixel format with node_values Width and Height",
            )
        self._ring.prepare(needed)
        if isinstance(self._lane.gate, CameraGateSettings):
            try:
                self._output = GateOutput(self._camera.nodes, self._lane.gate)
            except CameraError as error:
                if self._camera.answers():
                    raise
                return f"the camera is gone: {error}"
        try:
            for _ in range(_FIRST_LATCHES):
                self._latch()
            self._camera.start()
            self._epoch = self._last_frame_ns = time.monotonic_ns()
            self._say_ready(self._epoch)
            self._log.info("camera_ready", epoch=self._epoch, pixels=self._lane.camera.pixel_format)
            return self._acquire(stopping)
        except CameraGoneError as error:
            return f"the camera is gone: {error}"
        except CameraError as error:
            return str(error)
        finally:
            LINK_UP.labels(lane=self._lane.name, link="camera").set(0)

    def _acquire(self, stopping: Callable[[], bool]) -> str:
        by_host = self._lane.camera.trigger == "software" or self._output is not None
        wait_ms = _WAIT_FOR_HOST_MS if by_host else _WAIT_MS
        probe_due_ns = health_due_ns = self._epoch
        while not stopping():
            alive()
            self._camera.fetch(wait_ms, self._take)
            reason = self._obey()
            if reason:
                return reason
            now_ns = time.monotonic_ns()
            if now_ns >= probe_due_ns:
                probe_due_ns = now_ns + _PROBE_NS
                reason = self._probe(now_ns)
                if reason:
                    return reason
            if now_ns >= health_due_ns:
                health_due_ns = now_ns + _HEALTH_NS
                self._say_ready(now_ns)
        return ""

    def _take(self, delivery: Delivery) -> None:
        """Hand one frame on; what cannot be handed on is counted."""
        self._last_frame_ns = delivery.arrived_ns
        self._count("complete" if delivery.complete else "incomplete", 1)
        if delivery.raw_id is None and not delivery.complete:
            return
        # A producer that tells no ids cannot tell of lost frames either: its frames count as they come.
        raw_id = self._last_raw_id + 1 if delivery.raw_id is None else delivery.raw_id
        self._last_raw_id = raw_id
        step = self._ids.step(raw_id)
        if step.restarted:
            self._epoch = delivery.arrived_ns
            self._log.warning("frame_ids_restarted", epoch=self._epoch, frame_id=raw_id)
        self._count("lost", step.lost)
        exposed_ns = self._clock.exposed_ns(delivery.device_ns, delivery.arrived_ns)
        if delivery.complete:
            self._timed = exposed_ns is not None
        slot, generation = -1, 0
        if delivery.pixels is not None:
            slot, generation = self._ring.write(delivery.pixels)
        self._channel.send(
            FrameInfo(
                lane=self._lane.name,
                epoch=self._epoch,
                frame_id=step.frame_id,
                slot=slot,
                generation=generation,
                width=delivery.width,
                height=delivery.height,
                pixel_format=delivery.pixel_format,
                exposed_ns=delivery.arrived_ns if exposed_ns is None else exposed_ns,
                received_ns=time.monotonic_ns(),
                complete=delivery.complete,
                exposure_us=delivery.exposure_us,
                timed=exposed_ns is not None,
            )
        )

    def _obey(self) -> str:
        """Carry out what inspection asks for; a reason when it asks for another opening."""
        for _ in range(_COMMANDS_AT_ONCE):
            try:
                command = self._channel.receive()
            except GarbageError as error:
                self._log.warning("message_refused", reason=str(error))
                continue
            match command:
                case None:
                    return ""
                case Reopen(reason=reason, sent_ns=sent_ns) if sent_ns > self._epoch:
                    return reason
                case SoftwareTrigger(sent_ns=sent_ns) if _is_fresh(sent_ns):
                    self._execute_trigger()
                case PassUntil(until_ns=until_ns) if _is_to_come(until_ns):
                    self._pass_until(until_ns)
                case _:
                    self._drop("command_too_old")
        return ""

    def _execute_trigger(self) -> None:
        try:
            self._camera.nodes.execute("TriggerSoftware")
        except CameraError as error:
            self._drop("trigger_refused")
            self._log.warning("trigger_refused", reason=str(error))

    def _pass_until(self, until_ns: int) -> None:
        if self._output is None:
            self._drop("output_refused")
            return
        try:
            if until_ns:
                self._output.pass_until(until_ns)
            else:
                self._output.shut()
        except CameraError as error:
            self._drop("output_refused")
            self._log.warning("output_refused", reason=str(error))

    def _probe(self, now_ns: int) -> str:
        """Ask whether the camera is still there; a reason when it is not."""
        # Twice, since one question may be lost on the wire.
        if not (self._camera.answers() or self._camera.answers()):
            return "the camera does not answer; check its cable and power"
        silent_ms = (now_ns - self._last_frame_ns) // 1_000_000
        free_run = self._lane.camera.trigger == "free_run"
        if free_run and silent_ms > self._lane.camera.silence_ms:
            return f"no frame for {silent_ms} ms in free run; check the camera's trigger settings"
        self._latch()
        self._count("underruns", self._camera.underruns() - self._counted["underruns"])
        return ""

    def _latch(self) -> None:
        reading = self._camera.latch()
        if reading is not None and not self._clock.latched(*reading):
            self._log.warning(
                "camera_clock_set",
                reason="frames are nobody's until it was read again; let nothing set the camera's clock "
                "while the line runs (PTP, a reset of its time stamp)",
            )

    def _say_ready(self, now_ns: int) -> None:
        temperature_c = self._camera.temperature_c()
        LINK_UP.labels(lane=self._lane.name, link="camera").set(1)
        if temperature_c is not None:
            CAMERA_TEMPERATURE.labels(lane=self._lane.name).set(temperature_c)
        self._channel.send(
            CameraHealth(
                lane=self._lane.name,
                state=CameraState.READY,
                reason="",
                sent_ns=now_ns,
                epoch=self._epoch,
                timed=self._timed and self._clock.uncertainty_ns(now_ns) is not None,
                temperature_c=temperature_c,
                **self._counted,
            )
        )
        faults = {
            what: count - self._reported[what]
            for what, count in self._counted.items()
            if what != "complete" and count != self._reported[what]
        }
        self._reported = dict(self._counted)
        if faults:
            self._log.warning("frames_not_usable", **faults)

    def _count(self, what: str, count: int) -> None:
        if count <= 0:
            return
        self._counted[what] += count
        lane = self._lane.name
        if what == "lost":
            FRAME_GAPS.labels(lane=lane).inc(count)
        elif what == "underruns":
            UNDERRUNS.labels(lane=lane).inc(count)
        else:
            FRAMES.labels(lane=lane, state=what).inc(count)

    def _drop(self, what: str) -> None:
        DROPPED.labels(lane=self._lane.name, what=what).inc()


def _is_to_come(until_ns: int) -> bool:
    return until_ns == 0 or until_ns > time.monotonic_ns()


def _is_fresh(sent_ns: int) -> bool:
    return time.monotonic_ns() - sent_ns < _STALE_TRIGGER_NS
