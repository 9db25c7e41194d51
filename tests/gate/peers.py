"""PLCs on raw sockets, one for each driver: they speak well, or badly in every way a contract names.

Each is typed from its protocol's specification and shares no code with the libraries that the drivers use.
"""

import random
import socket
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from inspector.config.gates import ModbusGateSettings, S7GateSettings
from inspector.core.gate_codes import GateStatus
from inspector.gate import Gate, GateLinkError, Incoming, LineState, Outgoing
from inspector.gate.clock import Clock
from inspector.gate.modbus import ModbusGate
from inspector.gate.registers import (
    LineBlock,
    PlcBlock,
    decode_line,
    encode_plc,
)
from inspector.gate.s7 import S7Gate

BASE = 100
PLC_DB, LINE_DB = 7, 8
IDLE = Outgoing(alive=True, state=LineState.RUNNING)
EMPTY = PlcBlock(1, GateStatus.READY, 0, 7, 0, 5000, 0, 0)

Answer = Callable[[bytes], bytes | None]
"""From a request to the bytes sent back; None closes the connection."""


class Plc(Protocol):
    """What a contract asks of a peer. ``show`` and ``take`` are its two blocks, in registers."""

    block: PlcBlock
    heard: list[LineBlock]
    show: Callable[[], list[int]]
    take: Callable[[list[int]], None]

    def gate(self, timeout_ms: float = 1000, clock: Clock = time.monotonic_ns) -> Gate:
        """The driver for this peer."""
        ...

    def speak_before(self) -> None:
        """What a PLC that is a client does before an exchange: it writes its block."""
        ...

    def speak_after(self) -> None:
        """And after: it reads the line's."""
        ...

    def be_silent(self) -> None:
        """Connected, but no word."""
        ...

    def be_slow(self) -> None:
        """Speak well, but half a second late."""
        ...

    def hang_up(self) -> None:
        """Close without a word."""
        ...

    def break_off(self) -> None:
        """Close in the middle of a word."""
        ...

    def damage(self) -> None:
        """Good frames with some bytes changed."""
        ...

    def babble(self) -> None:
        """Random bytes, some in good frames."""
        ...

    def dribble(self) -> None:
        """One byte every 20 ms, and never the last."""
        ...

    def go_away(self) -> None:
        """No power."""
        ...

    def be_well(self) -> None:
        """Speak as one should, from now on."""
        ...

    def close(self) -> None:
        """Let go of the sockets."""
        ...


def say(plc: Plc, gate: Gate, outgoing: Outgoing = IDLE) -> Incoming:
    """One exchange, the PLC's own part of it included."""
    plc.speak_before()
    incoming = gate.exchange(outgoing)
    plc.speak_after()
    return incoming


def first_failure(plc: Plc, gate: Gate, outgoing: Outgoing = IDLE) -> GateLinkError:
    """Exchange until it fails, which it must within five seconds."""
    until_s = time.monotonic() + 5
    while time.monotonic() < until_s:
        try:
            say(plc, gate, outgoing)
        except GateLinkError as error:
            return error
        time.sleep(0.005)
    raise AssertionError("the link goes on as if nothing had happened")


def damaged(frame: bytes, dice: random.Random) -> bytes:
    """A few of its bytes changed."""
    changed = bytearray(frame)
    for _ in range(dice.randrange(1, 4)):
        if changed:
            changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


class Blocks:
    """The two blocks of a PLC on a test's bench."""

    def __init__(self) -> None:
        self.block = EMPTY
        self.heard: list[LineBlock] = []
        self.show: Callable[[], list[int]] = lambda: encode_plc(self.block)
        self.take: Callable[[list[int]], None] = lambda words: self.heard.append(decode_line(words))
        self.dice = random.Random(1)


class ServingPlc(Blocks, ABC):
    """A PLC that is the server: one client at a time, every request answered by ``answer``."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Answer = self.speak
        self._answering = threading.Lock()
        self._byte_pause_s = 0.0
        self._abruptly = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start()

    @abstractmethod
    def speak(self, request: bytes) -> bytes | None:
        """The protocol as it should be."""

    @abstractmethod
    def frame(self, request: bytes, body: bytes, length: int) -> bytes:
        """An answer's frame that says it is ``length`` long, around what may be shorter."""

    def speak_before(self) -> None:
        pass

    def speak_after(self) -> None:
        pass

    def be_silent(self) -> None:
        self.answer = lambda _: b""

    def be_slow(self) -> None:
        def late(request: bytes) -> bytes | None:
            time.sleep(0.5)
            return self.speak(request)

        self.answer = late

    def hang_up(self) -> None:
        self.answer = lambda _: None

    def reset(self) -> None:
        """Close as a program does that ended with unread words: whoever reads is told an error."""
        self._abruptly = True
        self.hang_up()

    def break_off(self) -> None:
        whole = iter([False, True])

        def half(request: bytes) -> bytes | None:
            answer = self.speak(request)
            return answer[: len(answer) // 2] if answer and next(whole, None) is False else None

        self.answer = half

    def damage(self) -> None:
        self.answer = lambda request: damaged(self.speak(request) or b"", self.dice)

    def babble(self) -> None:
        def noise(request: bytes) -> bytes:
            body = self.dice.randbytes(self.dice.randrange(0, 40))
            length = len(body) + self.dice.choice([0, 0, 0, 1, 2, -1])
            return self.dice.choice([body, self.frame(request, body, max(length, 0))])

        self.answer = noise

    def dribble(self) -> None:
        self._byte_pause_s = 0.02
        self.answer = lambda request: self.frame(request, bytes(200), 240)

    def go_away(self) -> None:
        self.hang_up()
        self.close()

    def be_well(self) -> None:
        self._byte_pause_s = 0.0
        with self._answering:
            self.answer = self.speak
        if self._listener.fileno() < 0:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _start(self) -> None:
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, suppress(OSError):
                while request := client.recv(4096):
                    with self._answering:
                        answer = self.answer(request)
                    if answer is None:
                        if self._abruptly:
                            now = struct.pack("ii", 1, 0)
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
                        break
                    if self._byte_pause_s == 0:
                        client.sendall(answer)
                        continue
                    for byte in answer:
                        time.sleep(self._byte_pause_s)
                        client.sendall(bytes([byte]))


class ModbusPlc(ServingPlc):
    """A Modbus TCP server."""

    def settings(self, timeout_ms: float = 1000) -> ModbusGateSettings:
        return ModbusGateSettings(port=self.port, base_register=BASE, timeout_ms=timeout_ms)

    def gate(self, timeout_ms: float = 1000, clock: Clock = time.monotonic_ns) -> Gate:
        return ModbusGate(self.settings(timeout_ms), "lane-1", clock)

    def speak(self, request: bytes) -> bytes | None:
        address, count = struct.unpack(">HH", request[8:12])
        if request[7] == 16:
            assert address == BASE
            self.take(list(struct.unpack(f">{count}H", request[13:])))
            body = request[6:12]
        else:
            assert (request[7], address) == (4, BASE)
            words = self.show()
            assert count == len(words)
            body = struct.pack(f">BBB{count}H", request[6], 4, 2 * count, *words)
        return request[:4] + struct.pack(">H", len(body)) + body

    def frame(self, request: bytes, body: bytes, length: int) -> bytes:
        return request[:4] + struct.pack(">H", length + 2) + request[6:8] + body


class S7Plc(ServingPlc):
    """A Siemens PLC's communication processor: ISO on TCP, one job at a time, PDUs of 240 bytes."""

    pdu = 240

    def settings(self, timeout_ms: float = 1000) -> S7GateSettings:
        return S7GateSettings(
            driver="s7", port=self.port, plc_db=PLC_DB, line_db=LINE_DB, timeout_ms=timeout_ms
        )

    def gate(self, timeout_ms: float = 1000, clock: Clock = time.monotonic_ns) -> Gate:
        return S7Gate(self.settings(timeout_ms), "lane-1", clock)

    def speak(self, request: bytes) -> bytes | None:
        assert struct.unpack(">BBH", request[:4]) == (3, 0, len(request))
        if request[5] == 0xE0:  # connect: the caller's reference comes back
            assert request[11:] == bytes.fromhex("c1020100c2020101c0010a"), "rack 0, slot 1"
            return self._packet(b"\x06\xd0" + request[8:10] + b"\x00\x01\x00")
        if request[5] == 0x80:  # disconnect
            return None
        pdu = request[7:]
        match pdu[10]:
            case 0xF0:
                return self.reply(request, struct.pack(">BBHHH", 0xF0, 0, 1, 1, self.pdu))
            case 0x04:
                size, db = struct.unpack(">HH", pdu[16:20])
                words = self.show()
                assert (size, db) == (2 * len(words), PLC_DB)
                data = struct.pack(f">BBH{len(words)}H", 0xFF, 4, 8 * size, *words)
                return self.reply(request, b"\x04\x01", data)
            case function:
                size, db = struct.unpack(">HH", pdu[16:20])
                assert (function, db) == (0x05, LINE_DB)
                self.take(list(struct.unpack(f">{size // 2}H", pdu[28:])))
                return self.reply(request, b"\x05\x01", b"\xff")

    def reply(
        self,
        request: bytes,
        parameters: bytes,
        data: bytes = b"",
        error: int = 0,
        reference: int = 0,
    ) -> bytes:
        """An acknowledgement with data; ``reference`` is added to the request's own."""
        own = struct.unpack(">H", request[11:13])[0] + reference
        head = struct.pack(">BBHHHHH", 0x32, 3, 0, own, len(parameters), len(data), error)
        return self._packet(b"\x02\xf0\x80" + head + parameters + data)

    def frame(self, request: bytes, body: bytes, length: int) -> bytes:
        return struct.pack(">BBH", 3, 0, length + 7) + b"\x02\xf0\x80" + body

    @staticmethod
    def _packet(payload: bytes) -> bytes:
        return struct.pack(">BBH", 3, 0, len(payload) + 4) + payload
