"""asyncua with bounds: what a client may do, how much of it, and who may speak for the PLC."""

import asyncio
import secrets
import socket
from collections.abc import Callable, Collection
from typing import Any

from asyncua import Server, ua
from asyncua.common.connection import TransportLimits
from asyncua.common.utils import ServiceError
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession

from inspector.gate.registers import PLC_TO_LINE_SIZE
from inspector.gate.seat import PlcSeat

_CONNECTIONS = 16
_SUBSCRIPTIONS = 32
_ITEMS = 200
"""Monitored items of one subscription."""
_QUEUE = 64
"""Notifications that a monitored item keeps, and messages that wait for a client's word."""
_LONGEST_MESSAGE = 1 << 20
_SMALLEST_BUFFER = 8192
"""What the protocol asks of a client: answers in crumbs would cost the server dear."""
_SHORTEST_INTERVAL_MS, _LONGEST_INTERVAL_MS = 10.0, 10_000.0
_HELLO_S = 5.0
"""A connection without a session is closed after so long."""


class GuardedServer(Server):
    """asyncua's server on a socket that is bound already.

    Args:
        seat: who speaks for the PLC.
        clock: host monotonic clock, ns.
        trusted: the certificates (DER) of the clients that are let in; None lets everybody in.
    """

    def __init__(
        self, seat: PlcSeat, clock: Callable[[], int], trusted: Collection[bytes] | None
    ) -> None:
        self.guarded = _Internals(seat, clock, trusted)
        super().__init__(iserver=self.guarded)
        self.limits = _Limits(max_chunk_count=64, max_message_size=_LONGEST_MESSAGE)
        # Names and passwords are not asked for, and nobody is an administrator from afar.
        self.set_identity_tokens([ua.AnonymousIdentityToken])
        self.allow_remote_admin(False)

    async def listen(self, bound: socket.socket) -> None:
        """Begin to answer."""
        await self._setup_server_nodes()
        await self.iserver.start()
        self.bserver = _Listener(self.iserver, bound, self.limits)
        self.bserver.set_policies(self._policies)
        await self.bserver.start()

    async def hang_up(self) -> None:
        """Close the port and all connections; the tasks that are left end with their loop."""
        if self.bserver is not None:
            await self.bserver.stop()


class _Internals(InternalServer):
    """Sessions that are ours, and limits for a handful of clients."""

    def __init__(
        self, seat: PlcSeat, clock: Callable[[], int], trusted: Collection[bytes] | None
    ) -> None:
        super().__init__()
        self.seat, self.clock, self.trusted = seat, clock, trusted
        self.plc_node = ua.NodeId()
        """The PLC's block; set once it is there."""
        self.max_connections = _CONNECTIONS
        self.max_subscriptions = _SUBSCRIPTIONS
        self.max_monitored_item_queue_size = _QUEUE
        self.max_unacked_messages_per_subscription = _QUEUE
        self.max_pending_messages_per_connection = _QUEUE
        self.max_pending_activation_seconds = _HELLO_S
        self.max_session_timeout_ms = 60_000
        self.max_lifetime_count = 300
        self.max_keep_alive_count = 100

    def create_session(self, name: str, **_: object) -> InternalSession:
        # One a connection, or a client could pile up sessions that it never opens.
        for session in list(self._external_sessions.values()):
            if session.name == name:
                self.unregister_external_session(session)
        return _Session(self, name)

    def register_server(self, *_: object) -> None:
        # This is no discovery server; whoever registers would only fill its memory.
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)


class _Session(InternalSession):
    """One client's session: reads everything, writes the PLC's block and nothing else."""

    def __init__(self, server: _Internals, name: str) -> None:
        super().__init__(server, server.aspace, server.subscription_service, name, external=True)
        self._server = server
        # The library counts upwards; a token that can be guessed is somebody else's session.
        server.unregister_external_session(self)
        self.auth_token = ua.NodeId(secrets.token_bytes(32), 0, ua.NodeIdType.ByteString)
        server.register_external_session(self)

    def activate_session(
        self, params: ua.ActivateSessionParameters, peer_certificate: bytes | None
    ) -> ua.ActivateSessionResult:
        # Here, where the channel's own certificate is known: the one in CreateSession is a claim only.
        trusted = self._server.trusted
        if trusted is not None and peer_certificate not in trusted:
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)
        return super().activate_session(params, peer_certificate)

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        return [await self._write_one(value) for value in params.NodesToWrite]

    async def _write_one(self, value: ua.WriteValue) -> ua.StatusCode:
        theirs = value.NodeId == self._server.plc_node
        if not theirs or value.AttributeId != ua.AttributeIds.Value:
            return ua.StatusCode(ua.StatusCodes.BadNotWritable)
        if value.IndexRange:
            # A part of the block would be torn.
            return ua.StatusCode(ua.StatusCodes.BadWriteNotSupported)
        seat, now_ns = self._server.seat, self._server.clock()
        if not seat.admits(self, now_ns):
            return ua.StatusCode(ua.StatusCodes.BadUserAccessDenied)
        registers = _registers(value.Value)
        seat.write(self, registers, now_ns)
        if seat.fault is None:
            written: list[ua.StatusCode] = await super().write(
                ua.WriteParameters(NodesToWrite=[value])
            )
            return written[0]
        whole = len(registers) == PLC_TO_LINE_SIZE
        code = ua.StatusCodes.BadOutOfRange if whole else ua.StatusCodes.BadTypeMismatch
        return ua.StatusCode(code)

    async def create_subscription(
        self,
        params: ua.CreateSubscriptionParameters,
        callback: Callable[..., Any],
        request_callback: Callable[..., Any] | None = None,
    ) -> ua.CreateSubscriptionResult:
        asked = params.RequestedPublishingInterval
        if not asked >= _SHORTEST_INTERVAL_MS:  # what is no number is neither
            asked = _SHORTEST_INTERVAL_MS
        params.RequestedPublishingInterval = ua.Duration(min(asked, _LONGEST_INTERVAL_MS))
        return await super().create_subscription(params, callback, request_callback)

    async def create_monitored_items(
        self, params: ua.CreateMonitoredItemsParameters
    ) -> list[ua.MonitoredItemCreateResult]:
        known = self.subscription_service.subscriptions.get(params.SubscriptionId)
        # The library keeps no public count.
        there = 0 if known is None else len(known.monitored_item_srv._monitored_items)  # noqa: SLF001
        if there + len(params.ItemsToCreate) > _ITEMS:
            raise ServiceError(ua.StatusCodes.BadTooManyMonitoredItems)
        made: list[ua.MonitoredItemCreateResult] = await super().create_monitored_items(params)
        return made

    async def close_session(self, delete_subs: bool = True) -> None:
        self._server.seat.leave(self)
        await super().close_session(delete_subs)


def _registers(value: ua.DataValue) -> list[int]:
    """The words of a value; none where it is no array of UInt16."""
    variant = value.Value
    good = value.StatusCode is None or value.StatusCode.is_good()
    if variant is None or not good or not isinstance(variant.Value, list):
        return []
    if variant.VariantType is not ua.VariantType.UInt16 or variant.Dimensions:
        return []
    return [int(word) for word in variant.Value]


class _Limits(TransportLimits):
    """Limits that a client can lower, but not to nothing."""

    def create_acknowledge_and_set_limits(self, msg: ua.Hello) -> ua.Acknowledge:
        if min(msg.ReceiveBufferSize, msg.SendBufferSize) < _SMALLEST_BUFFER:
            raise ua.UaError("the client's buffers are smaller than the protocol allows")
        return super().create_acknowledge_and_set_limits(msg)


class _Connection(OPCUAProtocol):
    """A connection that does not collect bytes for ever, and answers nobody who has gone."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if len(self._buffer) > _LONGEST_MESSAGE and self.transport is not None:
            self.transport.abort()

    async def _process_one_msg(self, header: Any, buf: Any) -> bool:
        if self.transport is None or self.transport.is_closing():
            return False
        answered: bool = await super()._process_one_msg(header, buf)
        return answered


class _Listener(BinaryServer):
    """asyncua's listener on a socket that is bound already."""

    def __init__(
        self, internals: InternalServer, bound: socket.socket, limits: TransportLimits
    ) -> None:
        super().__init__(internals, *bound.getsockname()[:2], limits)
        self._bound = bound

    def _make_protocol(self) -> OPCUAProtocol:
        return _Connection(
            self.iserver, self._policies, self.clients, self.closing_tasks, self.limits
        )

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            self._make_protocol, sock=self._bound
        )
        self.cleanup_task = asyncio.create_task(self._close_task_loop())
