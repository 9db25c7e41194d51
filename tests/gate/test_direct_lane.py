"""Tracker, link and gate without a PLC in one loop, on wires in the air: each part goes its own way."""

import queue
import random
import time
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path

import pytest

from inspector.config import LaneSettings
from inspector.core.belt import BeltLimits
from inspector.core.frame import FrameInfo
from inspector.core.gate_codes import GateAction
from inspector.core.gate_program import Parameters
from inspector.core.verdict import Outcome, Reason, Verdict
from inspector.gate import Command, GateResult, Incoming, LineState, Outgoing
from inspector.gate.scanner import Pace, Scanner
from inspector.gate.without_plc import gpio_gate
from inspector.inspection.events import Event, GateAnswered
from inspector.inspection.gate_link import GateLink
from inspector.tracking import Closed, Effect, FrameKey, Inspect, Timing, Tracker, frame_key
from tests.gate.wires import WiresInTheAir

MS = 1_000_000
LANE = "lane-1"
TRAVEL, BEFORE = 700, 150


class Line:
    """Camera, inspection and tracker: the truth about each part is when it broke the beam.

    Args:
        eyes: when, ns; what is in a frame follows from it.
        dice: how long inspection takes, which frames are lost, which parts are clean.
        command: where commands go.
    """

    def __init__(
        self, eyes: list[int], dice: random.Random, command: Callable[[Closed, int], None]
    ) -> None:
        timing = Timing.from_ms(
            min_interval_ms=130,
            travel_ms=TRAVEL,
            decide_before_ms=BEFORE,
            frame_timeout_ms=200,
            eye_error_ms=2,
        )
        self.tracker = Tracker(LANE, timing, 8)
        self.clean = {eye: dice.random() < 0.6 for eye in eyes}
        self.commanded: dict[int, Outcome] = {}
        self._dice = dice
        self._command = command
        self._frames = [
            (eye + 45 * MS, frame)
            for number, eye in enumerate(eyes, 1)
            if dice.random() < 0.95 and (frame := a_frame(number, eye))
        ]
        self._verdicts: list[tuple[int, Verdict, FrameKey]] = []

    def hear(self, incoming: Incoming, now_ns: int) -> None:
        for eye in incoming.photo_eyes:
            self._do(
                self.tracker.photo_eye(incoming.session, eye.number, eye.at_ns, now_ns), now_ns
            )
        self._do(self.tracker.watched(incoming.session, incoming.watched_ns, now_ns), now_ns)

    def tick(self, now_ns: int) -> None:
        while self._frames and self._frames[0][0] <= now_ns:
            self._do(self.tracker.frame(self._frames.pop(0)[1], now_ns), now_ns)
        for due in [due for due in self._verdicts if due[0] <= now_ns]:
            self._verdicts.remove(due)
            self._do(self.tracker.verdict(due[1], due[2], now_ns), now_ns)
        self._do(self.tracker.tick(now_ns), now_ns)

    def _do(self, effects: Iterable[Effect], now_ns: int) -> None:
        for effect in effects:
            if isinstance(effect, Closed):
                self._command(effect, now_ns)
                if effect.trigger_ns is not None:
                    assert effect.trigger_ns not in self.commanded, "one command a part"
                    self.commanded[effect.trigger_ns] = effect.verdict.outcome
            elif isinstance(effect, Inspect):
                clean = self.clean[effect.frame.exposed_ns]
                verdict = Verdict(
                    effect.part,
                    Outcome.PASS if clean else Outcome.REJECT,
                    Reason.CLEAN if clean else Reason.DEFECT,
                )
                takes_ms = self._dice.choice([20, 60, 60, 60, 200, 600])
                self._verdicts.append((now_ns + takes_ms * MS, verdict, frame_key(effect.frame)))


def a_frame(number: int, exposed_ns: int) -> FrameInfo:
    return FrameInfo(
        LANE, 1, number, 0, number, 2880, 1860, "BayerRG8", exposed_ns, exposed_ns, complete=True
    )


def drawn(parts: int, dice: random.Random, first: int, shortest: int) -> list[int]:
    eyes = [first]
    while len(eyes) < parts:
        eyes.append(eyes[-1] + dice.choice([shortest, shortest + 5, 150, 200, 400]) * MS)
    return eyes


@pytest.mark.parametrize("seed", range(5))
def test_each_part_goes_its_own_way(seed: int) -> None:
    """200 parts, some too close together: through the gate go those that were told to, and no others."""
    dice = random.Random(seed)
    eyes = drawn(200, dice, 500 * MS, shortest=100)
    wires = WiresInTheAir(list(eyes))
    pace = Pace(scan_ns=2 * MS, late_ns=10 * MS, hold_ns=10 * MS, eye_delay_ns=MS)
    parameters = Parameters(travel=TRAVEL * MS, belt=BeltLimits(settle_ns=0))
    scanner = Scanner(wires, parameters, pace, count(1).__next__, now_ns=0)
    told: list[Command] = []

    def command(closed: Closed, _now_ns: int) -> None:
        assert closed.trigger_ns is not None
        verdict = closed.verdict
        told.append(Command(verdict.part, verdict.outcome, verdict.reason, closed.trigger_ns))

    line = Line(eyes, dice, command)
    at_gate = {eye + TRAVEL * MS: eye for eye in eyes}
    passed: set[int] = set()
    booked: list[GateResult] = []
    for now in range(eyes[-1] // MS + TRAVEL + 300):
        now_ns = wires.now_ns = now * MS
        if now_ns in at_gate and wires.open_at(now_ns):
            passed.add(at_gate[now_ns])
        if now % 2 == 0:
            scanner.scan(now_ns)
        if now % 10 == 3:
            commands, told[:] = tuple(told), []
            scanner.tell(Outgoing(line.tracker.healthy(now_ns), LineState.RUNNING, commands))
            incoming = scanner.incoming(0)
            booked += incoming.gate_results
            line.hear(incoming, now_ns)
        if now % 5 == 0:
            line.tick(now_ns)
    assert sorted(line.commanded) == eyes
    assert passed == {eye for eye, outcome in line.commanded.items() if outcome is Outcome.PASS}
    assert len(passed) > 20
    assert all(line.clean[eye] for eye in passed)
    assert [row.number for row in booked] == list(range(1, 201))
    by_book = {eyes[row.number - 1] for row in booked if row.action is GateAction.PASSED}
    assert by_book == passed


def test_through_the_real_link_in_real_time_no_part_passes_without_its_ok(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The machine may be busy: parts may then be rejected that were told to pass, never the reverse."""
    wires = TimedWires()
    monkeypatch.setattr(
        "inspector.inspection.gate_link.open_lane_gate",
        lambda lane, _camera_pass: gpio_gate(lane, lambda _settings: wires),
    )
    lane = LaneSettings.model_validate(
        {
            "name": LANE,
            "recipe": Path("none"),
            "camera": {"producer": Path("none.cti")},
            "part": {
                "travel_ms": TRAVEL,
                "decide_before_ms": BEFORE,
                "min_interval_ms": 130,
                "eye_error_ms": 2,
            },
            "gate": {
                "driver": "gpio",
                "diverter_line": 1,
                "photo_eye_line": 0,
                "late_ms": 50,
                "timeout_ms": 5000,
            },
        }
    )
    dice = random.Random(1)
    posted: queue.Queue[Event] = queue.Queue()
    link = GateLink(lane, posted.put)
    link.start()
    eyes = drawn(20, dice, time.monotonic_ns() + 300 * MS, shortest=135)
    wires.coming = list(eyes)
    line = Line(eyes, dice, link.command)
    while time.monotonic_ns() < eyes[-1] + (TRAVEL + 100) * MS:
        try:
            event = posted.get(timeout=0.005)
        except queue.Empty:
            event = None
        now_ns = time.monotonic_ns()
        if event is not None:
            assert isinstance(event, GateAnswered), event
            line.hear(event.reading, now_ns)
        line.tick(now_ns)
        link.allow_heartbeat(line.tracker.healthy(now_ns))
    link.stop()
    assert wires.closed
    passed = {eye for eye in eyes if wires.was_open(eye + TRAVEL * MS)}
    assert passed
    for eye in passed:
        assert line.clean[eye]
        assert line.commanded[eye] is Outcome.PASS


class TimedWires(WiresInTheAir):
    """By the host's clock, with all that it was told."""

    def __init__(self) -> None:
        super().__init__()
        self._told: list[tuple[int, int]] = []

    def edges(self) -> list[int]:
        self.now_ns = time.monotonic_ns()
        return list(super().edges())

    def pass_until(self, until_ns: int) -> None:
        self._told.append((time.monotonic_ns(), until_ns))

    def reject(self) -> None:
        self._told.append((time.monotonic_ns(), 0))

    def was_open(self, at_ns: int) -> bool:
        """Whether a part went through then."""
        until_ns = 0
        for told_ns, told_until_ns in self._told:
            if told_ns > at_ns:
                break
            until_ns = told_until_ns
        return at_ns < until_ns
