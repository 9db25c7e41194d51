"""What is special to the Modbus client: how a server refuses, and answers that are no Modbus."""

import struct
import time
from collections.abc import Iterator

import pytest

from inspector.gate import GateFault, GateLinkError
from tests.gate.peers import Answer, ModbusPlc, first_failure, say


@pytest.fixture
def plc() -> Iterator[ModbusPlc]:
    peer = ModbusPlc()
    yield peer
    peer.close()


def refused(request: bytes) -> bytes:
    return request[:4] + struct.pack(">HBBB", 3, request[6], request[7] | 0x80, 2)


def too_short(request: bytes) -> bytes:
    if request[7] == 16:
        return request[:4] + struct.pack(">H", 6) + request[6:12]
    return request[:4] + struct.pack(">HBBBH", 5, request[6], 4, 2, 0x4901)


@pytest.mark.parametrize(
    ("answer", "fault", "says"),
    [
        (refused, GateFault.REFUSED, "illegal address"),
        (too_short, GateFault.GARBAGE, "no sense"),
        (lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", GateFault.GARBAGE, "not Modbus"),
        (lambda r: r[:6] + bytes([r[6], 99]), GateFault.GARBAGE, "answers what"),
        (lambda r: r[:4] + b"\x00\x03" + bytes([r[6], r[7], 0]), GateFault.GARBAGE, "answers what"),
    ],
)
def test_each_way_to_fail_has_its_own_name_and_a_remedy(
    plc: ModbusPlc, answer: Answer, fault: GateFault, says: str
) -> None:
    gate = plc.gate(timeout_ms=500)
    plc.answer = answer
    error = first_failure(plc, gate)
    with pytest.raises(GateLinkError, match=says):
        raise error
    assert error.fault is fault
    assert error.what.startswith(f"the PLC of lane-1 at 127.0.0.1:{plc.port}")
    assert error.remedy
    plc.be_well()
    assert say(plc, gate).session == 7, "the next exchange works again"
    gate.close()


def test_a_connection_that_the_plc_resets_is_told_to_be_closed(plc: ModbusPlc) -> None:
    gate = plc.gate(timeout_ms=500)
    say(plc, gate)
    plc.reset()
    error = first_failure(plc, gate)
    assert error.fault is GateFault.CLOSED, error
    gate.close()


def test_an_answer_that_a_busy_computer_takes_too_late_is_no_sign_of_another_protocol(
    plc: ModbusPlc,
) -> None:
    late_ns = 0

    def answer(request: bytes) -> bytes | None:
        nonlocal late_ns
        late_ns += 10**9
        return plc.speak(request)

    gate = plc.gate(timeout_ms=500, clock=lambda: time.monotonic_ns() + late_ns)
    plc.answer = answer
    error = first_failure(plc, gate)
    assert error.fault is GateFault.NO_ANSWER, error
    gate.close()
