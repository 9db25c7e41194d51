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
    """The PLC's newest whole block, and when it arrived, host monotonic clock."""

    block: PlcBlock
    at_ns: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A write that was not taken, and what is wrong with it."""

    fault: GateFault
    what: str


class PlcSeat:
    """One client speaks for the PLC: the first that writes a whole block, until it leaves or falls silent.

    Whoever writes beside it is refused and changes nothing. Written by the server's thread and read by the
    line's: what either sees is always whole, since it is replaced and never changed.

    Args:
        silence_ns: a client that wrote nothing for so long has given its seat up.
    """

    def __init__(self, silence_ns: int) -> None:
        self._silence_ns = silence_ns
        self._holder: object | None = None
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
        self._holder = writer
        self.heard = Heard(block, now_ns)
        return None

    def leave(self, writer: object) -> None:
        """A client is gone."""
        if self._holder is writer:
            self._holder = None

    def _silent(self, now_ns: int) -> bool:
        return self.heard is None or now_ns - self.heard.at_ns > self._silence_ns


def _fault(error: BlockError) -> GateFault:
    if isinstance(error, WrongMapError):
        return GateFault.WRONG_MAP
    return GateFault.TORN if isinstance(error, TornBlockError) else GateFault.GARBAGE
