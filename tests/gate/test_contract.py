"""What every driver owes the line, whatever carries the two blocks: each against a PLC on raw sockets."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from inspector.core.gate_codes import GateAction, GateReason
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason
from inspector.gate import (
    Command,
    Gate,
    GateFault,
    GateLinkError,
    Incoming,
    LineState,
    Outgoing,
)
from inspector.gate.registers import (
    GateResult,
    PhotoEyeEvent,
    PlcBlock,
    ResultCode,
    encode_plc,
)
from tests.gate.client_peer import ModbusClientPlc
from tests.gate.peers import EMPTY, IDLE, ModbusPlc, Plc, S7Plc, first_failure, say

PEERS: dict[str, Callable[[], Plc]] = {
    "modbus": ModbusPlc,
    "modbus_server": ModbusClientPlc,
    "s7": S7Plc,
}
"""By driver."""


@pytest.fixture(params=PEERS)
def plc(request: pytest.FixtureRequest) -> Iterator[Plc]:
    peer = PEERS[request.param]()
    yield peer
    peer.close()


@pytest.fixture
def gate(plc: Plc) -> Iterator[Gate]:
    driver = plc.gate(timeout_ms=1000)
    yield driver
    driver.close()


def ok(number: int, session: int = 7, at_ns: int = 0) -> Command:
    return Command(PartId("lane-1", session, number), Outcome.PASS, Reason.CLEAN, at_ns)


def telling(*commands: Command, alive: bool = True) -> Outgoing:
    return Outgoing(alive, LineState.RUNNING, commands)


def test_the_heartbeat_moves_only_while_the_line_is_alive(plc: Plc, gate: Gate) -> None:
    for alive in (True, False, False, True):
        say(plc, gate, telling(alive=alive))
    assert [block.heartbeat for block in plc.heard] == [1, 1, 1, 2]
    assert len({block.sequence for block in plc.heard}) == 4


def test_commands_stay_in_the_buffer_until_newer_ones_need_their_slots(
    plc: Plc, gate: Gate
) -> None:
    say(plc, gate, telling(*(ok(n) for n in range(1, 6))))
    say(plc, gate)
    assert [r.number for r in plc.heard[-1].results] == [1, 2, 3, 4, 5]
    plc.block = replace(EMPTY, results_taken=5)
    say(plc, gate)
    incoming = say(plc, gate, telling(*(ok(n) for n in range(6, 11))))
    assert [r.number for r in plc.heard[-1].results] == list(range(3, 11))
    assert incoming.commands_overrun == 0


def test_a_command_overwritten_before_the_plc_took_it_is_counted(plc: Plc, gate: Gate) -> None:
    say(plc, gate, telling(*(ok(n) for n in range(1, 9))))
    assert say(plc, gate, telling(ok(9), ok(10))).commands_overrun == 2


def test_commands_of_a_failed_exchange_go_out_with_the_next(plc: Plc) -> None:
    gate = plc.gate(timeout_ms=250)
    say(plc, gate)
    plc.hang_up()
    first_failure(plc, gate, telling(ok(1)))
    plc.be_well()
    say(plc, gate)
    assert [r.number for r in plc.heard[-1].results] == [1]
    gate.close()


def test_a_plc_that_comes_back_after_a_pause_gets_what_was_commanded_meanwhile(plc: Plc) -> None:
    gate = plc.gate(timeout_ms=250)
    say(plc, gate)
    plc.go_away()
    first_failure(plc, gate)
    for number in range(1, 6):
        with pytest.raises(GateLinkError):
            gate.exchange(telling(ok(number)))
    plc.be_well()
    say(plc, gate)
    assert [r.number for r in plc.heard[-1].results] == [1, 2, 3, 4, 5]
    gate.close()


def test_results_carry_session_outcome_reason_and_the_plcs_own_time(plc: Plc) -> None:
    gate = plc.gate(clock=lambda: 500_000_000)
    reject = Command(PartId("lane-1", 7, 2), Outcome.REJECT, Reason.TOO_CLOSE, 100_000_000)
    # Its clock stands at 5000 ms. Before it was read for the first time, nothing can be told in it.
    say(plc, gate, telling(ok(1, at_ns=200_000_000), reject))
    say(plc, gate)
    gate.close()
    before, block = plc.heard
    assert before.results == ()
    assert block.session == 7
    assert [(r.number, r.outcome, r.reason, r.clock_ms) for r in block.results] == [
        (1, ResultCode.OK, Reason.CLEAN, 4700),
        (2, ResultCode.NOK, Reason.TOO_CLOSE, 4600),
    ]


def test_a_new_session_forgets_the_commands_of_the_old_one(plc: Plc, gate: Gate) -> None:
    say(plc, gate)
    say(plc, gate, telling(ok(1), ok(2)))
    say(plc, gate, telling(ok(1, session=8)))
    assert [r.number for r in plc.heard[-1].results] == [1]
    assert plc.heard[-1].session == 8


def test_photo_eye_times_are_told_on_the_hosts_clock(plc: Plc) -> None:
    now = 10_000_000_000
    gate = plc.gate(clock=lambda: now)
    plc.block = replace(EMPTY, part_count=1, photo_eye=(PhotoEyeEvent(1, 4750),))
    incoming = say(plc, gate)
    gate.close()
    assert incoming.watched_ns == now
    (eye,) = incoming.photo_eyes
    assert (eye.number, eye.at_ns) == (1, now - 250_000_000)


def at_gate(count: int) -> PlcBlock:
    results = tuple(
        GateResult(n, GateAction.PASSED, GateReason.OK) for n in range(max(count - 7, 1), count + 1)
    )
    return replace(EMPTY, gate_count=count, gate_results=results)


def test_gate_results_are_told_once_and_lost_ones_are_counted(plc: Plc, gate: Gate) -> None:
    def told(incoming: Incoming) -> list[int]:
        return [result.number for result in incoming.gate_results]

    plc.block = at_gate(3)
    assert told(say(plc, gate)) == []  # history, from before this line looked
    plc.block = at_gate(5)
    assert told(say(plc, gate)) == [4, 5]
    assert told(say(plc, gate)) == []
    plc.block = at_gate(15)
    incoming = say(plc, gate)
    assert told(incoming) == list(range(8, 16))
    assert incoming.gate_results_lost == 2
    say(plc, gate)
    assert plc.heard[-1].gate_read == 15
    plc.block = replace(at_gate(2), session=8)
    assert told(say(plc, gate)) == [1, 2]


def test_a_plc_whose_scan_stands_still_is_not_running(plc: Plc) -> None:
    now = 0

    def clock() -> int:
        return now

    gate = plc.gate(clock=clock)
    assert say(plc, gate).plc_running
    now = 499_000_000
    assert say(plc, gate).plc_running
    now = 500_000_000
    assert not say(plc, gate).plc_running
    plc.block = replace(EMPTY, sequence=2)
    assert say(plc, gate).plc_running
    gate.close()


def test_asking_only_leaves_what_the_plc_was_told(plc: Plc) -> None:
    gate = plc.gate()
    say(plc, gate, telling(ok(1)))
    plc.speak_before()
    assert gate.exchange_idle().session == 7
    told = len(plc.heard)
    plc.speak_after()
    assert plc.heard[told:] in ([], [plc.heard[0]])
    gate.close()


def torn(plc: Plc) -> None:
    words = encode_plc(EMPTY)
    words[-1] += 1
    plc.show = lambda: words


def of_another_map(plc: Plc) -> None:
    words = encode_plc(EMPTY)
    words[0] += 1
    plc.show = lambda: words


def contradicting_itself(plc: Plc) -> None:
    plc.block = replace(EMPTY, part_count=3)


@pytest.mark.parametrize(
    ("mishap", "fault", "says"),
    [
        (torn, GateFault.TORN, "torn"),
        (of_another_map, GateFault.WRONG_MAP, "register map version"),
        (contradicting_itself, GateFault.GARBAGE, "no sense"),
        (lambda plc: plc.be_silent(), GateFault.NO_ANSWER, "250 ms"),
        (lambda plc: plc.be_slow(), GateFault.NO_ANSWER, "250 ms"),
        (lambda plc: plc.hang_up(), GateFault.CLOSED, "closed the connection"),
        (lambda plc: plc.go_away(), GateFault.UNREACHABLE, "cannot be reached|does not connect"),
    ],
)
def test_each_way_to_fail_has_its_own_name_and_a_remedy(
    plc: Plc, mishap: Callable[[Plc], None], fault: GateFault, says: str
) -> None:
    gate = plc.gate(timeout_ms=250)
    well = plc.show
    mishap(plc)
    error = first_failure(plc, gate)
    assert error.fault is fault, error
    with pytest.raises(GateLinkError, match=says):
        raise error
    assert error.what.startswith("the PLC of lane-1")
    assert "gate." in error.remedy or "PLC" in error.remedy
    plc.block, plc.show = EMPTY, well
    plc.be_well()
    assert say(plc, gate).session == 7, "the next exchange works again"
    gate.close()


def test_a_peer_that_dribbles_for_ever_does_not_hold_the_line(plc: Plc) -> None:
    """Each byte comes before a socket's own time-out, the whole never: it gives up."""
    gate = plc.gate(timeout_ms=60)
    plc.dribble()
    started_s = time.monotonic()
    for _ in range(3):
        plc.speak_before()
        with pytest.raises(GateLinkError):
            gate.exchange(IDLE)
    assert time.monotonic() - started_s < 2.0, "12 s is what the peer would have taken"
    gate.close()


def test_noise_from_the_peer_never_ends_the_line(plc: Plc) -> None:
    """Random bytes: always a named error, never another exception, never a block."""
    gate = plc.gate(timeout_ms=10)
    plc.babble()
    for _ in range(300):
        plc.speak_before()
        with pytest.raises(GateLinkError):
            gate.exchange(IDLE)
    gate.close()
    gate = plc.gate()
    plc.be_well()
    assert say(plc, gate).session == 7
    gate.close()


def test_a_peer_that_breaks_off_in_the_middle_of_a_word_is_not_understood(plc: Plc) -> None:
    gate = plc.gate(timeout_ms=250)
    plc.break_off()
    for _ in range(5):
        plc.speak_before()
        with pytest.raises(GateLinkError):
            gate.exchange(IDLE)
    plc.be_well()
    assert say(plc, gate).session == 7
    gate.close()


def test_damaged_frames_never_end_the_line(plc: Plc) -> None:
    """Some are a sound block all the same; any other is a named error, never another exception."""
    gate = plc.gate(timeout_ms=10)
    plc.damage()
    failed = 0
    for _ in range(300):
        plc.speak_before()
        try:
            gate.exchange(IDLE)
        except GateLinkError:
            failed += 1
    assert failed > 100
    gate.close()
    gate = plc.gate()
    plc.be_well()
    assert say(plc, gate).session == 7
    gate.close()
