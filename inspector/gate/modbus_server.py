"""Modbus TCP server for a PLC that can only be a client: it writes its block and reads the line's.

Nobody is waited for. The PLC's writes are taken by a thread of their own, each with the time it came at; an
exchange publishes the line's newest block and understands the PLC's newest.
"""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from inspector.config.gates import ModbusServerGateSettings
from inspector.gate.clock import Clock
from inspector.gate.conversation import Conversation
from inspector.gate.faults import misread
from inspector.gate.protocol import GateFault, GateLinkError, Incoming, Outgoing
from inspector.gate.registers import LINE_TO_PLC_SIZE, PLC_TO_LINE_SIZE, encode_line
from inspector.gate.seat import PlcSeat

_WRITES = frozenset({6, 16, 22, 23})
_READ_HOLDING, _READ_INPUT = 3, 4
_CONNECTIONS = 8
"""A PLC that opens connections and never closes them must not use up the process's files."""
_COMES_WITHIN_S = 5.0
"""A PLC tries again to connect in its own time; who only asks waits for it."""
_Result = TypeVar("_Result")

# The library logs what it also answers; the caller decides how often a lost link is worth a line.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


class Mailbox:
    """The two blocks between the PLC's requests and the line's exchanges; knows no sockets.

    Args:
        clock: host monotonic clock, ns.
        silence_ns: after this long without a write the PLC is taken for gone.
    """

    def __init__(self, clock: Clock, silence_ns: int) -> None:
        self.shown = [0] * LINE_TO_PLC_SIZE
        self.seat = PlcSeat(silence_ns)
        self.writer: object | None = None
        """Whose pieces of a block are being put together."""
        self._clock = clock
        self._silence_ns = silence_ns
        self._registers = [0] * PLC_TO_LINE_SIZE
        self._written_ns = 0

    @property
    def silent(self) -> bool:
        """Nobody has written for a while."""
        return self._clock() - self._written_ns >= self._silence_ns

    def write(self, writer: object, address: int, values: list[int]) -> bool:
        """Take a write of a connection, a whole block or a piece; False: another one speaks for the PLC."""
        now_ns = self._clock()
        if not self.seat.admits(writer, now_ns):
            return False
        if writer is not self.writer or self.silent:
            # Nobody completes what another one began.
            self.writer, self._registers = writer, [0] * PLC_TO_LINE_SIZE
        self._written_ns = now_ns
        self._registers[address : address + len(values)] = values
        self.seat.write(writer, self._registers, now_ns)
        return True

    def left(self, writer: object) -> None:
        """A connection was closed: another one may write."""
        self.seat.leave(writer)
        if writer is self.writer:
            self.writer = None


class ModbusServerGate:
    """A PLC that is a Modbus client. Not thread-safe: one thread owns it.

    Args:
        settings: where to listen, and the longest silence.
        lane: the lane's name, for messages.
        clock: host monotonic clock, ns.
    """

    def __init__(
        self, settings: ModbusServerGateSettings, lane: str, clock: Clock = time.monotonic_ns
    ) -> None:
        self._settings = settings
        self._lane = lane
        self._clock = clock
        self._silence_ns = round(settings.timeout_ms * 1e6)
        self._mailbox = Mailbox(clock, self._silence_ns)
        self._server: _Server | None = None
        self._conversation = Conversation()

    def exchange(self, outgoing: Outgoing) -> Incoming:
        """See `Gate.exchange`; waits for nobody."""
        self._conversation.take(outgoing)
        self._listen()
        self._mailbox.shown = encode_line(self._conversation.block())
        return self._understood()

    def exchange_idle(self) -> Incoming:
        """See `Gate.exchange_idle`; gives the PLC a few seconds to connect."""
        self._listen()
        until_s = time.monotonic() + _COMES_WITHIN_S
        while True:
            try:
                return self._understood()
            except GateLinkError:
                if time.monotonic() > until_s:
                    raise
            time.sleep(0.01)

    def close(self) -> None:
        """Stop listening; the next exchange begins anew."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _understood(self) -> Incoming:
        mailbox, limit = self._mailbox, self._settings.timeout_ms
        newest, fault = mailbox.seat.heard, mailbox.seat.fault
        if newest is not None and self._clock() - newest.received_ns < self._silence_ns:
            return self._conversation.hear(*newest)
        peer = f"the PLC of {self._lane}, a client of {self._settings.listener},"
        if fault is not None and not mailbox.silent:
            raise misread(fault, peer, "the register addresses of the PLC's client")
        if self._server is not None and self._server.connected:
            raise GateLinkError(
                GateFault.NO_ANSWER,
                f"{peer} has written no block for {limit:g} ms",
                "see whether the PLC runs and writes its block over and over, or raise gate.timeout_ms",
            )
        if newest is not None:
            raise GateLinkError(
                GateFault.CLOSED,
                f"{peer} closed the connection",
                "see whether the PLC restarted; its client must keep the connection open",
            )
        raise GateLinkError(
            GateFault.UNREACHABLE,
            f"{peer} does not connect",
            "switch it on, give its client this computer's address and gate.port, and check cable and "
            "firewall",
        )

    def _listen(self) -> None:
        if self._server is not None:
            return
        host, port = self._settings.host, self._settings.port
        try:
            # Asked here, since the library does not say why it failed.
            with socket.create_server((host, port)):
                pass
            self._mailbox = Mailbox(self._clock, self._silence_ns)
            self._server = _Server(self._mailbox, host, port)
        except (OSError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or error
            raise GateLinkError(
                GateFault.UNREACHABLE,
                f"the line cannot listen at {self._settings.listener} for the PLC of {self._lane}: {why}",
                "stop what else listens there (a running line does), or set gate.host and gate.port; a "
                "port below 1024 needs the capability CAP_NET_BIND_SERVICE",
            ) from error


class _Server:
    """The library's server in a thread of its own."""

    def __init__(self, mailbox: Mailbox, host: str, port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="gate-modbus-server", daemon=True
        )
        self._thread.start()
        try:
            self._listener = self._done(self._started(mailbox, host, port))
        except RuntimeError:
            self._end()
            raise

    @property
    def connected(self) -> bool:
        """Somebody is connected, be it the PLC or not."""
        return bool(self._listener.active_connections)

    def close(self) -> None:
        """Close all connections and stop listening."""
        self._done(self._stopped())
        self._end()

    async def _started(self, mailbox: Mailbox, host: str, port: int) -> "_Listener":
        listener = _Listener(mailbox, host, port)
        await listener.serve_forever(background=True)
        return listener

    async def _stopped(self) -> None:
        await self._listener.shutdown()  # type: ignore[no-untyped-call]
        await asyncio.sleep(0)  # the connections' own last word

    def _done(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Listener(ModbusTcpServer):
    """Holding registers for the PLC's block, input registers for the line's, for any unit id."""

    def __init__(self, mailbox: Mailbox, host: str, port: int) -> None:
        self.mailbox = mailbox
        self.asking: object | None = None
        unused = SimData(0, count=16, values=False, datatype=DataType.BITS)
        blocks = (
            [unused],
            [unused],
            [SimData(0, count=PLC_TO_LINE_SIZE, values=0, datatype=DataType.REGISTERS)],
            [SimData(0, count=LINE_TO_PLC_SIZE, values=0, datatype=DataType.REGISTERS)],
        )
        super().__init__(SimDevice(0, simdata=blocks, action=self._asked), address=(host, port))

    def callback_new_connection(self) -> "_Connection":
        """Let a client in, for the oldest one that only reads if there are too many."""
        if len(self.active_connections) >= _CONNECTIONS:
            readers = (c for c in self.active_connections.values() if c is not self.mailbox.writer)
            next(readers).close()
        return _Connection(self, None, None, None)  # type: ignore[no-untyped-call]

    async def _asked(
        self,
        function_code: int,
        _start_address: int,
        address: int,
        _count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Show the line's block or take the PLC's; a request is done before the next one begins."""
        if function_code == _READ_INPUT:
            registers[:] = self.mailbox.shown
        elif values is not None and function_code in _WRITES:
            written = [int(value) for value in values]
            if not self.mailbox.write(self.asking, address, written):
                return ExcCodes.DEVICE_BUSY
        elif function_code != _READ_HOLDING:
            return ExcCodes.ILLEGAL_FUNCTION
        return None


class _Connection(ServerRequestHandler):
    """One client: who asks is known while its request is done, since nothing in there waits."""

    async def handle_request(self) -> None:
        """Answer the last request."""
        self.server.asking = self
        await super().handle_request()  # type: ignore[no-untyped-call]

    def callback_disconnected(self, exc: Exception | None) -> None:
        """Let another client write."""
        self.server.mailbox.left(self)
        super().callback_disconnected(exc)
