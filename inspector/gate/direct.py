"""A gate without a PLC: a thread that scans its program, and whoever exchanges with it."""

import sys
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from inspector.core.errors import GateError
from inspector.core.gate_program import Parameters
from inspector.core.process import come_first
from inspector.gate.clock import Clock
from inspector.gate.protocol import GateFault, GateLinkError, Incoming, Outgoing
from inspector.gate.scanner import Pace, Scanner, Wires
from inspector.telemetry import metrics

_SWITCH_S: Final = 0.0005


class DirectGate:
    """A gate driven from here. It scans from the first exchange on, in a thread of its own.

    Args:
        open_wires: takes the wires into use; called again after a failure.
        parameters: the program's.
        pace: how it is scanned.
        lane: the lane's name.
        where: the wires, for messages.
        timeout_ms: the longest wait for a scan; no shorter than the pace's ``late_ns``.
        clock: host monotonic clock, ns.
    """

    def __init__(
        self,
        open_wires: Callable[[], Wires],
        parameters: Parameters,
        pace: Pace,
        lane: str,
        *,
        where: str,
        timeout_ms: float,
        clock: Clock = time.monotonic_ns,
    ) -> None:
        self._open_wires = open_wires
        self._parameters = parameters
        self._pace = pace
        self._lane = lane
        self._where = where
        self._timeout_ns = round(timeout_ms * 1e6)
        self._clock = clock
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._scanner: Scanner | None = None
        self._failure: Exception | None = None
        self._session = 0
        self._log = structlog.get_logger().bind(lane=lane)

    def exchange(self, outgoing: Outgoing) -> Incoming:
        """See `Gate.exchange`; the next scan takes what is told.

        Where it fails, no scan was made for so long that the count begins anew with the next one: the parts
        whose commands were given are rejected with all others on the belt, and nothing is told again.
        """
        return self._exchange(outgoing)

    def exchange_idle(self) -> Incoming:
        """See `Gate.exchange_idle`. It needs the wires, so it fails beside a line that has them."""
        return self._exchange(None)

    def close(self) -> None:
        """Reject, and give the wires back; the next exchange takes them anew."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(self._timeout_ns / 1e9)
        self._thread = self._scanner = None

    def _exchange(self, outgoing: Outgoing | None) -> Incoming:
        asked_ns = self._clock()
        scanner = self._scanner or self._begin()
        if not self._lock.acquire(timeout=self._timeout_ns / 1e9):
            raise self._standstill()
        try:
            failure, self._failure = self._failure, None
            if failure is not None:
                self._thread = self._scanner = None
                raise self._error(GateFault.CLOSED, "stopped", failure) from failure
            if self._clock() - scanner.scanned_ns > self._timeout_ns:
                raise self._standstill()
            if outgoing is not None:
                scanner.tell(outgoing)
            return scanner.incoming(self._clock() - asked_ns)
        finally:
            self._lock.release()

    def _begin(self) -> Scanner:
        try:
            wires = self._open_wires()
        except GateError as error:
            raise self._error(GateFault.UNREACHABLE, "cannot be driven", error) from error
        scanner = Scanner(wires, self._parameters, self._pace, self._next_session, self._clock())
        # A thread that hung keeps its own event, so that it ends whenever it wakes.
        self._stopping = threading.Event()
        self._scanner = scanner
        self._thread = threading.Thread(
            target=self._scan,
            args=(scanner, wires, self._stopping),
            name=f"scan-{self._lane}",
            daemon=True,
        )
        self._thread.start()
        return scanner

    def _scan(self, scanner: Scanner, wires: Wires, stopping: threading.Event) -> None:
        # Other threads give the interpreter's lock up after this time, and do not keep the scan waiting.
        sys.setswitchinterval(_SWITCH_S)
        if not come_first():
            self._log.warning(
                "gate_scans_without_priority",
                reason="scans may come too late beside other work; give the service LimitRTPRIO=1",
            )
        try:
            while not stopping.is_set():
                missed = scanner.missed_scans
                with self._lock:
                    now_ns = self._clock()
                    in_time = scanner.scan(now_ns)
                if scanner.missed_scans > missed:
                    metrics.DROPPED.labels(self._lane, "gate_scan").inc(
                        scanner.missed_scans - missed
                    )
                if not in_time:
                    self._log.warning("gate_counts_anew", reason="a scan came too late")
                rest_ns = self._pace.scan_ns - (self._clock() - now_ns)
                stopping.wait(max(rest_ns, 0) / 1e9)
        except Exception as error:  # noqa: BLE001 - whatever it is, the line must hear of it
            self._failure = error
        finally:
            wires.close()

    def _next_session(self) -> int:
        """Milliseconds since 1970: greater than any before, also of another process."""
        self._session = max(self._session + 1, time.time_ns() // 1_000_000)
        return self._session

    def _standstill(self) -> GateLinkError:
        silent_ms = self._timeout_ns // 1_000_000
        return GateLinkError(
            GateFault.NO_ANSWER,
            f"the gate of {self._lane} on {self._where} was not scanned for {silent_ms} ms",
            "give the machine fewer other things to do; parts are rejected meanwhile",
        )

    def _error(self, fault: GateFault, deed: str, error: Exception) -> GateLinkError:
        where = f"the gate of {self._lane} on {self._where} {deed}"
        if isinstance(error, GateError):
            return GateLinkError(fault, f"{where}: {error.what}", error.remedy)
        return GateLinkError(
            fault,
            f"{where}: {type(error).__name__}: {error}",
            "report this; it begins anew by itself and rejects meanwhile",
        )
