"""Results that no client can be shown are counted, and the newest are shown as soon as one can."""

import socket
from collections.abc import Callable

import pytest
import structlog

from inspector.gate import Gate, LineState, Outgoing, open_gate
from inspector.gate.opcua.unshown import Unshown
from inspector.gate.opcua.vision import RESULTS, VisionSystem
from inspector.telemetry.metrics import DROPPED
from tests.gate.opcua.client import PlcClient, until
from tests.gate.opcua.line import error_of, fault_of, ok, sessions, settings, told

LATEST = "VisionSystem.ResultManagement.Results.Latest"


@pytest.fixture
def dropped() -> Callable[[], int]:
    """How many results were dropped since the test began."""
    counter = DROPPED.labels("lane-1", "opcua_result")
    before = counter._value.get()
    return lambda: int(counter._value.get() - before)


def test_of_results_that_wait_too_long_the_newest_stay_and_the_others_are_counted(
    dropped: Callable[[], int],
) -> None:
    unshown = Unshown("lane-1")
    with structlog.testing.capture_logs() as lines:
        for number in range(1, RESULTS + 4):
            unshown.add([ok(7, number)])
        assert dropped() == 3
        taken = [unshown.take() for _ in range(RESULTS + 1)]
        assert taken == [ok(7, n) for n in range(4, RESULTS + 4)] + [None]
        unshown.add([ok(7, number) for number in range(RESULTS + 2)])
    assert dropped() == 5
    assert [line["event"] for line in lines] == ["opcua_results_dropped"] * 2


def test_results_that_a_server_without_its_port_cannot_show_are_counted(
    dropped: Callable[[], int],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        gate = open_gate(settings(holder.getsockname()[1]), "lane-1")
        until(lambda: fault_of(gate) is not None and "already in use" in str(error_of(gate)))
        for number in range(1, RESULTS + 3):
            fault_of(gate, Outgoing(True, LineState.RUNNING, (ok(7, number),)))
        assert dropped() == 2
        gate.close()


def test_a_result_that_cannot_be_shown_is_counted_and_the_next_one_is_shown(
    gate: Gate, plc: PlcClient, dropped: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_given: object) -> None:
        raise ValueError("a client subscribed to something odd")

    session = next(sessions)
    with monkeypatch.context() as odd:
        odd.setattr(VisionSystem, "show_result", fail)
        told(gate, plc, session, Outgoing(True, LineState.RUNNING, (ok(session, 1),)))
        until(lambda: dropped() == 1)
    told(gate, plc, session, Outgoing(True, LineState.RUNNING, (ok(session, 2),)))
    until(lambda: plc.value(f"{LATEST}.PartId") == 2)
    assert dropped() == 1
