"""Who may write the PLC's block, and what was written last. Pure: no socket, no clock of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from inspector.gate.protocol import GateFault
from inspector.gate.registers import (
    BlockError,
    PlcBlock,
    TornBlockError,
    WrongMapError,
    decode_plc,
)


@dataclass(frozen=True, slots=True)
class Heard:
    """The PLC's newest whole block.

    Attributes:
        block: what it says.
        after_ns: when the write before it arrived, host monotonic clock: the block was made later.
        at_ns: when it arrived.
    """

    block: PlcBlock
    after_ns: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A write that was not taken, and what is wrong with it."""

    fault: GateFault
    what: str


class PlcSeat:
    """One client speaks for the PLC: the first that writes a whole block, until it leaves or falls silent.

    Its first block only begins: how long that was under way nobody knows. Of every other it is known that it
    was made after the write before it was answered. Whoever writes beside it is refused and changes nothing.

    Written by the server's thread and read by the line's: what either sees is always whole, since it is
    replaced and never changed.

    Args:
        silence_ns: a client that wrote nothing for so long has given its seat up.
    """

    def __init__(self, silence_ns: int) -> None:
        self._silence_ns = silence_ns
        self._holder: object | None = None
        self._written_ns = 0
        self.heard: Heard | None = None
        self.refusal: Refusal | None = None
        """Of the last write, if it was the PLC's and no whole block."""

    def write(self, writer: object, registers: Sequence[int] | None, now_ns: int) -> Refusal | None:
        """A client writes the block.

        Args:
            writer: the client's session.
            registers: what it wrote; None where that was no array of 16-bit words at all.
            now_ns: when it arrived, host monotonic clock.

        Returns:
            None where the block was taken.
        """
        if self._holder not in (None, writer) and not self._silent(now_ns):
            return Refusal(GateFault.REFUSED, "another client speaks for the PLC")
        self.refusal = None
        try:
            if registers is None:
                raise BlockError("no array of UInt16")
            block = decode_plc(registers)
        except BlockError as error:
            self.refusal = Refusal(_fault(error), str(error))
            return self.refusal
        begins = self._holder is not writer or self._silent(now_ns)
        self.heard = None if begins else Heard(block, self._written_ns, now_ns)
        self._holder, self._written_ns = writer, now_ns
        return None

    def leave(self, writer: object) -> None:
        """A client is gone."""
        if self._holder is writer:
            self._holder = None

    def _silent(self, now_ns: int) -> bool:
        return now_ns - self._written_ns > self._silence_ns


def _fault(error: BlockError) -> GateFault:
    if isinstance(error, WrongMapError):
        return GateFault.WRONG_MAP
    return GateFault.TORN if isinstance(error, TornBlockError) else GateFault.GARBAGE
