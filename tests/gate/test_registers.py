"""The register block: what is written is what is read, and nothing else is believed."""

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.gate_codes import GateAction, GateReason, GateStatus
from inspector.core.verdict import Reason
from inspector.gate import registers
from inspector.gate.registers import (
    DEPTH,
    LINE_TO_PLC,
    LINE_TO_PLC_SIZE,
    PLC_TO_LINE,
    PLC_TO_LINE_SIZE,
    REASON_CODES,
    BlockError,
    GateResult,
    LineBlock,
    LineState,
    PhotoEyeEvent,
    PlcBlock,
    Result,
    ResultCode,
    TornBlockError,
    WrongMapError,
    decode_line,
    decode_plc,
    encode_line,
    encode_plc,
)

U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF)
DOCUMENT = Path(__file__).parents[2] / "docs" / "plc.md"


@st.composite
def plc_blocks(draw: st.DrawFn) -> PlcBlock:
    count, gate_count = draw(U32), draw(U32)
    counted = range(max(count - DEPTH, 0) + 1, count + 1)
    executed = sorted(
        draw(st.sets(st.integers(max(gate_count - DEPTH, 0) + 1, gate_count))) if gate_count else ()
    )
    return PlcBlock(
        sequence=draw(U16),
        status=GateStatus(draw(st.integers(0, 63))),
        heartbeat_seen=draw(U16),
        session=draw(U32),
        part_count=count,
        clock_ms=draw(U32),
        results_taken=draw(U32),
        gate_count=gate_count,
        photo_eye=tuple(PhotoEyeEvent(n, draw(U32)) for n in counted),
        gate_results=tuple(
            GateResult(n, draw(st.sampled_from(GateAction)), draw(st.sampled_from(GateReason)))
            for n in executed
        ),
    )


@st.composite
def line_blocks(draw: st.DrawFn) -> LineBlock:
    newest = draw(st.integers(1, 0xFFFF_FFFF))
    numbers = draw(st.sets(st.integers(max(newest - DEPTH, 0) + 1, newest)))
    return LineBlock(
        sequence=draw(U16),
        heartbeat=draw(U16),
        state=draw(st.sampled_from(LineState)),
        session=draw(U32),
        plc_session=draw(U32),
        gate_read=draw(U32),
        results=tuple(
            Result(n, draw(st.sampled_from(ResultCode)), draw(st.sampled_from(Reason)), draw(U32))
            for n in sorted(numbers)
            if n > max(numbers) - DEPTH
        ),
    )


@given(plc_blocks())
def test_what_the_plc_says_is_what_the_line_reads(block: PlcBlock) -> None:
    words = encode_plc(block)
    assert len(words) == PLC_TO_LINE_SIZE
    assert decode_plc(words) == block


@given(line_blocks())
def test_what_the_line_says_is_what_the_plc_reads(block: LineBlock) -> None:
    words = encode_line(block)
    assert len(words) == LINE_TO_PLC_SIZE
    assert decode_line(words) == block


@given(st.lists(U16, min_size=PLC_TO_LINE_SIZE, max_size=PLC_TO_LINE_SIZE))
def test_noise_is_never_taken_for_a_block(words: list[int]) -> None:
    with pytest.raises(BlockError):
        decode_plc(words)


@given(plc_blocks(), st.dictionaries(st.integers(1, PLC_TO_LINE_SIZE - 2), U16, max_size=6))
def test_a_damaged_block_is_an_error_or_a_block_that_is_sound_in_itself(
    block: PlcBlock, damage: dict[int, int]
) -> None:
    words = encode_plc(block)
    for at, word in damage.items():
        words[at] = word
    words[-1] = words[1]
    try:
        read = decode_plc(words)
    except BlockError:
        return
    assert decode_plc(encode_plc(read)) == read
    newest = range(max(read.part_count - DEPTH, 0) + 1, read.part_count + 1)
    assert [event.number for event in read.photo_eye] == list(newest)


def test_a_block_that_changed_while_it_was_read_is_torn() -> None:
    words = encode_plc(PlcBlock(5, GateStatus.READY, 0, 1, 0, 0, 0, 0))
    words[-1] += 1
    with pytest.raises(TornBlockError):
        decode_plc(words)


def test_another_devices_registers_are_not_ours() -> None:
    with pytest.raises(WrongMapError, match="0x0000 instead of 0x4902"):
        decode_plc([0] * PLC_TO_LINE_SIZE)


def test_a_photo_eye_event_that_is_missing_from_the_buffer_is_an_error() -> None:
    events = tuple(PhotoEyeEvent(n, n) for n in (1, 3))
    with pytest.raises(BlockError, match="part_count"):
        decode_plc(encode_plc(PlcBlock(5, GateStatus.READY, 0, 1, 3, 0, 0, 0, events)))


def test_a_u32_has_its_high_word_first() -> None:
    words = encode_plc(PlcBlock(5, GateStatus.READY, 0, 0x1234_5678, 0, 0, 0, 0))
    assert words[4:6] == [0x1234, 0x5678]


def test_both_blocks_fit_one_modbus_request() -> None:
    assert PLC_TO_LINE_SIZE <= 125
    assert LINE_TO_PLC_SIZE <= 123


def test_every_reason_has_a_code_of_its_own() -> None:
    assert set(REASON_CODES) == set(Reason)
    assert len(set(REASON_CODES.values())) == len(Reason)


def documented(heading: str) -> list[list[str]]:
    """The cells of the table below a heading of docs/plc.md."""
    section = DOCUMENT.read_text(encoding="utf-8").split(heading, 1)[1]
    table = re.search(r"(\|.*\n)+", section)
    assert table is not None
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in table.group().splitlines()
    ]
    return rows[2:]


def offset(text: str, slot: int) -> int:
    """``14 + 4·s`` for a slot."""
    first, _, step = text.partition("+")
    return int(ast.literal_eval(first.strip())) + (
        int(step.replace("·s", "")) * slot if step else 0
    )


@pytest.mark.parametrize(
    ("heading", "layout"), [("### PLC → line", PLC_TO_LINE), ("### Line → PLC", LINE_TO_PLC)]
)
def test_the_documented_registers_are_the_ones_in_the_code(
    heading: str, layout: tuple[registers.Register, ...]
) -> None:
    told = [
        (offset(row[0], slot), row[1].replace("[s]", f"[{slot}]"), row[2])
        for row in documented(heading)
        for slot in (range(DEPTH) if "[s]" in row[1] else (0,))
    ]
    assert sorted(told) == [tuple(register) for register in layout]
    size = DOCUMENT.read_text(encoding="utf-8").split(heading, 1)[1].splitlines()[0]
    assert size.endswith(f" {layout[-1].offset + 1}")


def test_the_documented_codes_are_the_ones_in_the_code() -> None:
    told = {(row[0], int(row[1]), row[2]) for row in documented("### Codes")}
    kinds = {
        "status": GateStatus,
        "state": LineState,
        "outcome": ResultCode,
        "action": GateAction,
        "gate_result.reason": GateReason,
    }
    coded = {(name, code.value, code.name) for name, kind in kinds.items() for code in kind}
    coded |= {("result.reason", code, str(reason)) for reason, code in REASON_CODES.items()}
    assert told == coded
