"""The OPC UA driver: the line is the server, a client plays the PLC, well and badly."""

import time

import pytest
from asyncua import ua
from asyncua.ua.uaerrors import BadUserAccessDenied, UaStatusCodeError

from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason
from inspector.gate import (
    Command,
    Gate,
    GateFault,
    GateLinkError,
    LineState,
    Outgoing,
)
from inspector.gate.registers import (
    PhotoEyeEvent,
    ResultCode,
    encode_plc,
)
from tests.gate.opcua.client import PlcClient, until
from tests.gate.opcua.line import IDLE, MS, block, fault_of, ok, sessions, told


def test_a_command_reaches_the_plc(gate: Gate, plc: PlcClient) -> None:
    session = next(sessions)
    told(gate, plc, session, IDLE)
    reject = Command(PartId("lane-1", session, 2), Outcome.REJECT, Reason.DEFECT, 0)
    told(gate, plc, session, Outgoing(True, LineState.RUNNING, (ok(session, 1), reject)))
    line = plc.line()
    assert line is not None
    assert (line.session, line.state) == (session, LineState.RUNNING)
    assert [(r.number, r.outcome, r.reason) for r in line.results] == [
        (1, ResultCode.OK, Reason.CLEAN),
        (2, ResultCode.NOK, Reason.DEFECT),
    ]


def test_the_heartbeat_moves_only_while_the_line_is_alive(gate: Gate, plc: PlcClient) -> None:
    session = next(sessions)
    beats = []
    for alive in (True, False, False, True):
        told(gate, plc, session, Outgoing(alive, LineState.RUNNING))
        line = plc.line()
        assert line is not None
        beats.append(line.heartbeat)
    assert [beat - beats[0] for beat in beats] == [0, 0, 0, 1]


def test_photo_eye_times_are_told_on_the_hosts_clock(gate: Gate, plc: PlcClient) -> None:
    """The PLC reads its clock just before it writes: what is told is later than that, never earlier."""
    session = next(sessions)
    plc.write_words(encode_plc(block(session, clock_ms=4000)))
    words = encode_plc(block(session, PhotoEyeEvent(1, 4750), clock_ms=5000))
    read_ns = time.monotonic_ns()
    plc.write_words(words)
    answered_ns = time.monotonic_ns()
    incoming = gate.exchange(IDLE)
    (eye,) = incoming.photo_eyes
    assert incoming.session == session
    assert incoming.watched_ns - eye.at_ns == 250 * MS
    assert read_ns <= incoming.watched_ns <= answered_ns
    assert incoming.watched_ns - read_ns <= incoming.uncertainty_ns


def test_the_first_block_after_a_silence_only_begins(gate: Gate, plc: PlcClient) -> None:
    """It may have been under way for long, with nothing to show it."""
    session = next(sessions)
    for _ in range(2):
        plc.write_words(encode_plc(block(session)))
        assert fault_of(gate) is GateFault.NO_ANSWER
        plc.write_words(encode_plc(block(session)))
        assert fault_of(gate) is None
        until(lambda: fault_of(gate) is GateFault.NO_ANSWER)


def test_a_plc_that_falls_silent_is_away_until_it_writes_again(gate: Gate, plc: PlcClient) -> None:
    session = next(sessions)
    told(gate, plc, session, IDLE)
    until(lambda: fault_of(gate) is GateFault.NO_ANSWER)
    with pytest.raises(GateLinkError, match=r"has not written its block for .* s; see whether it"):
        gate.exchange(IDLE)
    plc.write(block(session))
    assert gate.exchange(IDLE).session == session


def test_what_the_line_says_while_the_plc_is_away_is_there_when_it_comes_back(
    gate: Gate, plc: PlcClient
) -> None:
    session = next(sessions)
    told(gate, plc, session, IDLE)
    until(lambda: fault_of(gate) is GateFault.NO_ANSWER)
    assert fault_of(gate, Outgoing(True, LineState.RUNNING, (ok(session, 1),)))
    until(lambda: (line := plc.line()) is not None and [r.number for r in line.results] == [1])


def torn() -> list[int]:
    words = encode_plc(block(7))
    words[-1] ^= 1
    return words


def wrong_map() -> list[int]:
    return [0x4142, *encode_plc(block(7))[1:]]


U16, I32 = ua.VariantType.UInt16, ua.VariantType.Int32


@pytest.mark.parametrize(
    ("variant", "status", "fault"),
    [
        (ua.Variant(encode_plc(block(7)), I32), "BadTypeMismatch", GateFault.GARBAGE),
        (ua.Variant(7, U16), "BadTypeMismatch", GateFault.GARBAGE),
        (ua.Variant("block", ua.VariantType.String), "BadTypeMismatch", GateFault.GARBAGE),
        (ua.Variant(encode_plc(block(7))[:-1], U16), "BadTypeMismatch", GateFault.GARBAGE),
        (ua.Variant([], U16), "BadTypeMismatch", GateFault.GARBAGE),
        (ua.Variant([0] * 60_000, U16), "BadTypeMismatch", GateFault.GARBAGE),
        (ua.Variant(torn(), U16), "BadOutOfRange", GateFault.TORN),
        (ua.Variant(wrong_map(), U16), "BadOutOfRange", GateFault.WRONG_MAP),
    ],
)
def test_a_plc_that_writes_nonsense_is_told_so_and_so_is_the_line(
    gate: Gate, plc: PlcClient, variant: ua.Variant, status: str, fault: GateFault
) -> None:
    session = next(sessions)
    told(gate, plc, session, IDLE)
    with pytest.raises(UaStatusCodeError) as refused:
        plc.write_variant(variant)
    assert type(refused.value).__name__ == status
    with pytest.raises(GateLinkError, match=r"docs/plc\.md") as caught:
        gate.exchange(IDLE)
    assert caught.value.fault is fault
    plc.write(block(session))
    assert gate.exchange(IDLE).session == session, "the next good block mends it"


def test_nonsense_of_a_client_that_has_left_is_not_what_is_wrong_for_ever(
    gate: Gate, address: str
) -> None:
    with PlcClient(address) as passer_by, pytest.raises(UaStatusCodeError):
        passer_by.write_words(torn())
    assert fault_of(gate) is GateFault.TORN
    until(lambda: fault_of(gate) is GateFault.NO_ANSWER)


def test_nobody_else_speaks_for_the_plc_while_it_speaks(
    gate: Gate, plc: PlcClient, address: str
) -> None:
    session = next(sessions)
    with PlcClient(address) as other:
        told(gate, plc, session, IDLE)
        with pytest.raises(BadUserAccessDenied):
            other.write(block(next(sessions)))
        with pytest.raises(BadUserAccessDenied):
            other.write_words(torn())
        assert gate.exchange(IDLE).session == session
        until(lambda: fault_of(gate) is GateFault.NO_ANSWER)
        theirs = next(sessions)
        other.write(block(theirs))
        assert gate.exchange(IDLE).session == theirs, "it takes the seat of the silent one"


def test_a_plc_that_says_goodbye_leaves_its_seat_at_once(
    gate: Gate, plc: PlcClient, address: str
) -> None:
    with PlcClient(address) as first:
        told(gate, first, next(sessions), IDLE)
    session = next(sessions)
    plc.write(block(session))
    assert gate.exchange(IDLE).session == session
