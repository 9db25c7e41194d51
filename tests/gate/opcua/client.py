"""An OPC UA client as a PLC has one, for tests of the line's server."""

import socket
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from asyncua import ua
from asyncua.sync import Client, SyncNode

from inspector.gate.opcua.server import LINE_TO_PLC, NAMESPACE, PLC_TO_LINE
from inspector.gate.registers import LineBlock, PlcBlock, decode_line, encode_plc


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def until(holds: Callable[[], bool]) -> None:
    """Wait for what must come; a line that never does it fails the test."""
    for _ in range(2000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError(f"never came true: {holds}")


class PlcClient:
    """A session with the line."""

    def __init__(self, address: str) -> None:
        self.client = Client(address, timeout=10)
        self.client.connect()
        self.index = self.client.get_namespace_index(NAMESPACE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.client.disconnect()

    def node(self, path: str) -> SyncNode:
        return self.client.get_node(ua.NodeId(path, self.index))

    def write(self, block: PlcBlock) -> None:
        """Twice, since the first block after a silence only begins."""
        self.write_words(encode_plc(block))
        self.write_words(encode_plc(block))

    def write_words(self, words: Sequence[int]) -> None:
        self.write_variant(ua.Variant(list(words), ua.VariantType.UInt16))

    def write_variant(self, variant: ua.Variant, path: str = PLC_TO_LINE) -> None:
        # Without time stamps, as a small PLC does it.
        self.node(path).write_value(ua.DataValue(variant))

    def words(self) -> list[int]:
        return [int(word) for word in self.node(LINE_TO_PLC).read_value()]

    def line(self) -> LineBlock | None:
        """What the line says; None before it has said anything."""
        words = self.words()
        return decode_line(words) if any(words) else None

    def value(self, path: str) -> object:
        return self.node(path).read_value()
