"""What is special to the Modbus server: who may write, what a write's time says, and its port."""

import re
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.gate import Gate, GateFault, GateLinkError, Incoming
from inspector.gate.conversation import Conversation
from inspector.gate.modbus_server import Mailbox
from inspector.gate.registers import LINE_TO_PLC_SIZE, PLC_TO_LINE_SIZE, decode_line, encode_plc
from tests.gate.client_peer import ModbusClientPlc
from tests.gate.peers import EMPTY, IDLE, first_failure, say

MS = 1_000_000
BUSY = bytes([0x90, 6])
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS = 1, 2


@pytest.fixture
def plc() -> Iterator[ModbusClientPlc]:
    peer = ModbusClientPlc()
    yield peer
    peer.close()


@pytest.fixture
def gate(plc: ModbusClientPlc) -> Iterator[Gate]:
    driver = plc.gate(timeout_ms=300)
    yield driver
    driver.close()


def another(plc: ModbusClientPlc, session: int) -> ModbusClientPlc:
    second = ModbusClientPlc()
    second.port = plc.port
    second.block = replace(EMPTY, session=session)
    return second


def test_only_one_plc_may_write_at_a_time(plc: ModbusClientPlc, gate: Gate) -> None:
    second = another(plc, session=8)
    say(plc, gate)
    assert second.write(second.show()) == BUSY
    assert any(second.read()), "anybody may read"
    assert say(plc, gate).session == 7
    second.close()


def test_another_plc_may_write_once_the_first_has_gone(plc: ModbusClientPlc) -> None:
    gate = plc.gate(timeout_ms=60_000)
    second = another(plc, session=8)
    say(plc, gate)
    plc.go_away()
    until_s = time.monotonic() + 10
    while second.write(second.show()) == BUSY:
        assert time.monotonic() < until_s, "it waits for the first to be silent"
    assert say(second, gate).session == 8
    second.close()
    gate.close()


def test_another_plc_may_write_once_the_first_is_silent(plc: ModbusClientPlc, gate: Gate) -> None:
    """Its connection may stay open for ever: a computer that was cut off does not say so."""
    second = another(plc, session=8)
    say(plc, gate)
    while second.write(second.show()) == BUSY:
        pass
    assert say(second, gate).session == 8
    assert plc.write(plc.show()) == BUSY
    second.close()


def test_the_first_write_only_begins(plc: ModbusClientPlc, gate: Gate) -> None:
    """How long it was under way nobody knows."""
    plc.write(plc.show())
    with pytest.raises(GateLinkError) as caught:
        gate.exchange(IDLE)
    assert caught.value.fault is GateFault.NO_ANSWER
    plc.write(plc.show())
    assert gate.exchange(IDLE).session == 7


def test_a_block_in_pieces_counts_when_its_last_piece_is_there(
    plc: ModbusClientPlc, gate: Gate
) -> None:
    assert say(plc, gate).session == 7
    words = encode_plc(replace(EMPTY, sequence=2, session=8))
    plc.write(words[:40])
    assert gate.exchange(IDLE).session == 7, "the last whole one holds"
    plc.write(words[40:], address=40)
    assert gate.exchange(IDLE).session == 8


def heard(mailbox: Mailbox, conversation: Conversation) -> Incoming:
    assert mailbox.seat.heard is not None
    return conversation.hear(*mailbox.seat.heard)


@settings(deadline=None)  # what is timed here is the line, not this machine
@given(
    st.lists(st.tuples(st.integers(0, 30 * MS), st.integers(0, 90 * MS)), min_size=2, max_size=40)
)
def test_a_plcs_time_is_told_late_by_its_uncertainty_at_most_and_never_early(
    scans: list[tuple[int, int]],
) -> None:
    """Each time: the PLC rests, reads its clock, and its write is under way. Then comes the answer."""
    now = 0
    mailbox = Mailbox(lambda: now, 1000 * MS)
    conversation = Conversation()
    for at, (rests, under_way) in enumerate(scans):
        now += rests
        read_ns = now
        now += under_way
        block = replace(EMPTY, sequence=at, clock_ms=read_ns // MS)
        assert mailbox.write("plc", 0, encode_plc(block))
        if at > 0:
            incoming = heard(mailbox, conversation)
            late_ns = incoming.watched_ns - read_ns // MS * MS
            assert 0 <= late_ns <= incoming.uncertainty_ns


def test_a_write_that_was_held_up_on_its_way_is_not_believed_to_be_new() -> None:
    now = 0
    mailbox = Mailbox(lambda: now, 200 * MS)
    heard = []
    for at in (1000, 1010, 1020, 6000, 6010):
        now = at * MS
        mailbox.write("plc", 0, encode_plc(replace(EMPTY, clock_ms=at)))
        heard.append(mailbox.seat.heard)
    assert [None if one is None else one.sent_ns // MS for one in heard] == [
        *(None, 1000, 1010),
        *(None, 6000),
    ]


def test_a_plc_that_takes_over_does_not_complete_the_former_ones_block() -> None:
    mailbox = Mailbox(lambda: 0, 200 * MS)
    words = encode_plc(EMPTY)
    mailbox.write("first", 0, words)
    mailbox.left("first")
    for _ in range(2):
        mailbox.write("second", 0, words[:50])
    assert mailbox.seat.heard is None
    assert mailbox.seat.fault is not None


@pytest.mark.parametrize(
    ("request_pdu", "exception"),
    [
        (struct.pack(">BHH", 4, 1, LINE_TO_PLC_SIZE), ILLEGAL_ADDRESS),
        (struct.pack(">BHH", 3, 0, PLC_TO_LINE_SIZE + 1), ILLEGAL_ADDRESS),
        (struct.pack(">BHHBH", 16, PLC_TO_LINE_SIZE, 1, 2, 5), ILLEGAL_ADDRESS),
        (struct.pack(">BHH", 1, 0, 8), ILLEGAL_FUNCTION),
        (struct.pack(">BHH", 5, 0, 0xFF00), ILLEGAL_FUNCTION),
        (struct.pack(">BHH", 2, 0, 8), ILLEGAL_FUNCTION),
    ],
)
def test_what_is_not_in_the_map_is_refused(
    plc: ModbusClientPlc, gate: Gate, request_pdu: bytes, exception: int
) -> None:
    assert plc.ask(request_pdu) == bytes([request_pdu[0] | 0x80, exception])
    assert say(plc, gate).session == 7


def test_clients_that_never_close_do_not_push_the_plc_out(plc: ModbusClientPlc, gate: Gate) -> None:
    say(plc, gate)
    readers = [another(plc, 9) for _ in range(20)]
    for reader in readers:
        reader.read()
    assert plc.write(plc.show())[0] == 16, "its connection is the same as before"
    with pytest.raises(ConnectionResetError):
        readers[0].read()
    for reader in readers:
        reader.close()


def test_a_port_that_is_taken_is_named(plc: ModbusClientPlc) -> None:
    with socket.create_server(("127.0.0.1", plc.port)):
        gate = plc.gate()
        with pytest.raises(GateLinkError) as caught:
            gate.exchange(IDLE)
    error = caught.value
    assert error.fault is GateFault.UNREACHABLE
    assert error.what.startswith(f"the line cannot listen at 127.0.0.1:{plc.port} for the PLC of")
    assert "Address already in use" in error.what
    assert "gate.port" in error.remedy
    with pytest.raises(GateLinkError, match="does not connect"):
        gate.exchange(IDLE)
    assert say(plc, gate).session == 7, "once the port is free it works"
    gate.close()


def test_a_gate_that_was_closed_opens_again(plc: ModbusClientPlc, gate: Gate) -> None:
    say(plc, gate)
    gate.close()
    first_failure(plc, gate)
    assert say(plc, gate).session == 7


def test_who_only_asks_gives_the_plc_time_to_connect(plc: ModbusClientPlc) -> None:
    gate = plc.gate(timeout_ms=2000)
    writer = subprocess.Popen(
        [sys.executable, "-c", _LATE_PLC, str(plc.port), *map(str, plc.show())]
    )
    assert gate.exchange_idle().session == 7
    writer.kill()
    writer.wait()
    gate.close()


_LATE_PLC = """
import socket, struct, sys, time
port, *words = map(int, sys.argv[1:])
time.sleep(0.3)
plc = socket.create_connection(("127.0.0.1", port))
write = struct.pack(f">BHHB{len(words)}H", 16, 0, len(words), 2 * len(words), *words)
while True:
    plc.sendall(struct.pack(">HHHB", 1, 0, len(write) + 1, 1) + write)
    plc.recv(100)
    time.sleep(0.02)
"""


def test_another_modbus_master_reads_what_the_line_says(plc: ModbusClientPlc, gate: Gate) -> None:
    program = shutil.which("mbpoll")
    if program is None:
        pytest.fail("mbpoll is not installed; `make test` installs it (apt-get install mbpoll)")
    say(plc, gate)
    say(plc, gate)
    command = [program, "-m", "tcp", "-p", str(plc.port), "-0", "-1", "-o", "5", "-t", "3"]
    command += ["-r", "0", "-c", str(LINE_TO_PLC_SIZE), "127.0.0.1"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = [int(found) for found in re.findall(r"^\[\d+\]:\s+(\d+)", output, re.MULTILINE)]
    assert decode_line(words) == plc.heard[-1]
