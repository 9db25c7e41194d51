"""The Modbus driver against a peer that speaks raw sockets, well and badly."""

import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from inspector.config import ModbusGateSettings
from inspector.core.gate_codes import GateAction, GateReason, GateStatus
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
    open_gate,
)
from inspector.gate.modbus import ModbusGate
from inspector.gate.registers import (
    GateResult,
    LineBlock,
    PhotoEyeEvent,
    PlcBlock,
    ResultCode,
    decode_line,
    encode_plc,
)

BASE = 100
IDLE = Outgoing(alive=True, state=LineState.RUNNING)
EMPTY = PlcBlock(1, GateStatus.READY, 0, 7, 0, 5000, 0, 0)

Answer = Callable[[bytes], bytes | None]
"""From a request to the bytes sent back; None closes the connection."""


@dataclass
class Peer:
    """A PLC in a thread: one client at a time, every request answered by ``answer``."""

    block: PlcBlock = EMPTY
    written: list[LineBlock] = field(default_factory=list)
    answer: Answer | None = None
    byte_pause_s: float = 0.0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ended = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended = True
        self._listener.close()

    def _serve(self) -> None:
        while not self._ended:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                while request := client.recv(4096):
                    try:
                        answer = (self.answer or self.speak)(request)
                        if answer is None:
                            break
                        if self.byte_pause_s == 0:
                            client.sendall(answer)
                        for byte in answer if self.byte_pause_s else b"":
                            time.sleep(self.byte_pause_s)
                            client.sendall(bytes([byte]))
                    except OSError:
                        break

    def speak(self, request: bytes) -> bytes | None:
        """Modbus as it should be."""
        head, function = request[:4], request[7]
        address, count = struct.unpack(">HH", request[8:12])
        if function == 16:
            assert address == BASE
            self.written.append(decode_line(struct.unpack(f">{count}H", request[13:])))
            body = request[6:12]
        else:
            assert (function, address) == (4, BASE)
            words = encode_plc(self.block)
            assert count == len(words)
            body = struct.pack(f">BBB{count}H", request[6], 4, 2 * count, *words)
        return head + struct.pack(">H", len(body)) + body


@pytest.fixture
def peer() -> Iterator[Peer]:
    plc = Peer()
    yield plc
    plc.close()


@pytest.fixture
def gate(peer: Peer) -> Iterator[Gate]:
    driver = open_gate(ModbusGateSettings(port=peer.port, base_register=BASE), "lane-1")
    yield driver
    driver.close()


def ok(number: int, session: int = 7, at_ns: int = 0) -> Command:
    return Command(PartId("lane-1", session, number), Outcome.PASS, Reason.CLEAN, at_ns)


def telling(*commands: Command, alive: bool = True) -> Outgoing:
    return Outgoing(alive, LineState.RUNNING, commands)


def test_the_heartbeat_moves_only_while_the_line_is_alive(peer: Peer, gate: Gate) -> None:
    for alive in (True, False, False, True):
        gate.exchange(telling(alive=alive))
    beats = [block.heartbeat for block in peer.written]
    assert beats == [1, 1, 1, 2]
    assert len({block.sequence for block in peer.written}) == 4


def test_commands_stay_in_the_buffer_until_newer_ones_need_their_slots(
    peer: Peer, gate: Gate
) -> None:
    gate.exchange(telling(*(ok(n) for n in range(1, 6))))
    gate.exchange(IDLE)
    assert [r.number for r in peer.written[-1].results] == [1, 2, 3, 4, 5]
    peer.block = replace(EMPTY, results_taken=5)
    gate.exchange(IDLE)
    incoming = gate.exchange(telling(*(ok(n) for n in range(6, 11))))
    assert [r.number for r in peer.written[-1].results] == list(range(3, 11))
    assert incoming.commands_overrun == 0


def test_a_command_overwritten_before_the_plc_took_it_is_counted(peer: Peer, gate: Gate) -> None:
    gate.exchange(telling(*(ok(n) for n in range(1, 9))))
    assert gate.exchange(telling(ok(9), ok(10))).commands_overrun == 2


def test_commands_of_a_failed_exchange_go_out_with_the_next(peer: Peer, gate: Gate) -> None:
    gate.exchange(IDLE)
    peer.answer = lambda _: None
    with pytest.raises(GateLinkError):
        gate.exchange(telling(ok(1)))
    peer.answer = None
    gate.exchange(IDLE)
    assert [r.number for r in peer.written[-1].results] == [1]


def test_results_carry_session_outcome_reason_and_the_plcs_own_time(peer: Peer) -> None:
    gate = ModbusGate(
        ModbusGateSettings(port=peer.port, base_register=BASE), "lane-1", clock=lambda: 500_000_000
    )
    reject = Command(PartId("lane-1", 7, 2), Outcome.REJECT, Reason.TOO_CLOSE, 100_000_000)
    # Its clock stands at 5000 ms. Before it was read for the first time, nothing can be told in it.
    gate.exchange(telling(ok(1, at_ns=200_000_000), reject))
    gate.exchange(IDLE)
    gate.close()
    before, block = peer.written
    assert before.results == ()
    assert block.session == 7
    assert [(r.number, r.outcome, r.reason, r.clock_ms) for r in block.results] == [
        (1, ResultCode.OK, Reason.CLEAN, 4700),
        (2, ResultCode.NOK, Reason.TOO_CLOSE, 4600),
    ]


def test_a_new_session_forgets_the_commands_of_the_old_one(peer: Peer, gate: Gate) -> None:
    gate.exchange(telling(ok(1), ok(2)))
    gate.exchange(telling(ok(1, session=8)))
    assert [r.number for r in peer.written[-1].results] == [1]
    assert peer.written[-1].session == 8


def test_photo_eye_times_are_told_on_the_hosts_clock(peer: Peer) -> None:
    now = 10_000_000_000
    gate = ModbusGate(
        ModbusGateSettings(port=peer.port, base_register=BASE), "lane-1", clock=lambda: now
    )
    peer.block = replace(EMPTY, part_count=1, photo_eye=(PhotoEyeEvent(1, 4750),))
    incoming = gate.exchange(IDLE)
    gate.close()
    assert incoming.watched_ns == now
    (eye,) = incoming.photo_eyes
    assert (eye.number, eye.at_ns) == (1, now - 250_000_000)


def at_gate(count: int) -> PlcBlock:
    results = tuple(
        GateResult(n, GateAction.PASSED, GateReason.OK) for n in range(max(count - 7, 1), count + 1)
    )
    return replace(EMPTY, gate_count=count, gate_results=results)


def test_gate_results_are_told_once_and_lost_ones_are_counted(peer: Peer, gate: Gate) -> None:
    def told(incoming: Incoming) -> list[int]:
        return [result.number for result in incoming.gate_results]

    peer.block = at_gate(3)
    assert told(gate.exchange(IDLE)) == []  # history, from before this line looked
    peer.block = at_gate(5)
    assert told(gate.exchange(IDLE)) == [4, 5]
    assert told(gate.exchange(IDLE)) == []
    peer.block = at_gate(15)
    incoming = gate.exchange(IDLE)
    assert told(incoming) == list(range(8, 16))
    assert incoming.gate_results_lost == 2
    gate.exchange(IDLE)
    assert peer.written[-1].gate_read == 15
    peer.block = replace(at_gate(2), session=8)
    assert told(gate.exchange(IDLE)) == [1, 2]


def test_a_plc_whose_scan_stands_still_is_not_running(peer: Peer) -> None:
    now = 0

    def clock() -> int:
        return now

    gate = ModbusGate(ModbusGateSettings(port=peer.port, base_register=BASE), "lane-1", clock=clock)
    assert gate.exchange(IDLE).plc_running
    now = 499_000_000
    assert gate.exchange(IDLE).plc_running
    now = 500_000_000
    assert not gate.exchange(IDLE).plc_running
    peer.block = replace(EMPTY, sequence=2)
    assert gate.exchange(IDLE).plc_running
    gate.close()


def test_asking_only_leaves_what_the_plc_was_told(peer: Peer, gate: Gate) -> None:
    assert gate.exchange_idle().session == 7
    assert peer.written == []


def refused(request: bytes) -> bytes:
    return request[:4] + struct.pack(">HBBB", 3, request[6], request[7] | 0x80, 2)


def wrong_map(request: bytes) -> bytes:
    if request[7] == 16:
        return request[:4] + struct.pack(">H", 6) + request[6:12]
    count = struct.unpack(">H", request[10:12])[0]
    body = struct.pack(f">BBB{count}H", request[6], 4, 2 * count, *range(count))
    return request[:4] + struct.pack(">H", len(body)) + body


def torn(request: bytes) -> bytes:
    if request[7] == 16:
        return wrong_map(request)
    words = encode_plc(EMPTY)
    words[-1] += 1
    body = struct.pack(f">BBB{len(words)}H", request[6], 4, 2 * len(words), *words)
    return request[:4] + struct.pack(">H", len(body)) + body


def too_short(request: bytes) -> bytes:
    if request[7] == 16:
        return wrong_map(request)
    return request[:4] + struct.pack(">HBBBH", 5, request[6], 4, 2, 0x4901)


@pytest.mark.parametrize(
    ("answer", "fault", "says"),
    [
        (lambda _: b"", GateFault.NO_ANSWER, "no answer within 100 ms"),
        (lambda _: None, GateFault.CLOSED, "closed the connection"),
        (refused, GateFault.REFUSED, "illegal address"),
        (wrong_map, GateFault.WRONG_MAP, "register map version"),
        (torn, GateFault.TORN, "torn"),
        (too_short, GateFault.GARBAGE, "no sense"),
        (lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", GateFault.GARBAGE, "not Modbus"),
        (lambda r: r[:6] + bytes([r[6], 99]), GateFault.GARBAGE, "answers what"),
        (lambda r: r[:4] + b"\x00\x03" + bytes([r[6], r[7], 0]), GateFault.GARBAGE, "answers what"),
    ],
)
def test_each_way_to_fail_has_its_own_name_and_a_remedy(
    peer: Peer, answer: Answer, fault: GateFault, says: str
) -> None:
    peer.answer = answer
    settings = ModbusGateSettings(port=peer.port, base_register=BASE, timeout_ms=100)
    gate = open_gate(settings, "lane-1")
    with pytest.raises(GateLinkError, match=says) as caught:
        gate.exchange(IDLE)
    assert caught.value.fault is fault
    assert caught.value.what.startswith(f"the PLC of lane-1 at 127.0.0.1:{peer.port}")
    assert caught.value.remedy
    peer.answer = None
    assert gate.exchange(IDLE).session == 7, "the next exchange works again"
    gate.close()


def test_a_plc_that_is_not_there_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    gate = open_gate(ModbusGateSettings(port=port), "lane-1")
    with pytest.raises(GateLinkError, match="cannot be reached; switch it on") as caught:
        gate.exchange(IDLE)
    assert caught.value.fault is GateFault.UNREACHABLE


def test_a_peer_that_dribbles_for_ever_does_not_hold_the_line(peer: Peer) -> None:
    """Each byte comes before the socket's own time-out, the whole answer never: it gives up."""
    peer.byte_pause_s = 0.02
    peer.answer = lambda request: request[:4] + struct.pack(">HB", 250, request[6]) + bytes(200)
    gate = open_gate(
        ModbusGateSettings(port=peer.port, base_register=BASE, timeout_ms=60), "lane-1"
    )
    started_s = time.monotonic()
    with pytest.raises(GateLinkError):
        gate.exchange(IDLE)
    assert time.monotonic() - started_s < 2.0, "4 s is what the peer would have taken"


def test_noise_from_the_peer_never_ends_the_line(peer: Peer) -> None:
    """Random answers: always a named error, never another exception, never a block."""
    dice = random.Random(1)

    def noise(request: bytes) -> bytes:
        body = dice.randbytes(dice.randrange(0, 40))
        return dice.choice(
            [
                body,
                request[:4] + struct.pack(">H", len(body)) + body,
                request[:4] + struct.pack(">H", len(body) + 1) + request[6:7] + body,
                request[:4] + struct.pack(">H", len(body) + 2) + request[6:8] + body,
            ]
        )

    peer.answer = noise
    gate = open_gate(
        ModbusGateSettings(port=peer.port, base_register=BASE, timeout_ms=10), "lane-1"
    )
    for _ in range(300):
        with pytest.raises(GateLinkError):
            gate.exchange(IDLE)
    gate.close()
