"""The simulated PLC as a process of its own, and other people's eyes on its registers."""

import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from inspector.config.gates import ModbusGateSettings
from inspector.core import gate_program
from inspector.core.belt import BeltLimits
from inspector.core.gate_codes import GateReason, GateStatus
from inspector.core.gate_program import GateProgram, Parameters
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason
from inspector.gate import Command, Gate, Incoming, LineState, Outgoing, open_gate
from inspector.gate import registers as line_side
from inspector.twin import plc, plc_registers
from inspector.twin.plc import SCAN_NS, PlcLane
from inspector.twin.rig import Action, BeltPart, Rig, create_rig

MS = 1_000_000
TRAVEL_MS = 800


@dataclass
class Plc:
    """The process, where it listens and what it logs."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    def rows(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def gate(self, lane: int = 0) -> Gate:
        settings = ModbusGateSettings(port=self.port, base_register=100 * lane, timeout_ms=1000)
        return open_gate(settings, "lane-1")


@pytest.fixture
def rig() -> Iterator[Rig]:
    with create_rig() as made:
        yield made


Start = Callable[..., Plc]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(*rigs: Rig, mode: str = "photo_eye") -> Plc:
        log = tmp_path / "plc.jsonl"
        command = [sys.executable, "-m", "inspector.twin.plc", "--port", "0", "--log", str(log)]
        command += ["--mode", mode, "--travel-ms", str(TRAVEL_MS)]
        for one in rigs:
            command += ["--rig", str(one.path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        ready = process.stdout.readline()
        found = re.fullmatch(r"ready port=(\d+)\n", ready)
        assert found, ready
        # The belt has run for a while: what a belt that has just begun to run brings is diverted.
        time.sleep(0.6)
        return Plc(process, int(found.group(1)), log)

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def publish(rig: Rig, *after_ms: int, travel_ms: int = TRAVEL_MS) -> None:
    """Put parts on the belt; their photo-eye times from now on."""
    now_ns = time.monotonic_ns()
    for ms in after_ms:
        eye_ns = now_ns + ms * MS
        rig.publish_part(cup_id=1, image_slot=0, eye_ns=eye_ns, gate_ns=eye_ns + travel_ms * MS)


def run_line(
    gate: Gate,
    decide: Callable[[int], Outcome | None],
    *,
    until: Callable[[], bool],
    alive: bool = True,
) -> list[Incoming]:
    """A line that decides by the part's number alone, until the plant is through."""
    told = 0
    commands: list[Command] = []
    seen: list[Incoming] = []
    while not until():
        incoming = gate.exchange(Outgoing(alive, LineState.RUNNING, tuple(commands)))
        commands = []
        seen.append(incoming)
        for eye in incoming.photo_eyes:
            if eye.number > told:
                told = eye.number
                outcome = decide(told)
                if outcome is not None:
                    reason = Reason.CLEAN if outcome is Outcome.PASS else Reason.DEFECT
                    part = PartId("lane-1", incoming.session, told)
                    commands.append(Command(part, outcome, reason, eye.at_ns))
        time.sleep(0.01)
    return seen


def all_done(rig: Rig, parts: int) -> Callable[[], bool]:
    def done() -> bool:
        return all((part := rig.part(n)) is not None and part.done for n in range(1, parts + 1))

    return done


def test_it_passes_parts_with_their_own_ok_and_diverts_all_others(rig: Rig, start: Start) -> None:
    plc = start(rig)
    publish(rig, *range(200, 1400, 100))
    answers = {0: Outcome.PASS, 1: Outcome.REJECT, 2: None}
    gate = plc.gate()
    seen = run_line(gate, lambda n: answers[n % 3], until=all_done(rig, 12))
    rows = plc.rows()
    assert [row["number"] for row in rows] == list(range(1, 13))
    expected = {0: ("passed", "ok"), 1: ("diverted", "nok"), 2: ("diverted", "no_result")}
    assert [(row["action"], row["reason"]) for row in rows] == [
        expected[n % 3] for n in range(1, 13)
    ]
    for n in range(1, 13):
        part = rig.part(n)
        assert part is not None
        assert part.action is (Action.PASSED if n % 3 == 0 else Action.DIVERTED)
    time.sleep(0.05)
    seen.append(gate.exchange_idle())
    confirmed = [r.number for incoming in seen for r in incoming.gate_results]
    assert confirmed == list(range(1, 13))
    gate.close()


def test_photo_eye_times_are_right_to_a_scan_and_a_round_trip(rig: Rig, start: Start) -> None:
    plc = start(rig)
    publish(rig, *range(200, 700, 100))
    gate = plc.gate()
    seen = run_line(gate, lambda _: None, until=all_done(rig, 5))
    for eye in seen[-1].photo_eyes:
        part = rig.part(eye.number)
        assert part is not None
        assert 0 <= eye.at_ns - part.eye_ns <= SCAN_NS + seen[-1].uncertainty_ns + MS
    gate.close()


def test_an_ok_of_a_line_that_is_not_alive_opens_nothing(rig: Rig, start: Start) -> None:
    plc = start(rig)
    publish(rig, 100, 250)
    gate = plc.gate()
    run_line(gate, lambda _: Outcome.PASS, until=all_done(rig, 2), alive=False)
    assert [row["reason"] for row in plc.rows()] == ["stale_heartbeat"] * 2
    gate.close()


def test_without_a_line_every_part_is_diverted(rig: Rig, start: Start) -> None:
    plc = start(rig)
    publish(rig, 50, 150)
    done = all_done(rig, 2)
    while not done():
        time.sleep(0.02)
    assert [(row["action"], row["reason"]) for row in plc.rows()] == [("diverted", "no_result")] * 2


def test_a_plc_started_anew_counts_anew_and_diverts_what_it_did_not_count(
    rig: Rig, start: Start
) -> None:
    first = start(rig)
    gate = first.gate()
    session = gate.exchange_idle().session
    gate.close()
    publish(rig, 30, travel_ms=3500)
    publish(rig, 3200)
    time.sleep(0.1)
    first.process.terminate()
    first.process.wait()
    second = start(rig)
    gate = second.gate()
    seen = run_line(gate, lambda _: Outcome.PASS, until=all_done(rig, 2))
    assert seen[-1].session != session
    rows = {row["number"]: (row["action"], row["reason"], row["count"]) for row in second.rows()}
    assert rows[1] == ("diverted", "uncounted", None)
    assert rows[2] == ("passed", "ok", 1)
    gate.close()


def test_in_free_run_it_opens_where_the_results_time_says(rig: Rig, start: Start) -> None:
    plc = start(rig, mode="free_run")
    publish(rig, 300, 500, 700)
    gate = plc.gate()
    parts = [rig.part(n) for n in (1, 2, 3)]
    eyes = [part.eye_ns for part in parts if part is not None]
    sent = 0
    done = all_done(rig, 3)
    while not done():
        commands = []
        # The line sees the first and the third cup only, a while after they crossed the picture.
        for number, at_ns in ((1, eyes[0]), (2, eyes[2])):
            if number == sent + 1 and time.monotonic_ns() > at_ns + 100 * MS:
                sent = number
                part = PartId("lane-1", 5, number)
                commands.append(Command(part, Outcome.PASS, Reason.CLEAN, at_ns))
        incoming = gate.exchange(Outgoing(True, LineState.RUNNING, tuple(commands)))
        assert incoming.part_count == 0
        time.sleep(0.01)
    rows = plc.rows()
    assert [row["action"] for row in rows] == ["passed", "diverted", "passed"]
    assert [row["result_number"] for row in rows] == [1, None, 2]
    gate.close()


def test_two_lanes_have_a_block_each(rig: Rig, start: Start) -> None:
    with create_rig() as other:
        plc = start(rig, other)
        publish(rig, 50)
        publish(other, 50, 150)
        time.sleep(0.4)
        first, second = plc.gate(0), plc.gate(1)
        assert first.exchange_idle().part_count == 1
        assert second.exchange_idle().part_count == 2
        first.close()
        second.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_asked_to(rig: Rig, start: Start, number: int) -> None:
    plc = start(rig)
    gate = plc.gate()
    gate.exchange_idle()
    plc.process.send_signal(number)
    assert plc.process.wait(timeout=5) == 0
    gate.close()


def test_it_ends_with_the_plant(rig: Rig, start: Start) -> None:
    plc = start(rig)
    rig.running = False
    assert plc.process.wait(timeout=5) == 0


def mbpoll(port: int, *arguments: str) -> str:
    """Debian's Modbus master, by people who never saw this project."""
    program = shutil.which("mbpoll")
    if program is None:
        pytest.fail("mbpoll is not installed; `make test` installs it (apt-get install mbpoll)")
    command = [program, "-m", "tcp", "-p", str(port), "-0", "-1", "-o", "5", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def values(output: str) -> list[int]:
    return [int(found) for found in re.findall(r"^\[\d+\]:\s+(\d+)", output, re.MULTILINE)]


def test_another_modbus_master_reads_the_same(rig: Rig, start: Start) -> None:
    plc = start(rig)
    publish(rig, 50, 150, 250)
    done = all_done(rig, 3)
    while not done():
        time.sleep(0.02)
    size = str(line_side.PLC_TO_LINE_SIZE)
    words = values(mbpoll(plc.port, "-t", "3", "-r", "0", "-c", size, "127.0.0.1"))
    block = line_side.decode_plc(words)
    gate = plc.gate()
    ours = gate.exchange_idle()
    gate.close()
    assert (block.session, block.part_count) == (ours.session, 3)
    assert [event.number for event in block.photo_eye] == [1, 2, 3]
    eyes = [part.eye_ns // MS for n in (1, 2, 3) if (part := rig.part(n)) is not None]
    gaps = [event.clock_ms - block.photo_eye[0].clock_ms for event in block.photo_eye]
    assert gaps == pytest.approx([eye - eyes[0] for eye in eyes], abs=SCAN_NS / MS + 1)
    assert [result.reason.name for result in block.gate_results] == ["NO_RESULT"] * 3
    # Its own 32-bit reading: high word first.
    session = re.findall(
        r"^\[4\]:\s+(-?\d+)",
        mbpoll(plc.port, "-t", "3:int", "-B", "-r", "4", "-c", "1", "127.0.0.1"),
        re.MULTILINE,
    )
    assert int(session[0]) % 2**32 == block.session


def test_another_modbus_master_reads_what_the_line_wrote(rig: Rig, start: Start) -> None:
    plc = start(rig)
    gate = plc.gate()
    part = PartId("lane-1", gate.exchange_idle().session, 11)
    gate.exchange(
        Outgoing(
            True,
            LineState.RUNNING,
            (Command(part, Outcome.REJECT, Reason.TOO_CLOSE, time.monotonic_ns() - 70_000 * MS),),
        )
    )
    gate.close()
    size = str(line_side.LINE_TO_PLC_SIZE)
    words = values(mbpoll(plc.port, "-t", "4", "-r", "0", "-c", size, "127.0.0.1"))
    block = line_side.decode_line(words)
    assert (block.heartbeat, block.state, block.session) == (1, LineState.RUNNING, part.session)
    assert block.results == (
        line_side.Result(11, line_side.ResultCode.NOK, Reason.TOO_CLOSE, block.results[0].clock_ms),
    )


def test_a_register_outside_the_blocks_is_refused(rig: Rig, start: Start) -> None:
    plc = start(rig)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        mbpoll(plc.port, "-t", "3", "-r", "100", "-c", "1", "127.0.0.1")
    assert "Illegal data address" in caught.value.stderr


def test_line_and_plc_agree_on_layout_and_codes() -> None:
    """Both were typed from docs/plc.md; neither imports the other."""
    for layout, dtype in (
        (line_side.PLC_TO_LINE, plc_registers.PLC_TO_LINE),
        (line_side.LINE_TO_PLC, plc_registers.LINE_TO_PLC),
    ):
        fields = dtype.fields
        assert fields is not None
        for register in layout:
            name = re.split(r"[\[\].]+", register.name)
            kind, start = fields[name[0]][:2]
            if len(name) > 1:
                slot = kind.subdtype[0] if kind.subdtype else kind
                assert slot.fields is not None
                kind, inner = slot.fields[name[2]][:2]
                start += int(name[1]) * slot.itemsize + inner
            assert (start, kind.itemsize) == (
                2 * register.offset,
                4 if register.kind == "u32" else 2,
            )
    assert plc_registers.MAP_VERSION == line_side.MAP_VERSION
    assert gate_program.RUNNING == LineState.RUNNING
    assert gate_program.OK == line_side.ResultCode.OK


class Belt:
    """Wires without a rig."""

    def __init__(self, *eyes_ms: int) -> None:
        self.parts = [
            BeltPart(n, 1, 0, ms * MS, (ms + TRAVEL_MS) * MS, Action.NONE, 0, done=False)
            for n, ms in enumerate(eyes_ms, start=1)
        ]
        self.actions: dict[int, tuple[Action, int]] = {}

    def parts_due(self, after: int, now_ns: int) -> list[BeltPart]:
        return [part for part in self.parts if part.number > after and part.eye_ns <= now_ns]

    def part(self, number: int) -> BeltPart:
        return self.parts[number - 1]

    def belt_runs(self, at_ns: int) -> bool:
        return True

    def set_result(self, number: int, action: Action, reason: int = 0) -> None:
        self.actions[number] = (action, reason)


def a_line_block(beat: int, *numbers: int) -> list[int]:
    results = tuple(line_side.Result(n, line_side.ResultCode.OK, Reason.CLEAN, 0) for n in numbers)
    return line_side.encode_line(
        line_side.LineBlock(beat, beat, LineState.RUNNING, 7, 7, 0, results)
    )


def a_lane(belt: Belt) -> PlcLane:
    parameters = Parameters(travel=TRAVEL_MS * MS, belt=BeltLimits(settle_ns=0))
    return PlcLane(belt, GateProgram(7, parameters), io.StringIO(), start_ns=0)


@pytest.mark.parametrize(
    ("told_at_ms", "passed"), [(400, True), (840, True), (860, False), (1300, False)]
)
def test_a_busy_machine_does_not_let_a_late_result_count_as_early(
    told_at_ms: int, passed: bool
) -> None:
    """The process sleeps nearly all the part's way; the cycles are made up. Decided at 850 ms."""
    belt = Belt(100)
    lane = a_lane(belt)
    for beat, ms in enumerate(sorted({300, 700, told_at_ms}), start=1):
        lane.advance(ms * MS)
        lane.write(a_line_block(beat, *([1] if ms >= told_at_ms else [])))
    lane.advance(2000 * MS)
    assert belt.actions[1][0] is (Action.PASSED if passed else Action.DIVERTED)


@pytest.mark.parametrize("fall_ms", [120, 900])
def test_a_reject_that_does_not_come_down_the_chute_in_time_shuts_the_gate(
    monkeypatch: pytest.MonkeyPatch, fall_ms: int
) -> None:
    monkeypatch.setattr(plc, "FALL_NS", fall_ms * MS)
    parameters = plc.wired(photo_eye=True, travel_ms=TRAVEL_MS, encoder=False)
    belt = Belt(*range(600, 3000, 150))
    lane = PlcLane(belt, GateProgram(7, parameters), io.StringIO(), start_ns=0)
    for ms in range(0, 6000, 50):
        lane.advance(ms * MS)
    assert len(belt.actions) == len(belt.parts)
    status = line_side.decode_plc(lane.image()).status
    assert (GateStatus.UNCONFIRMED in status) is (fall_ms == 900)


def test_a_torn_block_is_not_taken() -> None:
    belt = Belt(100)
    lane = a_lane(belt)
    for beat in range(1, 60):
        lane.advance(beat * 10 * MS)
        words = a_line_block(beat, *([1] if beat > 20 else []))
        words[-1] = words[-1] + (beat > 20)
        lane.write(words)
    lane.advance(2000 * MS)
    assert belt.actions[1] == (Action.DIVERTED, GateReason.NO_RESULT)


def test_the_image_is_a_block_the_line_understands() -> None:
    belt = Belt(*range(100, 3000, 100))
    lane = a_lane(belt)
    for ms in range(0, 4000, 50):
        lane.advance(ms * MS)
        block = line_side.decode_plc(lane.image())
        assert block.part_count == sum(part.eye_ns <= ms * MS for part in belt.parts)
        assert len(block.photo_eye) == min(block.part_count, 8)
