"""What nobody should send to an OPC UA port: messages of real requests with bytes turned over."""

import contextlib
import random
import select
import socket

from asyncua import ua
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.ua.ua_binary import (
    header_from_binary,
    struct_from_binary,
    struct_to_binary,
    uatcp_to_binary,
)

from inspector.gate.opcua.server import LINE_TO_PLC, PLC_TO_LINE
from inspector.gate.registers import PLC_TO_LINE_SIZE

_WAIT_S = 5.0
_ANSWER_S = 0.005
_HEAD = 24
"""Bytes of a message before its body: type, size, channel, token, sequence."""
_NODES = (ua.NodeId(PLC_TO_LINE, 2), ua.NodeId(LINE_TO_PLC, 2), ua.NodeId(2253), ua.NodeId(84))


class Noise:
    """Makes one bad message after the other, most of them inside an open session.

    Args:
        host: the server's.
        port: the server's.
    """

    def __init__(self, host: str, port: int) -> None:
        self._where = (host, port)
        self._dice = random.Random(0)
        self._socket: socket.socket | None = None
        self._left = 0

    def make(self, dice: random.Random) -> bool:
        """One bad message; whether the server let the connection stand. A closed one is opened anew."""
        self._dice = dice
        if dice.random() < 0.05:
            self._make_before_hello()
            return False
        try:
            if self._socket is None or self._left == 0:
                self._open()
            assert self._socket is not None
            self._left -= 1
            self._socket.sendall(self._turned_over(self._encoded(self._request())))
            if self._hung_up():
                self.close()
        except OSError:
            self.close()
        return self._socket is not None

    def _hung_up(self) -> bool:
        """Read what the server answers, where it does."""
        assert self._socket is not None
        select.select([self._socket], [], [], _ANSWER_S)
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(65536):
                pass
            return True
        self._socket.settimeout(_WAIT_S)
        return False

    def alive(self) -> bool:
        """The server still lets a well-behaved client open a session, without any security."""
        self._open()
        self.close()
        return True

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # -- a client, as small as can be --------------------------------------------------------------

    def _open(self) -> None:
        self.close()
        self._socket = socket.create_connection(self._where, timeout=_WAIT_S)
        self._channel = SecureConnection(SecurityPolicyNone(), TransportLimits())
        self._token = ua.NodeId()
        self._number = 0
        self._left = self._dice.randrange(1, 60)
        self._socket.sendall(self._hello())
        self._answer()
        issue = ua.OpenSecureChannelRequest()
        issue.Parameters.RequestedLifetime = 3_600_000
        issue.Parameters.SecurityMode = ua.MessageSecurityMode.None_
        self._socket.sendall(self._encoded(issue, ua.MessageType.SecureOpen))
        opened = struct_from_binary(ua.OpenSecureChannelResponse, self._answer())
        self._channel.set_channel(opened.Parameters, ua.SecurityTokenRequestType.Issue, b"")
        create = ua.CreateSessionRequest()
        create.Parameters.EndpointUrl = self._url()
        create.Parameters.RequestedSessionTimeout = 60_000.0
        self._socket.sendall(self._encoded(create))
        created = struct_from_binary(ua.CreateSessionResponse, self._answer())
        self._token = created.Parameters.AuthenticationToken
        activate = ua.ActivateSessionRequest()
        activate.Parameters.UserIdentityToken = ua.AnonymousIdentityToken(PolicyId="anonymous")
        self._socket.sendall(self._encoded(activate))
        # A refusal begins like any answer.
        struct_from_binary(ua.ServiceFault, self._answer()).ResponseHeader.ServiceResult.check()

    def _url(self) -> str:
        return f"opc.tcp://{self._where[0]}:{self._where[1]}/"

    def _hello(self) -> bytes:
        hello: bytes = uatcp_to_binary(ua.MessageType.Hello, ua.Hello(EndpointUrl=self._url()))
        return hello

    def _encoded(self, request: object, kind: bytes = ua.MessageType.SecureMessage) -> bytes:
        self._number += 1
        request.RequestHeader.AuthenticationToken = self._token  # type: ignore[attr-defined]
        request.RequestHeader.RequestHandle = self._number  # type: ignore[attr-defined]
        message: bytes = self._channel.message_to_binary(
            struct_to_binary(request), message_type=kind, request_id=self._number
        )
        return message

    def _answer(self) -> Buffer:
        """The next answer's body, behind its type."""
        assert self._socket is not None
        head = self._received(8)
        rest = self._received(int.from_bytes(head[4:], "little") - 8)
        data = Buffer(head + rest)
        message = self._channel.receive_from_header_and_body(header_from_binary(data), data)
        return message.body() if isinstance(message, ua.Message) else data

    def _received(self, size: int) -> bytes:
        assert self._socket is not None
        got = b""
        while len(got) < size:
            if not (more := self._socket.recv(size - len(got))):
                raise ConnectionResetError
            got += more
        return got

    # -- noise -------------------------------------------------------------------------------------

    def _make_before_hello(self) -> None:
        dice = self._dice
        whole = dice.choice([self._hello(), dice.randbytes(dice.randrange(1, 200))])
        with contextlib.suppress(OSError), socket.create_connection(self._where, _WAIT_S) as wire:
            wire.sendall(self._turned_over(whole))

    def _request(self) -> object:
        dice = self._dice
        node = dice.choice(_NODES)
        kind = dice.randrange(7)
        if kind == 0:
            words = [dice.getrandbits(16) for _ in range(PLC_TO_LINE_SIZE)]
            write = ua.WriteRequest()
            value = ua.DataValue(ua.Variant(words, ua.VariantType.UInt16))
            one = ua.WriteValue(NodeId=node, AttributeId=ua.AttributeIds.Value, Value=value)
            write.Parameters.NodesToWrite = [one]
            return write
        if kind == 1:
            read = ua.ReadRequest()
            read.Parameters.NodesToRead = [ua.ReadValueId(node, ua.AttributeIds.Value)]
            return read
        if kind == 2:
            browse = ua.BrowseRequest()
            browse.Parameters.NodesToBrowse = [ua.BrowseDescription(NodeId=node)]
            return browse
        if kind == 3:
            subscribe = ua.CreateSubscriptionRequest()
            subscribe.Parameters.RequestedPublishingInterval = dice.choice([0.0, 10.0, 1e300])
            subscribe.Parameters.RequestedLifetimeCount = 10
            subscribe.Parameters.RequestedMaxKeepAliveCount = 3
            return subscribe
        if kind == 4:
            items = ua.CreateMonitoredItemsRequest()
            items.Parameters.SubscriptionId = dice.randrange(78, 120)
            item = ua.MonitoredItemCreateRequest()
            item.ItemToMonitor = ua.ReadValueId(node, ua.AttributeIds.Value)
            item.RequestedParameters.QueueSize = dice.choice([0, 1, 2**32 - 1])
            items.Parameters.ItemsToCreate = [item]
            return items
        if kind == 5:
            delete = ua.DeleteNodesRequest()
            delete.Parameters.NodesToDelete = [ua.DeleteNodesItem(NodeId=node)]
            return delete
        call = ua.CallRequest()
        call.Parameters.MethodsToCall = [ua.CallMethodRequest(ObjectId=node, MethodId=node)]
        return call

    def _turned_over(self, message: bytes) -> bytes:
        """Bytes changed in the body; rarely in the head, too, or too few or too many of them."""
        dice = self._dice
        data = bytearray(message)
        in_head = dice.random() < 0.05 or len(data) <= _HEAD
        for _ in range(dice.randrange(1, 5)):
            data[dice.randrange(0 if in_head else _HEAD, len(data))] = dice.getrandbits(8)
        if in_head:
            data = data[: dice.randrange(1, len(data) + 1)] + dice.randbytes(dice.randrange(20))
            # What follows on this connection would not be understood.
            self._left = 0
        return bytes(data)
