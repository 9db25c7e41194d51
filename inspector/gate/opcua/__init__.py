"""OPC UA: the line is the server, the PLC its client. Needs the extra ``opcua``."""

import asyncio
import time

from asyncua import Client, ua

from inspector.config.gates import OpcUaGateSettings
from inspector.core.errors import GateError
from inspector.gate.clock import Clock
from inspector.gate.conversation import Conversation
from inspector.gate.faults import misread
from inspector.gate.opcua.credentials import load_credentials
from inspector.gate.opcua.server import APPLICATION, LineServer, Said, bound_socket
from inspector.gate.opcua.unshown import Unshown
from inspector.gate.protocol import GateFault, GateLinkError, Incoming, Outgoing
from inspector.gate.registers import encode_line
from inspector.gate.seat import PlcSeat

_AGAIN_NS = 1_000_000_000
"""A server that failed is started anew after so long."""
_PROBE_S = 2.0


def probe(settings: OpcUaGateSettings) -> str:
    """Whether a line can serve there, or does so already: for checks before and beside it.

    Raises:
        GateError: neither, or the certificates cannot be used.
    """
    load_credentials(settings)
    try:
        bound_socket(settings).close()
    except GateError:
        if asyncio.run(_is_ours(settings)):
            return f"{settings.address} is served by a running line"
        raise
    return f"{settings.address} is free for the line to listen on"


async def _is_ours(settings: OpcUaGateSettings) -> bool:
    try:
        client = Client(settings.address, timeout=_PROBE_S)
        endpoints = await client.connect_and_get_server_endpoints()
    except (OSError, TimeoutError, ua.UaError):
        return False
    return any(endpoint.Server.ApplicationUri == APPLICATION for endpoint in endpoints)


class OpcUaGate:
    """A PLC that writes and reads the blocks of docs/plc.md as two variables of our server.

    Nothing here waits for anybody. Not thread-safe: one thread owns it.

    Args:
        settings: where to listen, and the longest silence of the PLC.
        lane: the lane's name, for messages.
        clock: host monotonic clock, ns.
    """

    def __init__(
        self,
        settings: OpcUaGateSettings,
        lane: str,
        clock: Clock = time.monotonic_ns,
    ) -> None:
        self._settings = settings
        self._lane = lane
        self._clock = clock
        self._conversation = Conversation()
        self._silence_ns = round(settings.timeout_ms * 1e6)
        self._seat = PlcSeat(self._silence_ns)
        self._unshown = Unshown(lane)
        self._server: LineServer | None = None
        self._started_ns = 0

    def exchange(self, outgoing: Outgoing) -> Incoming:
        """See `Gate.exchange`; returns at once."""
        self._conversation.take(outgoing)
        block = self._conversation.block()
        self._unshown.add(outgoing.commands)
        self._running().publish(
            Said(encode_line(block), outgoing.state, outgoing.alive, outgoing.recipe)
        )
        return self._understand()

    def exchange_idle(self) -> Incoming:
        """See `Gate.exchange_idle`."""
        self._running()
        return self._understand()

    def close(self) -> None:
        """Close the port; the next exchange opens it anew."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _running(self) -> LineServer:
        """The server, started or started anew where it has ended."""
        now_ns = self._clock()
        server = self._server
        if server is None or (server.ended and now_ns - self._started_ns > _AGAIN_NS):
            self._started_ns = now_ns
            server = self._server = LineServer(
                self._settings, self._seat, self._unshown, self._clock
            )
        return server

    def _understand(self) -> Incoming:
        server, now_ns = self._server, self._clock()
        assert server is not None
        if server.failure is not None:
            failure = server.failure
            raise GateLinkError(
                GateFault.UNREACHABLE, f"{self._lane}: {failure.what}", failure.remedy
            )
        if not server.listens:
            raise self._error(
                GateFault.UNREACHABLE,
                "cannot connect yet: the OPC UA server is starting",
                "wait; it takes a few seconds",
            )
        fault, heard = self._seat.fault, self._seat.heard
        # Whoever wrote it may have left, or hang: then silence is what is wrong.
        if fault is not None and now_ns - self._seat.refused_ns <= self._silence_ns:
            raise misread(fault, self._peer, "the endpoint and node ids of the PLC's client")
        if heard is None or now_ns - heard.received_ns > self._silence_ns:
            since = "yet" if heard is None else f"for {(now_ns - heard.received_ns) / 1e9:.1f} s"
            raise self._error(
                GateFault.NO_ANSWER,
                f"has not written its block {since}",
                "see whether it runs and is connected, or raise gate.timeout_ms",
            )
        return self._conversation.hear(*heard)

    def _error(self, fault: GateFault, what: str, remedy: str) -> GateLinkError:
        return GateLinkError(fault, f"{self._peer} {what}", remedy)

    @property
    def _peer(self) -> str:
        return f"the PLC of {self._lane} at {self._settings.address}"
