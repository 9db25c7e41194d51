"""The OPC UA server in a thread of its own, with its own loop: it publishes what the line last said."""

import asyncio
import contextlib
import gc
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from asyncua import Node, ua

from inspector.config.gates import OpcUaGateSettings
from inspector.core.errors import GateError
from inspector.gate.opcua.credentials import Credentials, load_credentials
from inspector.gate.opcua.guard import GuardedServer
from inspector.gate.opcua.unshown import Unshown
from inspector.gate.opcua.vision import VisionSystem
from inspector.gate.registers import LINE_TO_PLC_SIZE, PLC_TO_LINE_SIZE, LineState
from inspector.gate.seat import PlcSeat

NAMESPACE: Final = "urn:inspector:gate"
"""Of all our nodes: index 2."""
APPLICATION: Final = "urn:inspector"
"""The server's own name; a certificate must hold it."""
PLC_TO_LINE: Final = "Gate.PlcToLine"
LINE_TO_PLC: Final = "Gate.LineToPlc"
_LAST_WORD_S = 0.1
"""So long clients may still read that the line stops."""
_CLOSING_S = 0.7

# The library logs what clients do wrong, with the stack and as often as they like.
logging.getLogger("asyncua").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Said:
    """What the line says: its block as registers, its state, whether it decides, and by which recipe."""

    registers: Sequence[int]
    state: LineState
    alive: bool
    recipe: str


class LineServer:
    """Serves one lane. `publish` and the properties are for the line's thread, the rest runs in its own.

    Args:
        settings: address and security.
        seat: takes what the PLC writes.
        unshown: results to be shown.
        clock: host monotonic clock, ns.
    """

    def __init__(
        self,
        settings: OpcUaGateSettings,
        seat: PlcSeat,
        unshown: Unshown,
        clock: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._seat = seat
        self._unshown = unshown
        self._clock = clock
        self._said: Said | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._asked = False
        self._stopping = False
        self.failure: GateError | None = None
        """Why it does not run, once it has given up."""
        self._thread = threading.Thread(
            target=self._run, name=f"opcua-{settings.port}", daemon=True
        )
        self._thread.start()

    @property
    def listens(self) -> bool:
        """It is up."""
        return self._loop is not None and self._thread.is_alive()

    @property
    def ended(self) -> bool:
        """Its thread is through, for whatever reason."""
        return not self._thread.is_alive()

    def publish(self, said: Said) -> None:
        """Say this from now on, and show what is unshown. Returns at once.

        What was said before and not yet shown is skipped.
        """
        self._said = said
        self._nudge()

    def close(self) -> None:
        """Let clients read the last word, then close the port; bounded."""
        self._stopping = True
        self._nudge()
        self._thread.join(_LAST_WORD_S + _CLOSING_S)

    def _nudge(self) -> None:
        # One call at a time, or a loop that stands still would gather them.
        loop = self._loop
        if loop is not None and not self._asked:
            self._asked = True
            with contextlib.suppress(RuntimeError):  # the loop has just ended
                loop.call_soon_threadsafe(self._wake.set)

    # -- the server's own thread -------------------------------------------------------------------

    def _run(self) -> None:
        try:
            credentials = load_credentials(self._settings)
            with bound_socket(self._settings) as bound:
                asyncio.run(self._serve(bound, credentials))
        except GateError as error:
            self.failure = error
        except Exception as error:  # noqa: BLE001 - whatever ends the server, the line must say so and go on
            self.failure = GateError(
                f"the OPC UA server at {self._settings.address} failed: {error!r}",
                "see whether asyncua has the version of deploy/constraints.txt",
            )
        finally:
            self._loop = None

    async def _serve(self, bound: socket.socket, credentials: Credentials | None) -> None:
        server = await _prepared(self._settings, self._seat, self._clock, credentials)
        index = await server.register_namespace(NAMESPACE)
        line = await _blocks(server, index)
        vision = await VisionSystem.build(server, index)
        await vision.show_state(LineState.STARTING, alive=False)
        await server.listen(bound)
        self._loop = asyncio.get_running_loop()
        try:
            while not self._stopping:
                await self._wake.wait()
                self._wake.clear()
                self._asked = False
                await self._show(server, line, vision)
            await asyncio.sleep(_LAST_WORD_S)
        finally:
            await server.hang_up()

    async def _show(self, server: GuardedServer, line: Node, vision: VisionSystem) -> None:
        said = self._said
        if said is None:
            return
        block = ua.Variant(list(said.registers), ua.VariantType.UInt16)
        await server.write_attribute_value(line.nodeid, ua.DataValue(block))
        # A client's odd subscription must not take the gate away from the PLC.
        with contextlib.suppress(Exception):
            await vision.show_state(said.state, alive=said.alive)
            await vision.show_recipe(said.recipe)
        while (command := self._unshown.take()) is not None:
            try:
                await vision.show_result(command)
            except Exception as error:  # noqa: BLE001 - as above
                self._unshown.failed(error)


def bound_socket(settings: OpcUaGateSettings) -> socket.socket:
    """The port, ours but not yet answering: what cannot be had is known before anything is built.

    Raises:
        GateError: it cannot be had.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM
        )[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen()
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise GateError(
            f"{settings.address} cannot be listened on: {error.strerror}",
            "free the port or correct gate.host and gate.port",
        ) from error
    return bound


async def _prepared(
    settings: OpcUaGateSettings,
    seat: PlcSeat,
    clock: Callable[[], int],
    credentials: Credentials | None,
) -> GuardedServer:
    server = GuardedServer(seat, clock, None if credentials is None else credentials.trusted)
    server.name = server.manufacturer_name = "inspector"
    server.product_uri = APPLICATION
    server.application_type = ua.ApplicationType.Server
    # Thousands of nodes are made, none of them garbage: looking for it costs a quarter of the time.
    gc.disable()
    try:
        await server.init()
    finally:
        gc.enable()
    await server.set_application_uri(APPLICATION)
    server.set_endpoint(f"{settings.address}/")
    if credentials is None:
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        return server
    await server.load_certificate(credentials.certificate, "der")
    await server.load_private_key(credentials.private_key, format="der")
    server.set_security_policy(
        [
            ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
            ua.SecurityPolicyType.Basic256Sha256_Sign,
        ]
    )
    return server


async def _blocks(server: GuardedServer, index: int) -> Node:
    """The two variables of the handshake; returns the line's."""
    gate = await server.nodes.objects.add_object(
        ua.NodeId("Gate", index), ua.QualifiedName("Gate", index)
    )

    async def block(path: str, size: int) -> Node:
        node = await gate.add_variable(
            ua.NodeId(path, index),
            ua.QualifiedName(path.split(".")[1], index),
            [0] * size,
            varianttype=ua.VariantType.UInt16,
        )
        await node.write_attribute(
            ua.AttributeIds.ArrayDimensions,
            ua.DataValue(ua.Variant([size], ua.VariantType.UInt32, is_array=True)),
        )
        return node

    plc = await block(PLC_TO_LINE, PLC_TO_LINE_SIZE)
    await plc.set_writable()
    server.guarded.plc_node = plc.nodeid
    return await block(LINE_TO_PLC, LINE_TO_PLC_SIZE)
