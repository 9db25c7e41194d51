"""A PLC on a raw socket for the line that is a Modbus server: see `tests.gate.peers`."""

import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress

from inspector.config.gates import ModbusServerGateSettings
from inspector.gate import Gate, GateLinkError, LineState, Outgoing
from inspector.gate.clock import Clock
from inspector.gate.modbus_server import ModbusServerGate
from inspector.gate.registers import LINE_TO_PLC_SIZE, PLC_TO_LINE_SIZE
from tests.gate.peers import Blocks, damaged


class ModbusClientPlc(Blocks):
    """A PLC that is a Modbus TCP client: it writes its block, twice so that it counts, and reads."""

    def __init__(self) -> None:
        super().__init__()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._socket: socket.socket | None = None
        self._speak: Callable[[], None] = self._write_twice

    def settings(self, timeout_ms: float = 1000) -> ModbusServerGateSettings:
        return ModbusServerGateSettings(
            driver="modbus_server", host="127.0.0.1", port=self.port, timeout_ms=timeout_ms
        )

    def gate(self, timeout_ms: float = 1000, clock: Clock = time.monotonic_ns) -> Gate:
        gate = ModbusServerGate(self.settings(timeout_ms), "lane-1", clock)
        with suppress(GateLinkError):  # it listens from the first exchange on
            gate.exchange(Outgoing(alive=False, state=LineState.STARTING))
        return gate

    def speak_before(self) -> None:
        try:
            self._speak()
        except OSError:  # the line has closed, or does not listen: once more, then wait
            self._let_go()
            with suppress(OSError):
                self._speak()

    def speak_after(self) -> None:
        if self._speak != self._write_twice:
            return
        words = self.read()
        if any(words):
            self.take(words)

    def write(self, words: list[int], address: int = 0) -> bytes:
        """One write; the answer's PDU."""
        return self.ask(self._write_pdu(words, address))

    def read(self) -> list[int]:
        """The line's block."""
        answer = self.ask(struct.pack(">BHH", 4, 0, LINE_TO_PLC_SIZE))
        assert answer[:2] == bytes([4, 2 * LINE_TO_PLC_SIZE]), answer
        return list(struct.unpack(f">{LINE_TO_PLC_SIZE}H", answer[2:]))

    def ask(self, pdu: bytes) -> bytes:
        """One request, one answer."""
        peer = self._connected()
        peer.sendall(self._framed(pdu))
        answer = peer.recv(4096)
        if not answer:
            raise ConnectionResetError
        assert answer[:4] == b"\x00\x09\x00\x00"
        return answer[7:]

    def be_silent(self) -> None:
        def read_only() -> None:
            self.read()

        self._speak = read_only

    def be_slow(self) -> None:
        self._write_twice()
        self.be_silent()

    def break_off(self) -> None:
        def half() -> None:
            self._connected().sendall(self._framed(self._write_pdu(self.show()))[:60])
            self._let_go()

        self._speak = half

    def damage(self) -> None:
        def once() -> None:
            good = self._framed(self._write_pdu(self.show()))
            self._connected().sendall(damaged(good, self.dice))
            if self.dice.random() < 0.1:
                self._let_go()

        self._speak = once

    def hang_up(self) -> None:
        def once() -> None:
            self._write_twice()
            self._let_go()
            self._speak = lambda: None

        self._speak = once

    def babble(self) -> None:
        def noise() -> None:
            body = self.dice.randbytes(self.dice.randrange(0, 40))
            length = len(body) + self.dice.choice([0, 0, 0, 1, 2])
            framed = struct.pack(">HHH", 9, 0, length) + body
            self._connected().sendall(self.dice.choice([body, framed]))
            if self.dice.random() < 0.2:
                self._let_go()

        self._speak = noise

    def dribble(self) -> None:
        head = struct.pack(">HHHBBHHB", 9, 0, 250, 1, 16, 0, PLC_TO_LINE_SIZE, 2 * PLC_TO_LINE_SIZE)
        rest = iter(head + bytes(200))
        self._speak = lambda: self._connected().sendall(bytes([next(rest)]))

    def go_away(self) -> None:
        self._let_go()
        self._speak = lambda: None

    def be_well(self) -> None:
        self._let_go()
        self._speak = self._write_twice

    def close(self) -> None:
        self._let_go()

    @staticmethod
    def _write_pdu(words: list[int], address: int = 0) -> bytes:
        head = struct.pack(">BHHB", 16, address, len(words), 2 * len(words))
        return head + struct.pack(f">{len(words)}H", *words)

    @staticmethod
    def _framed(pdu: bytes) -> bytes:
        return struct.pack(">HHHB", 9, 0, len(pdu) + 1, 1) + pdu

    def _write_twice(self) -> None:
        for _ in range(2):
            answer = self.write(self.show())
            assert answer[0] == 16, answer

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self.port), 2)
        return self._socket

    def _let_go(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
