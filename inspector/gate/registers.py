"""The register block of one lane: layout, encode and decode. Pure; docs/plc.md is its table.

Registers are 16 bits wide; a u32 takes two, the high word first. Each direction is one block, read or
written in one request. Its first and last registers hold the same sequence number, which its writer
changes with every update: when they differ, the block was read while it was being written.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal, NamedTuple, TypeVar

from inspector.core.gate_codes import GateAction, GateReason, GateStatus
from inspector.core.verdict import Reason

MAP_VERSION: Final = 0x4902
"""'I' and the version: a device that is not ours hardly shows it by chance."""
DEPTH: Final = 8
"""Slots of every buffer; part n is in slot n modulo 8."""

REASON_CODES: Final[Mapping[Reason, int]] = {
    Reason.CLEAN: 1,
    Reason.DEFECT: 2,
    Reason.NO_CUP: 3,
    Reason.NO_ORIENTATION: 4,
    Reason.MISSING_FRAME: 5,
    Reason.INCOMPLETE_FRAME: 6,
    Reason.FRAME_OVERWRITTEN: 7,
    Reason.MISMATCHED_FRAME: 8,
    Reason.TOO_CLOSE: 9,
    Reason.LATE: 10,
    Reason.OVERLOAD: 11,
    Reason.ENGINE_ERROR: 12,
    Reason.UNSEEN: 13,
    Reason.STOPPED: 14,
    Reason.CHANGEOVER: 15,
}
"""Fixed for ever: PLC programs show them as texts. New reasons get new codes."""
_STATUS_BITS = sum(GateStatus)
_REASONS = {code: reason for reason, code in REASON_CODES.items()}


JOB_REFUSED: Final = 0xFFFF
"""What the line says instead of a job that it cannot use."""


class LineState(IntEnum):
    """What the line says of itself; the PLC lets parts pass only while ``RUNNING``."""

    STARTING = 0
    RUNNING = 1
    STOPPING = 2
    FAULT = 3


class ResultCode(IntEnum):
    """The verdict as the PLC reads it."""

    OK = 1
    NOK = 2


class BlockError(ValueError):
    """The registers do not hold a valid block."""


class WrongMapError(BlockError):
    """The registers do not begin with our map version."""


class TornBlockError(BlockError):
    """The block was read while it was being written."""


class Register(NamedTuple):
    """One value of a block: offset from the block's first register, name and type."""

    offset: int
    name: str
    kind: Literal["u16", "u32"]


def _layout(
    *fields: tuple[str, Literal["u16", "u32"]] | tuple[str, Sequence[str]],
) -> tuple[Register, ...]:
    """Registers from names; a buffer is given as its name and ``field:type`` for each of its fields."""
    registers: list[Register] = []
    offset = 0

    def add(name: str, kind: str) -> None:
        nonlocal offset
        registers.append(Register(offset, name, "u32" if kind == "u32" else "u16"))
        offset += 2 if kind == "u32" else 1

    for name, kind in fields:
        if isinstance(kind, str):
            add(name, kind)
        else:
            for slot in range(DEPTH):
                for field in kind:
                    add(f"{name}[{slot}].{field.split(':')[0]}", field.split(":")[1])
    return tuple(registers)


PLC_TO_LINE: Final = _layout(
    ("map_version", "u16"),
    ("sequence", "u16"),
    ("status", "u16"),
    ("heartbeat_seen", "u16"),
    ("session", "u32"),
    ("part_count", "u32"),
    ("clock_ms", "u32"),
    ("results_taken", "u32"),
    ("gate_count", "u32"),
    ("photo_eye", ("number:u32", "clock_ms:u32")),
    ("gate_result", ("number:u32", "action:u16", "reason:u16")),
    ("job", "u16"),
    ("sequence_end", "u16"),
)
"""Input registers (function 4), written by the PLC."""
LINE_TO_PLC: Final = _layout(
    ("map_version", "u16"),
    ("sequence", "u16"),
    ("heartbeat", "u16"),
    ("state", "u16"),
    ("session", "u32"),
    ("plc_session", "u32"),
    ("gate_read", "u32"),
    ("result", ("number:u32", "outcome:u16", "reason:u16", "clock_ms:u32")),
    ("job", "u16"),
    ("sequence_end", "u16"),
)
"""Holding registers (function 16), written by the line."""


def _size(layout: tuple[Register, ...]) -> int:
    return layout[-1].offset + 1


def _format(layout: tuple[Register, ...]) -> struct.Struct:
    return struct.Struct(">" + "".join("I" if r.kind == "u32" else "H" for r in layout))


PLC_TO_LINE_SIZE: Final = _size(PLC_TO_LINE)
LINE_TO_PLC_SIZE: Final = _size(LINE_TO_PLC)
_PLC_FORMAT = _format(PLC_TO_LINE)
_LINE_FORMAT = _format(LINE_TO_PLC)


@dataclass(frozen=True, slots=True)
class PhotoEyeEvent:
    """The PLC counted a part.

    Attributes:
        number: the part's.
        clock_ms: when, on the PLC's clock.
    """

    number: int
    clock_ms: int


@dataclass(frozen=True, slots=True)
class GateResult:
    """What the gate did with a part, and why."""

    number: int
    action: GateAction
    reason: GateReason


@dataclass(frozen=True, slots=True)
class PlcBlock:
    """What the PLC says.

    Attributes:
        sequence: changes with every scan: the PLC's heartbeat.
        status: see `GateStatus`.
        heartbeat_seen: the line's heartbeat as the PLC's program last saw it.
        session: the life of the PLC's program, and so of its counter and clock; never 0.
        part_count: parts counted in this session.
        clock_ms: the PLC's clock at its last scan, wraps at 2³².
        results_taken: highest number of a result that the PLC took.
        gate_count: number of the last part at the gate.
        photo_eye: the last 8 counted parts, oldest first.
        gate_results: the last 8 parts at the gate, oldest first.
        job: which of the lane's recipes shall judge; 0 is the one it starts with.
    """

    sequence: int
    status: GateStatus
    heartbeat_seen: int
    session: int
    part_count: int
    clock_ms: int
    results_taken: int
    gate_count: int
    photo_eye: tuple[PhotoEyeEvent, ...] = ()
    gate_results: tuple[GateResult, ...] = ()
    job: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """A verdict for the PLC.

    Attributes:
        number: the part's number.
        outcome: OK or NOK.
        reason: why.
        clock_ms: when the part was at the camera, on the PLC's clock.
    """

    number: int
    outcome: ResultCode
    reason: Reason
    clock_ms: int


@dataclass(frozen=True, slots=True)
class LineBlock:
    """What the line says.

    Attributes:
        sequence: changes with every write.
        heartbeat: changes only while the line really decides.
        state: see `LineState`.
        session: the life of the count that the results are about: the PLC's, in free run the line's own.
        plc_session: the life of the PLC whose clock the results are told in.
        gate_read: number of the last gate result that the line has read.
        results: the last 8 at most, oldest first.
        job: which of the lane's recipes judges; `JOB_REFUSED` where the one wanted cannot be used.
    """

    sequence: int
    heartbeat: int
    state: LineState
    session: int
    plc_session: int
    gate_read: int
    results: tuple[Result, ...] = ()
    job: int = 0


def encode_plc(block: PlcBlock) -> list[int]:
    """`PLC_TO_LINE_SIZE` registers. The line only decodes it; tests and other peers encode."""
    values = [
        *(MAP_VERSION, block.sequence, block.status, block.heartbeat_seen, block.session),
        *(block.part_count, block.clock_ms, block.results_taken, block.gate_count),
        *_slots(((e.number, e.clock_ms) for e in block.photo_eye), 2),
        *_slots(((g.number, g.action, g.reason) for g in block.gate_results), 3),
        block.job,
        block.sequence,
    ]
    return _to_registers(_PLC_FORMAT.pack(*values))


def decode_plc(registers: Sequence[int]) -> PlcBlock:
    """The PLC's block.

    Raises:
        WrongMapError: another map version.
        TornBlockError: read while it was being written.
        BlockError: too short, or its values contradict each other.
    """
    values = _unpack(registers, _PLC_FORMAT)
    part_count, gate_count = values[5], values[8]
    photo_eye = tuple(
        PhotoEyeEvent(*slot) for slot in _ordered(values[9:25], 2, part_count, "photo_eye")
    )
    # All of them, or a part could be missed that was counted before `clock_ms`.
    if len(photo_eye) != min(part_count, DEPTH):
        raise BlockError(f"photo_eye does not hold the last parts up to part_count {part_count}")
    return PlcBlock(
        sequence=values[1],
        status=GateStatus(values[2] & _STATUS_BITS),
        heartbeat_seen=values[3],
        session=values[4],
        part_count=part_count,
        clock_ms=values[6],
        results_taken=values[7],
        gate_count=gate_count,
        photo_eye=photo_eye,
        gate_results=tuple(
            GateResult(
                number,
                _code(GateAction, action, "gate_result.action"),
                _code(GateReason, why, "gate_result.reason"),
            )
            for number, action, why in _ordered(values[25:49], 3, gate_count, "gate_result")
        ),
        job=values[49],
    )


def encode_line(block: LineBlock) -> list[int]:
    """`LINE_TO_PLC_SIZE` registers."""
    results = (
        (r.number, r.outcome, REASON_CODES[r.reason], r.clock_ms % (1 << 32)) for r in block.results
    )
    values = [
        *(MAP_VERSION, block.sequence, block.heartbeat, block.state, block.session),
        *(block.plc_session, block.gate_read),
        *_slots(results, 4),
        block.job,
        block.sequence,
    ]
    return _to_registers(_LINE_FORMAT.pack(*values))


def decode_line(registers: Sequence[int]) -> LineBlock:
    """The line's block, as a PLC reads it; raises as `decode_plc`."""
    values = _unpack(registers, _LINE_FORMAT)
    slots = _ordered(values[7:39], 4, max(values[7:39:4]), "result")
    return LineBlock(
        sequence=values[1],
        heartbeat=values[2],
        state=_code(LineState, values[3], "state"),
        session=values[4],
        plc_session=values[5],
        gate_read=values[6],
        results=tuple(
            Result(number, _code(ResultCode, outcome, "result.outcome"), _reason(why), at_ms)
            for number, outcome, why, at_ms in slots
        ),
        job=values[39],
    )


_Code = TypeVar("_Code", bound=IntEnum)


def _code(kind: type[_Code], value: int, name: str) -> _Code:
    try:
        return kind(value)
    except ValueError:
        raise BlockError(f"{name} has no meaning {value}") from None


def _reason(code: int) -> Reason:
    try:
        return _REASONS[code]
    except KeyError:
        raise BlockError(f"result.reason has no meaning {code}") from None


def _slots(entries: Iterable[tuple[int, ...]], width: int) -> list[int]:
    """Eight slots of ``width`` values; an entry goes to the slot of its number, its first value."""
    slots = [(0,) * width] * DEPTH
    for entry in entries:
        slots[entry[0] % DEPTH] = entry
    return [value for slot in slots for value in slot]


def _ordered(values: Sequence[int], width: int, newest: int, name: str) -> list[tuple[int, ...]]:
    """The filled slots, oldest first; each must stand in its slot and be one of the last eight."""
    slots = [tuple(values[start : start + width]) for start in range(0, len(values), width)]
    for index, slot in enumerate(slots):
        number = slot[0]
        if number and (number % DEPTH != index or not newest - DEPTH < number <= newest):
            raise BlockError(f"{name}[{index}] holds part {number}, the newest is {newest}")
    return sorted(slot for slot in slots if slot[0])


def _to_registers(data: bytes) -> list[int]:
    return list(struct.unpack(f">{len(data) // 2}H", data))


def _unpack(registers: Sequence[int], layout: struct.Struct) -> tuple[int, ...]:
    if len(registers) != layout.size // 2:
        raise BlockError(f"{len(registers)} registers instead of {layout.size // 2}")
    values: tuple[int, ...] = layout.unpack(struct.pack(f">{len(registers)}H", *registers))
    if values[0] != MAP_VERSION:
        raise WrongMapError(f"register map version {values[0]:#06x} instead of {MAP_VERSION:#06x}")
    if values[1] != values[-1]:
        raise TornBlockError("the block changed while it was being read")
    return values
