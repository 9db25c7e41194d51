"""The sample program for PLCs, compiled and run beside the program that everything else is shown with.

Needs MATIEC, an IEC 61131-3 compiler that no package index has: build github.com/beremiz/matiec
(autoreconf -i, configure, make; needs flex and bison) and name its folder in MATIEC.
"""

import ctypes
import os
import random
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from inspector.core.gate_codes import GateReason
from inspector.core.gate_program import GateProgram, LineInput, LineResult, Parameters
from tests.core.test_gate_on_belt import (
    ENCODER,
    GATE_EYE,
    MS,
    SESSION,
    TIMED,
    WITH_CHUTE,
    WITH_EYE,
    Cup,
    Plant,
)

SOURCE = Path(__file__).parents[2] / "docs" / "gate.st"
HARNESS = Path(__file__).with_name("gate_harness.c")
MAP_VERSION = 0x4902
_SEEN = 7 + 8 * 2 + 8 * 3


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    if "MATIEC" not in os.environ:
        pytest.skip("needs MATIEC, the folder of a built IEC 61131-3 compiler")
    matiec, work = Path(os.environ["MATIEC"]), tmp_path_factory.mktemp("structured-text")
    shutil.copy(SOURCE, work / "gate.st")
    compiled = subprocess.run(
        [matiec / "iec2c", "-I", matiec / "lib", "-T", work, work / "gate.st"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr
    includes = ("-I", str(work), "-I", str(matiec / "lib" / "C"))
    # A PLC's integers wrap; those of C only with this.
    command = ["gcc", "-w", "-O1", "-fwrapv", "-shared", "-fPIC", *includes, str(HARNESS)]
    subprocess.run([*command, "-o", str(work / "gate.so")], check=True)
    loaded = ctypes.CDLL(str(work / "gate.so"))
    loaded.gate_new.restype = ctypes.c_void_p
    return loaded


@dataclass(slots=True)
class Beside(GateProgram):
    """A gate program that the structured text follows, scan by scan; any difference is an error.

    Attributes:
        library: the structured text, compiled.
        clock_from: its ms counter starts here.
        counts_from: its encoder's, too.
    """

    library: ctypes.CDLL | None = None
    clock_from: int = 0
    counts_from: int = 0
    _gate: ctypes.c_void_p | None = None
    _set: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        GateProgram.__post_init__(self)
        p, per = self.parameters, 1 if self.parameters.belt.encoder else MS
        lengths = (p.travel, p.reach, p.margin, p.unsure)
        times = (p.heartbeat_ns, p.belt.settle_ns, p.belt.stand_ns, p.belt.silent_ns)
        values = [int(p.belt.encoder), *(length // per for length in lengths)]
        values += [time // MS for time in times]
        values += [p.belt.backlash, p.gate_eye // per, p.step // per, p.confirm_ns // MS]
        assert self.library is not None
        self._gate = ctypes.c_void_p(
            self.library.gate_new(ctypes.c_uint32(self.session), (ctypes.c_int32 * 13)(*values))
        )

    def write(self, line: LineInput) -> None:
        GateProgram.write(self, line)
        slots = [0] * 32
        for result in line.results:
            at = 4 * (result.number % 8)
            slots[at : at + 4] = [result.number, result.outcome, result.reason, 0]
        words = [MAP_VERSION, 1, line.heartbeat, line.state, line.session, line.plc_session]
        block = [*words, line.gate_read, *slots, 0, 1]
        assert self.library is not None
        self.library.gate_hear(self._gate, (ctypes.c_uint32 * len(block))(*block))

    def scan(
        self,
        now_ns: int,
        edges: int = 0,
        *,
        counts: int | None = None,
        runs: bool = True,
        arrived: int = 0,
        in_chute: int = 0,
        reset: bool = False,
    ) -> None:
        assert max(edges, arrived, in_chute) <= 1, "a program sees one edge a scan"
        GateProgram.scan(
            self,
            now_ns,
            edges,
            counts=counts,
            runs=runs,
            arrived=arrived,
            in_chute=in_chute,
            reset=reset,
        )
        position = _signed(self.counts_from + (counts or 0))
        given = (ctypes.c_int32 * 6)(edges, int(runs), position, arrived, in_chute, int(reset))
        seen = (ctypes.c_uint32 * _SEEN)()
        assert self.library is not None
        now = ctypes.c_uint32((self.clock_from + now_ns // MS) & 0xFFFFFFFF)
        self.library.gate_scan(self._gate, now, given, seen)
        assert list(seen[:7]) == self._head(), f"at {now_ns // MS} ms"
        slots = [seen[at : at + 2] for at in range(7, 23, 2)]
        counted = {n: clock for n, clock in slots if n}
        first = self.part_count - 8
        assert {n: c for n, c in counted.items() if n > first} == {
            n: (self.clock_from + ns // MS) & 0xFFFFFFFF for n, ns in self.photo_eyes
        }
        done = [tuple(seen[at : at + 3]) for at in range(23, _SEEN, 3)]
        assert sorted(row for row in done if row[0]) == sorted(
            (n, int(action), int(why)) for n, action, why in self.gate_results
        ), f"at {now_ns // MS} ms"

    def _head(self) -> list[int]:
        said = [self.passing, self.unconfirmed, self.status, self.heartbeat_seen]
        return [int(v) for v in (*said, self.part_count, self.results_taken, self.gate_count)]


def _signed(value: int) -> int:
    return (value + 0x80000000) % 0x100000000 - 0x80000000


@dataclass(slots=True)
class Nuisance(Plant):
    """A plant whose line is late, dies, contradicts itself, speaks of parts to come and of other sessions."""

    dice: random.Random = field(default_factory=random.Random)
    beating: bool = True
    beat: int = 0

    def _scan(self, edges: int, arrived: int, *, reset: bool = False) -> None:
        dice = self.dice
        if dice.random() < 0.003:
            self.beating = not self.beating
        self.beat += self.beating
        ahead = dice.choice([0] * 4000 + [1, 3, 9])
        late = dice.choice([0] * 10 + [1, 2])
        known = len(self.counted) - edges - late
        results = tuple(
            LineResult(n, self._outcome(n), 1) for n in range(max(1, known - 7), known + 1 + ahead)
        )[-8:]
        self.program.write(
            LineInput(
                self.beat & 0xFFFF,
                dice.choice([1] * 100 + [0, 3]),
                dice.choice([SESSION] * 50 + [SESSION - 1]),
                SESSION,
                max(0, len(self.counted) - 12),
                results,
            )
        )
        in_chute = min(1, sum(at <= self.now for at in self.falls))
        self.falls = sorted(self.falls)[in_chute:]
        if dice.random() < 0.01:
            in_chute = 0
        self.program.scan(
            self.now * MS,
            edges,
            counts=round(self.counts),
            runs=self.drive,
            arrived=arrived,
            in_chute=in_chute,
            reset=reset,
        )

    def _outcome(self, number: int) -> int:
        good = number > len(self.counted) or self.counted[number - 1].good
        return self.dice.choice([1 if good else 2] * 4000 + [2, 0, 7])


@pytest.mark.parametrize("clock_from", [0, 0x7FFFFFFF - 4000, 0xFFFFFFFF - 4000])
@pytest.mark.parametrize(
    ("parameters", "also"),
    [
        (TIMED, {GateReason.BELT_STOPPED}),
        (replace(TIMED, gate_eye=GATE_EYE * MS, step=8 * MS), {GateReason.OUT_OF_STEP}),
        (ENCODER, {GateReason.BELT_REVERSED, GateReason.ENCODER_SILENT}),
        (WITH_EYE, {GateReason.OUT_OF_STEP}),
        (WITH_CHUTE, {GateReason.UNCONFIRMED}),
    ],
    ids=[
        "timed",
        "timed with an eye",
        "encoder",
        "encoder with an eye",
        "chute",
    ],
)
def test_the_structured_text_does_what_the_program_does_whatever_happens(
    library: ctypes.CDLL, parameters: Parameters, also: set[GateReason], clock_from: int
) -> None:
    decided: Counter[GateReason] = Counter()
    for seed in range(40):
        dice = random.Random(seed)
        counts_from = clock_from - 1000 if parameters.belt.encoder else 0
        program = Beside(
            SESSION,
            parameters,
            library=library,
            clock_from=clock_from,
            counts_from=counts_from,
        )
        plant = Nuisance(program, dice=dice)
        plant.run(500)
        apart = dice.choice([60.0, 100.0, 200.0])
        plant.cups = [Cup(-50.0 - n * apart, dice.random() < 0.7) for n in range(25)]
        reasons: dict[int, GateReason] = {}
        while plant.cups and plant.now < 20_000:
            plant.run(dice.choice([5, 50, 400, 1500]))
            deed = dice.random()
            if not plant.drive or deed < 0.15:
                plant.drive = not plant.drive
            elif deed < 0.22 and parameters.belt.encoder:
                plant.direction = -plant.direction
            elif deed < 0.28:
                plant.encoder_works = not plant.encoder_works
            elif deed < 0.34:
                plant.diverter_stuck = not plant.diverter_stuck
            elif deed < 0.4:
                plant.press_reset()
            elif deed < 0.45:
                del plant.cups[:1]
            if plant.direction < 0 and dice.random() < 0.7:
                plant.direction = 1
            reasons |= {n: why for n, _, why in program.gate_results}
        decided.update(reasons.values())
        library.gate_free(program._gate)
    usual = {GateReason.OK, GateReason.NOK, GateReason.STALE_HEARTBEAT, GateReason.PREMATURE_RESULT}
    assert usual | also <= set(decided), decided


@pytest.mark.parametrize(
    "parameters",
    [replace(TIMED, gate_eye=GATE_EYE * MS, step=8 * MS), WITH_EYE],
    ids=["timed", "encoder"],
)
def test_a_belt_that_has_run_for_weeks_is_watched_as_on_its_first_day(
    library: ctypes.CDLL, parameters: Parameters
) -> None:
    program = Beside(SESSION, parameters, library=library)
    now = 0
    # A day's run in every scan; the position wraps on the way.
    for _ in range(30):
        now += 86_400_000
        program.scan(now * MS, counts=now)
    part = 0
    for unexpected in (False, True):
        now += 5
        program.scan(now * MS, 1, counts=now)
        counted, part = now, part + 1
        while now < counted + 600:
            now += 5
            told = (LineResult(part, 1, 1),)
            program.write(LineInput(now & 0xFFFF, 1, SESSION, SESSION, 0, told))
            arrived = now == counted + GATE_EYE or (unexpected and now == counted + 200)
            program.scan(now * MS, counts=now, arrived=int(arrived))
    assert [why for _, _, why in program.gate_results] == [GateReason.OK, GateReason.OUT_OF_STEP]
    library.gate_free(program._gate)


def test_a_photo_eye_that_flickers_on_a_standing_belt_leaves_no_gate_result_that_is_too_old(
    library: ctypes.CDLL,
) -> None:
    """The line takes a block for garbage in which a part is not one of the last eight at the gate."""
    program = Beside(SESSION, TIMED, library=library)
    now = 0

    def part(ms_before: int, *, runs: bool = True) -> None:
        nonlocal now
        for edge in [0] * (ms_before // 5 - 1) + [1]:
            now += 5
            program.scan(now * MS, edge, runs=runs)

    for _ in range(12):
        part(200)
    while 10 in program.parts:
        part(10, runs=False)
    part(1000)
    assert program.gate_count == program.part_count - 1
    library.gate_free(program._gate)


def test_names_in_the_sample_are_no_words_of_the_language() -> None:
    text = re.sub(r"\(\*.*?\*\)", "", SOURCE.read_text(), flags=re.DOTALL)
    names = {name.upper() for name in re.findall(r"^\s+(\w+) : ", text, flags=re.MULTILINE)}
    assert not names & {"AT", "ACTION", "STEP", "TASK", "ON", "WITH", "TO", "DATE", "TIME", "EN"}
