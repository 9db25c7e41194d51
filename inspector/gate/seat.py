"""Who speaks for the PLC where the PLC is the client, and what it wrote last. Pure: no socket, no clock."""

from collections.abc import Sequence
from typing import NamedTuple

from inspector.gate.registers import BlockError, PlcBlock, decode_plc


class Heard(NamedTuple):
    """A whole block of the PLC, and when it can have been on its way; host monotonic clock, ns.

    Attributes:
        block: what it says.
        sent_ns: when the one before it arrived: the block was made later.
        received_ns: when it arrived.
    """

    block: PlcBlock
    sent_ns: int
    received_ns: int


class PlcSeat:
    """One client speaks for the PLC: the first that writes a whole block, until it leaves or falls silent.

    Its first block only begins: how long that was under way nobody knows. Of every other it is known that it
    was made after the write before it was answered. Whoever writes beside it changes nothing.

    Written by the server's thread and read by the line's: what either sees is always whole, since it is
    replaced and never changed.

    Args:
        silence_ns: a client that wrote no whole block for so long has given its seat up.
    """

    def __init__(self, silence_ns: int) -> None:
        self._silence_ns = silence_ns
        self._holder: object | None = None
        self._written_ns = 0
        self.heard: Heard | None = None
        self.fault: BlockError | None = None
        """What is wrong with the last write, if it was no whole block."""
        self.refused_ns = 0
        """When that write came."""

    def admits(self, writer: object, now_ns: int) -> bool:
        """Nobody else speaks for the PLC."""
        return self._holder is None or self._holder is writer or self._silent(now_ns)

    def write(self, writer: object, registers: Sequence[int], now_ns: int) -> None:
        """A client that is admitted wrote the block, at ``now_ns``; `fault` says whether it is one."""
        try:
            block = decode_plc(registers)
        except BlockError as error:
            self.refused_ns, self.fault = now_ns, error
            return
        self.fault = None
        begins = self._holder is not writer or self._silent(now_ns)
        self.heard = None if begins else Heard(block, self._written_ns, now_ns)
        self._holder, self._written_ns = writer, now_ns

    def leave(self, writer: object) -> None:
        """A client is gone."""
        if self._holder is writer:
            self._holder = None

    def _silent(self, now_ns: int) -> bool:
        return now_ns - self._written_ns >= self._silence_ns
