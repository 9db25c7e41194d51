"""The gate without a PLC in its own thread: begun, broken, hung, closed."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from inspector.core.belt import BeltLimits
from inspector.core.errors import GateError
from inspector.core.gate_program import Parameters
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason
from inspector.gate import (
    Command,
    GateAction,
    GateFault,
    GateLinkError,
    GateResult,
    LineState,
    Outgoing,
)
from inspector.gate.camera_output import CameraWires
from inspector.gate.direct import DirectGate
from inspector.gate.scanner import Pace
from tests.gate.wires import WiresInTheAir

MS = 1_000_000
PROGRAM = Parameters(travel=400 * MS, belt=BeltLimits(settle_ns=0))
UNHURRIED = Pace(scan_ns=2 * MS, late_ns=60_000 * MS, hold_ns=10 * MS, eye_delay_ns=MS)
"""However busy the machine of the test is, no scan is too late."""
IDLE = Outgoing(alive=True, state=LineState.RUNNING)


class LiveWires(WiresInTheAir):
    """The same by the host's own clock."""

    def edges(self) -> list[int]:
        self.now_ns = time.monotonic_ns()
        return list(super().edges())


@pytest.fixture
def opened() -> list[WiresInTheAir]:
    """The wires as they were taken into use, one after the other."""
    return []


@pytest.fixture
def gate(opened: list[WiresInTheAir]) -> Iterator[DirectGate]:
    def open_wires() -> WiresInTheAir:
        opened.append(LiveWires())
        return opened[-1]

    driver = DirectGate(open_wires, PROGRAM, UNHURRIED, "lane-1", where="no chip", timeout_ms=5000)
    yield driver
    driver.close()


def soon(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


def test_it_counts_decides_and_opens_in_its_own_thread(
    gate: DirectGate, opened: list[WiresInTheAir]
) -> None:
    session = gate.exchange(IDLE).session
    (wires,) = opened
    wires.coming = [time.monotonic_ns() + 20 * MS]
    soon(lambda: gate.exchange(IDLE).part_count == 1)
    part = PartId("lane-1", session, 1)
    gate.exchange(
        Outgoing(True, LineState.RUNNING, (Command(part, Outcome.PASS, Reason.CLEAN, 0),))
    )
    done: list[GateResult] = []

    def is_done() -> bool:
        done.extend(gate.exchange(IDLE).gate_results)
        return bool(done)

    soon(is_done)
    assert (done[0].number, done[0].action) == (1, GateAction.PASSED)
    assert wires.passes


def test_a_gate_without_a_plc_runs_and_sees_the_line_as_soon_as_it_is_spoken_with(
    gate: DirectGate,
) -> None:
    def is_well() -> bool:
        incoming = gate.exchange(IDLE)
        return incoming.plc_running and incoming.line_alive

    soon(is_well)


def test_closing_rejects_and_gives_the_wires_back(
    gate: DirectGate, opened: list[WiresInTheAir]
) -> None:
    gate.exchange(IDLE)
    gate.close()
    assert opened[0].closed
    assert "scan-lane-1" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (GateError("the wire is gone", "mend it"), "stopped: the wire is gone; mend it"),
        (ZeroDivisionError("a mistake"), "ZeroDivisionError: a mistake; report this"),
    ],
)
def test_whatever_breaks_while_scanning_rejects_is_named_and_is_begun_anew(
    gate: DirectGate, opened: list[WiresInTheAir], broken: Exception, says: str
) -> None:
    session = gate.exchange(IDLE).session
    opened[0].broken = broken
    soon(lambda: opened[0].closed)
    assert not opened[0].open_at(time.monotonic_ns())
    with pytest.raises(GateLinkError, match=says) as caught:
        gate.exchange(IDLE)
    assert caught.value.fault is GateFault.CLOSED
    assert gate.exchange(IDLE).session > session
    assert len(opened) == 2


def test_a_camera_process_that_takes_no_requests_is_named_and_ends_the_scans_in_order() -> None:
    wires = CameraWires(lambda _until_ns: False)
    with pytest.raises(GateError, match="does not take requests"):
        wires.pass_until(1)
    wires.close()


def test_wires_that_cannot_be_had_are_named_with_a_remedy() -> None:
    def none() -> WiresInTheAir:
        raise GateError("there is no chip", "plug one in")

    gate = DirectGate(none, PROGRAM, UNHURRIED, "lane-1", where="no chip", timeout_ms=100)
    with pytest.raises(GateLinkError, match="there is no chip; plug one in") as caught:
        gate.exchange(IDLE)
    assert caught.value.fault is GateFault.UNREACHABLE
    gate.close()


def test_a_wire_that_hangs_is_a_link_that_does_not_answer() -> None:
    class HangingWires(WiresInTheAir):
        released = threading.Event()

        def edges(self) -> list[int]:
            self.released.wait()
            return []

    wires = HangingWires()
    gate = DirectGate(lambda: wires, PROGRAM, UNHURRIED, "lane-1", where="no chip", timeout_ms=50)

    def ask_again_and_again() -> None:
        soon(lambda: gate.exchange(IDLE).plc_running is None)

    with pytest.raises(GateLinkError, match="not scanned for 50 ms") as caught:
        ask_again_and_again()
    assert caught.value.fault is GateFault.NO_ANSWER
    wires.released.set()
    gate.close()


def test_asking_only_tells_the_program_nothing(gate: DirectGate) -> None:
    for _ in range(5):
        incoming = gate.exchange_idle()
        time.sleep(0.005)
    assert not incoming.line_alive
