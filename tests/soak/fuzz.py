"""A million inputs that nobody should send: none may crash the line, or open the gate.

``python -m tests.soak.fuzz --inputs 1_000_000``. Every input is either taken or refused by an error that
names what is wrong; anything else ends the run with its seed.
"""

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shutil import copytree

import numpy as np

from inspector.config import load_line
from inspector.config.gates import OpcUaGateSettings
from inspector.core.errors import InspectorError
from inspector.core.frame import FrameInfo
from inspector.core.gate_codes import GateStatus
from inspector.core.gate_program import GateProgram, LineInput, LineResult, Parameters
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, Verdict
from inspector.gate import GateFault, GateLinkError, Outgoing, open_gate
from inspector.gate.registers import (
    LINE_TO_PLC_SIZE,
    PLC_TO_LINE_SIZE,
    BlockError,
    LineBlock,
    LineState,
    PlcBlock,
    Result,
    ResultCode,
    decode_line,
    decode_plc,
    encode_line,
    encode_plc,
)
from inspector.recipe import load_recipe
from inspector.tracking import Closed, FrameKey, Timing, Tracker
from inspector.vision import PixelError, Refusal, prepare
from tests.gate.opcua.client import free_port, until
from tests.gate.opcua.noise import Noise

ROOT = Path(__file__).parents[2]
TIMING = Timing.from_ms(
    min_interval_ms=70, travel_ms=600, decide_before_ms=100, frame_timeout_ms=200, eye_error_ms=11
)
REFUSED = (InspectorError, BlockError, PixelError)
Dice = random.Random
Taken = bool


def plc_block(dice: Dice) -> Taken:
    """What the PLC's registers hold: noise, or a sound block with a few words turned over."""
    words = [dice.getrandbits(16) for _ in range(PLC_TO_LINE_SIZE)]
    if dice.random() < 0.7:
        words = encode_plc(PlcBlock(5, GateStatus.READY, 0, 1, 0, 0, 0, 0))
        _turn_over(words, dice)
    return _taken(lambda: decode_plc(words))


def line_block(dice: Dice) -> Taken:
    """What the line's registers hold when somebody else writes them."""
    part = Result(3, ResultCode.NOK, Reason.DEFECT, 20)
    words = encode_line(LineBlock(5, 1, LineState.RUNNING, 9, 9, 0, (part,)))
    if dice.random() < 0.3:
        words = [dice.getrandbits(16) for _ in range(LINE_TO_PLC_SIZE)]
    _turn_over(words, dice)
    return _taken(lambda: decode_line(words))


def plc_program(dice: Dice) -> Taken:
    """Any block at any time: the gate must not open, since the one OK is never of this count."""
    program = GateProgram(7, Parameters())
    now_ns = 0
    for _ in range(12):
        now_ns += dice.choice([1, 10, 100, 700]) * 1_000_000
        results = tuple(
            LineResult(dice.getrandbits(32), dice.getrandbits(2), dice.getrandbits(16), 0)
            for _ in range(dice.randrange(9))
        )
        session = dice.choice([0, 6, 8, dice.getrandbits(32)])
        program.write(LineInput(dice.getrandbits(16), dice.getrandbits(2), session, 7, 0, results))
        program.scan(now_ns, dice.randrange(3))
        assert session == 7 or not program.passing, "the gate opened for another count"
    return True


def tracker(dice: Dice) -> Taken:
    """Any call with any numbers: no part may pass, since no verdict is ever about its own frame."""
    machine = Tracker("lane-1", TIMING, 4)
    for _ in range(12):
        at_ns, now_ns = (dice.randrange(-(10**9), 10**12) for _ in range(2))
        # A jump of the count is answered with a row for each part between: dear, so it is rare here.
        number = dice.randrange(64) if dice.random() < 0.999 else dice.getrandbits(32)
        session = dice.randrange(3)
        frame = FrameInfo("lane-1", session, number, 0, 0, 8, 8, "Mono8", at_ns, now_ns, True)
        verdict = Verdict(PartId("lane-1", session, number), Outcome.PASS, Reason.CLEAN)
        deeds = (
            partial(machine.photo_eye, session, number, at_ns, now_ns),
            partial(machine.watched, session, at_ns, now_ns),
            partial(machine.frame, frame, now_ns),
            partial(machine.verdict, verdict, FrameKey(9, 9), now_ns),
            partial(machine.tick, now_ns),
        )
        for effect in dice.choice(deeds)():
            passed = isinstance(effect, Closed) and effect.verdict.outcome is Outcome.PASS
            assert not passed, "a part passed on a verdict about another frame"
    return True


def configuration(dice: Dice, folder: Path) -> Taken:
    """The example with some of its bytes turned over."""
    text = bytearray((ROOT / "deploy" / "line.example.yaml").read_bytes())
    for _ in range(dice.randrange(1, 6)):
        text[dice.randrange(len(text))] = dice.getrandbits(8)
    path = folder / "line.yaml"
    path.write_bytes(text)
    return _taken(lambda: load_line(path))


def recipe(dice: Dice, folder: Path) -> Taken:
    """The committed recipe with one byte of one file turned over: always refused, or harmless."""
    damaged = folder / "recipe"
    if not damaged.exists():
        copytree(ROOT / "calibration" / "type-01", damaged)
    path = dice.choice(sorted(one for one in damaged.rglob("*") if one.is_file()))
    whole = path.read_bytes()
    content = bytearray(whole)
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(content)
    try:
        taken = _taken(lambda: load_recipe(damaged, ROOT / "models"))
    finally:
        path.write_bytes(whole)
    assert not taken or path.suffix == ".json", f"{path.name} was changed and nobody noticed"
    return taken


def frame(dice: Dice) -> Taken:
    """Pixels of any shape, type and content: no cup, or a refusal."""
    noise = np.random.default_rng(dice.getrandbits(32))
    shape = (dice.choice([0, 1, 7, 300, 1860]), dice.choice([0, 1, 9, 400, 2880]))
    kind = dice.choice([np.uint8, np.uint16, np.float32])
    raw = noise.integers(0, 255, shape).astype(kind)
    pixel_format = dice.choice(["BayerRG8", "BayerRG12", "Mono8", "RGB8", "nonsense"])

    def found() -> None:
        # A network that sees cups everywhere is the worst that could happen here.
        seen = prepare(raw, pixel_format, lambda x: noise.random(x.shape[:3], np.float32), None)
        assert isinstance(seen, Refusal), "a cup was found in noise"

    return _taken(found)


@contextmanager
def opcua_server() -> Iterator[Noise]:
    """Noise for a line's OPC UA server, which must outlive it without having heard a PLC."""
    settings = OpcUaGateSettings(driver="opcua", port=free_port())
    gate = open_gate(settings, "lane-1")

    def fault() -> GateFault:
        try:
            gate.exchange(Outgoing(alive=True, state=LineState.RUNNING))
        except GateLinkError as error:
            return error.fault
        raise AssertionError("noise was taken for the PLC's block")

    until(lambda: fault() is GateFault.NO_ANSWER)
    noise = Noise(settings.host, settings.port)
    yield noise
    noise.close()
    assert noise.alive(), "the OPC UA server is gone"
    fault()
    gate.close()


def _turn_over(words: list[int], dice: Dice) -> None:
    for _ in range(dice.randrange(6)):
        words[dice.randrange(1, len(words))] = dice.getrandbits(16)


def _taken(deed: Callable[[], object]) -> Taken:
    try:
        deed()
    except REFUSED:
        return False
    return True


def main() -> None:
    """Runs the targets in their shares and prints how many inputs each was given, and took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    seen, taken, began = Counter[str](), Counter[str](), time.monotonic()
    with tempfile.TemporaryDirectory() as name, opcua_server() as noise:
        folder = Path(name)
        targets: dict[str, tuple[float, Callable[[Dice], Taken]]] = {
            "PLC blocks": (0.40, plc_block),
            "line blocks": (0.38, line_block),
            "PLC program, 12 scans each": (0.10, plc_program),
            "tracker, 12 events each": (0.087, tracker),
            "configurations": (0.01, lambda dice: configuration(dice, folder)),
            "recipes": (0.002, lambda dice: recipe(dice, folder)),
            "frames": (0.001, frame),
            "OPC UA messages": (0.02, noise.make),
        }
        shares = [share for share, _ in targets.values()]
        for number in range(given.inputs):
            dice = Dice(f"{given.seed}/{number}")
            (target,) = dice.choices(list(targets), shares)
            try:
                taken[target] += targets[target][1](dice)
            except Exception:
                print(f"input {number} of seed {given.seed}, {target}:")
                raise
            seen[target] += 1
    print(f"{given.inputs:,} inputs in {(time.monotonic() - began) / 60:.1f} min\n")
    print("| target | inputs | taken | refused with a reason |")
    print("|---|---|---|---|")
    for target in targets:
        refused = seen[target] - taken[target]
        print(f"| {target} | {seen[target]:,} | {taken[target]:,} | {refused:,} |")


if __name__ == "__main__":
    main()
