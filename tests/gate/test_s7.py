"""What is special to S7: blocks refused or too long, and answers to other questions."""

import struct
from collections.abc import Callable, Iterator

import pytest

from inspector.gate import GateFault, GateLinkError
from inspector.gate.registers import PLC_TO_LINE_SIZE
from tests.gate.peers import S7Plc, first_failure, say

READ, WRITE, SETUP = 0x04, 0x05, 0xF0
Twist = Callable[[S7Plc, bytes], bytes | None]


@pytest.fixture
def plc() -> Iterator[S7Plc]:
    peer = S7Plc()
    yield peer
    peer.close()


def on(function: int, twist: Twist) -> Twist:
    """Answer one function otherwise, all others well."""

    def answer(plc: S7Plc, request: bytes) -> bytes | None:
        is_job = request[5] == 0xF0 and request[17] == function
        return twist(plc, request) if is_job else plc.speak(request)

    return answer


def no_such_db(plc: S7Plc, request: bytes) -> bytes:
    return plc.reply(request, bytes([request[17], 1]), struct.pack(">BBH", 0x0A, 0, 0))


def no_such_db_to_write(plc: S7Plc, request: bytes) -> bytes:
    return plc.reply(request, b"\x05\x01", b"\x0a")


def access_denied(plc: S7Plc, request: bytes) -> bytes:
    return plc.reply(request, b"", error=0x8104)


def answer_to_another_question(plc: S7Plc, request: bytes) -> bytes:
    size = 2 * PLC_TO_LINE_SIZE
    data = struct.pack(">BBH", 0xFF, 4, 8 * size) + bytes(size)
    return plc.reply(request, b"\x04\x01", data, reference=-1)


def shorter_than_asked(plc: S7Plc, request: bytes) -> bytes:
    return plc.reply(request, b"\x04\x01", struct.pack(">BBH", 0xFF, 4, 16) + bytes(2))


def empty(plc: S7Plc, request: bytes) -> bytes:
    return plc.reply(request, b"")


@pytest.mark.parametrize(
    ("twist", "fault", "says"),
    [
        (on(READ, no_such_db), GateFault.REFUSED, "reading .* of DB7: Object does not exist"),
        (on(WRITE, no_such_db_to_write), GateFault.REFUSED, "writing .* of DB8: Object does not"),
        (on(READ, access_denied), GateFault.REFUSED, "refuses.*PUT/GET"),
        (on(READ, answer_to_another_question), GateFault.GARBAGE, "not S7"),
        (on(READ, shorter_than_asked), GateFault.GARBAGE, "not S7"),
        (on(READ, empty), GateFault.GARBAGE, "not S7"),
        (on(WRITE, empty), GateFault.GARBAGE, "not S7"),
        (on(SETUP, empty), GateFault.GARBAGE, "not S7"),
        (lambda _, __: b"HTTP/1.1 400 Bad Request\r\n\r\n", GateFault.GARBAGE, "not S7"),
    ],
)
def test_each_way_to_fail_has_its_own_name_and_a_remedy(
    plc: S7Plc, twist: Twist, fault: GateFault, says: str
) -> None:
    gate = plc.gate()
    plc.answer = lambda request: twist(plc, request)
    error = first_failure(plc, gate)
    with pytest.raises(GateLinkError, match=says):
        raise error
    assert error.fault is fault
    assert error.what.startswith(f"the PLC of lane-1 at 127.0.0.1:{plc.port}")
    plc.be_well()
    assert say(plc, gate).session == 7, "the next exchange works again"
    gate.close()


def test_a_plc_whose_pdus_are_too_short_for_a_block_is_refused_not_read_in_pieces(
    plc: S7Plc,
) -> None:
    plc.pdu = 2 * PLC_TO_LINE_SIZE
    error = first_failure(plc, plc.gate())
    assert error.fault is GateFault.REFUSED
    assert f"takes {plc.pdu} bytes at once" in error.what


def test_an_exchange_is_two_requests_and_a_torn_block_does_not_end_the_connection(
    plc: S7Plc,
) -> None:
    functions: list[int] = []

    def listening(request: bytes) -> bytes | None:
        functions.append(request[17] if request[5] == 0xF0 else request[5])
        return plc.speak(request)

    plc.answer = listening
    gate = plc.gate()
    say(plc, gate)
    torn = plc.show()
    torn[-1] += 1
    plc.show = lambda: torn
    assert first_failure(plc, gate).fault is GateFault.TORN
    torn[-1] -= 1
    say(plc, gate)
    assert functions == [0xE0, SETUP, *[WRITE, READ] * 3]
    gate.close()
