"""Tracker, link and driver against the simulated PLC, through each protocol: every part goes its own way."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from inspector.config import LaneSettings
from inspector.config.gates import LaneGateSettings, S7GateSettings
from inspector.core.frame import FrameInfo
from inspector.core.gate_codes import GateAction
from inspector.core.verdict import Outcome, Reason, Verdict
from inspector.doctor import check_gate
from inspector.gate import GateResult, Incoming
from inspector.inspection.events import Event, GateAnswered
from inspector.inspection.gate_link import GateLink
from inspector.tracking import Closed, Effect, Inspect, Timing, Tracker, frame_key
from inspector.twin.rig import Action
from tests.gate.belt import MS, TRAVEL_MS, Belt, a_lane
from tests.gate.client_peer import ModbusClientPlc
from tests.gate.peers import LINE_DB, PLC_DB, ModbusPlc, S7Plc

LANE = "lane-1"
PARTS, APART_MS = 8, 120
CLEAN = {1, 3, 4, 7}
UNJUDGED = {5}
"""Its verdict never comes."""
NATIVE_SNAP7 = Path(sys.prefix) / "peers" / "snap7-2"
"""Where `make test` puts python-snap7 2 with its native library."""


class Plc:
    """A simulated PLC that can be reached, and how to let parts on its belt."""

    def __init__(
        self,
        gate: LaneGateSettings,
        begin: Callable[[list[int]], None],
        end: Callable[[], list[int]],
    ) -> None:
        self.gate = gate
        self.begin = begin
        self.end = end


@contextmanager
def behind(peer: ModbusPlc | ModbusClientPlc | S7Plc) -> Iterator[Plc]:
    """Behind a peer on raw sockets: one that serves makes its scans when it is asked, too."""
    belt = Belt([])
    lane = a_lane(belt)
    at_work = threading.Lock()
    stopping = threading.Event()

    def show() -> list[int]:
        with at_work:
            lane.advance(time.monotonic_ns())
            return lane.image()

    def take(words: list[int]) -> None:
        with at_work:
            lane.advance(time.monotonic_ns())
            lane.write(words)

    def scan() -> None:
        while not stopping.wait(0.005):
            show()
            with suppress(OSError):  # the line does not listen yet, or no more
                peer.speak_before()
                peer.speak_after()

    def end() -> list[int]:
        while not belt.through:
            time.sleep(0.01)
        return belt.did()

    peer.show, peer.take = show, take
    thread = threading.Thread(target=scan)
    thread.start()
    yield Plc(peer.settings(1000), belt.bring, end)
    stopping.set()
    thread.join()
    peer.close()


@contextmanager
def native_s7() -> Iterator[Plc]:
    """Behind another implementation of S7, in a process of its own."""
    if not NATIVE_SNAP7.exists():
        pytest.fail(f"no python-snap7 2 in {NATIVE_SNAP7}; `make test` installs it")
    command = [sys.executable, "-m", "tests.gate.native_s7_plc", str(PLC_DB), str(LINE_DB)]
    here = str(Path(__file__).parents[2])
    plc = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(NATIVE_SNAP7), here])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert plc.stdin is not None
    assert plc.stdout is not None
    with plc, plc.stdin as said, plc.stdout as heard:
        port = int(heard.readline())

        def begin(eyes_ns: list[int]) -> None:
            said.write(" ".join(map(str, eyes_ns)) + "\n")
            said.flush()

        gate = S7GateSettings(
            driver="s7", port=port, plc_db=PLC_DB, line_db=LINE_DB, timeout_ms=1000
        )
        yield Plc(gate, begin, lambda: list(map(int, json.loads(heard.readline()))))


def a_lane_with(gate: LaneGateSettings) -> LaneSettings:
    return LaneSettings.model_validate(
        {"name": LANE, "recipe": "none", "camera": {"producer": "none"}, "gate": gate}
    )


class Line:
    """Tracker and link, a camera that sees every part, and an inspection that knows the truth.

    Args:
        plc: whom to speak with.
        eyes: when each part will break the beam, ns; what is in a frame follows from it.
    """

    def __init__(self, plc: Plc, eyes: list[int]) -> None:
        timing = Timing.from_ms(
            min_interval_ms=100,
            travel_ms=TRAVEL_MS,
            decide_before_ms=150,
            frame_timeout_ms=200,
            eye_error_ms=11,
        )
        self.commanded: dict[int, Outcome] = {}
        self.confirmed: list[GateResult] = []
        self._numbers = {eye: number for number, eye in enumerate(eyes, 1)}
        self._tracker = Tracker(LANE, timing, 8)
        self._frames = list(eyes)
        self._events: queue.Queue[Event] = queue.Queue()
        self._link = GateLink(a_lane_with(plc.gate), self._events.put)

    def run(self, *, until: Callable[[], bool]) -> None:
        """Turn the loop."""
        self._link.start()
        while not until():
            try:
                event = self._events.get(timeout=0.005)
            except queue.Empty:
                event = None
            now_ns = time.monotonic_ns()
            if isinstance(event, GateAnswered):
                self._hear(event.reading, now_ns)
            while self._frames and self._frames[0] + 30 * MS < now_ns:
                self._do(self._tracker.frame(self._frame(self._frames.pop(0)), now_ns), now_ns)
            self._do(self._tracker.tick(now_ns), now_ns)
            self._link.allow_heartbeat(self._tracker.healthy(now_ns))
        self._link.stop()

    def _hear(self, incoming: Incoming, now_ns: int) -> None:
        self.confirmed += incoming.gate_results
        for eye in incoming.photo_eyes:
            seen = self._tracker.photo_eye(incoming.session, eye.number, eye.at_ns, now_ns)
            self._do(seen, now_ns)
        self._do(self._tracker.watched(incoming.session, incoming.watched_ns, now_ns), now_ns)

    def _frame(self, exposed_ns: int) -> FrameInfo:
        number = self._numbers[exposed_ns]
        return FrameInfo(
            LANE,
            1,
            number,
            0,
            number,
            2880,
            1860,
            "BayerRG8",
            exposed_ns,
            exposed_ns,
            complete=True,
        )

    def _do(self, effects: Iterable[Effect], now_ns: int) -> None:
        for effect in effects:
            if isinstance(effect, Closed):
                self._link.command(effect, now_ns)
                assert effect.part.number not in self.commanded, "one command a part"
                self.commanded[effect.part.number] = effect.verdict.outcome
            elif isinstance(effect, Inspect):
                number = self._numbers[effect.frame.exposed_ns]
                if number in UNJUDGED:
                    continue
                clean = number in CLEAN
                verdict = Verdict(
                    effect.part,
                    Outcome.PASS if clean else Outcome.REJECT,
                    Reason.CLEAN if clean else Reason.DEFECT,
                )
                self._do(self._tracker.verdict(verdict, frame_key(effect.frame), now_ns), now_ns)


@pytest.mark.parametrize(
    "reachable",
    [
        lambda: behind(ModbusPlc()),
        lambda: behind(ModbusClientPlc()),
        lambda: behind(S7Plc()),
        native_s7,
    ],
    ids=["modbus", "modbus_server", "s7", "native_s7"],
)
def test_every_part_goes_its_own_way(reachable: Callable[[], AbstractContextManager[Plc]]) -> None:
    """The machine may be busy: a part may then be rejected that was told to pass, never the reverse."""
    with reachable() as plc:
        first_ns = time.monotonic_ns() + 400 * MS
        eyes = [first_ns + n * APART_MS * MS for n in range(PARTS)]
        line = Line(plc, eyes)
        plc.begin(eyes)
        end_ns = eyes[-1] + (TRAVEL_MS + 100) * MS
        line.run(until=lambda: time.monotonic_ns() > end_ns and len(line.confirmed) == PARTS)
        did = plc.end()
    passed = {number for number, action in enumerate(did, 1) if action == Action.PASSED}
    assert list(line.commanded) == list(range(1, PARTS + 1))
    assert passed
    assert passed <= {n for n, outcome in line.commanded.items() if outcome is Outcome.PASS}
    assert passed <= CLEAN
    assert [row.number for row in line.confirmed] == list(range(1, PARTS + 1))
    assert {row.number for row in line.confirmed if row.action is GateAction.PASSED} == passed


@pytest.mark.parametrize("peer", [ModbusPlc, ModbusClientPlc, S7Plc])
def test_the_doctor_asks_the_plc(peer: type[ModbusPlc | ModbusClientPlc | S7Plc]) -> None:
    with behind(peer()) as plc:
        finding = check_gate(a_lane_with(plc.gate))
    assert (finding.check, finding.level) == (f"{LANE} plc", "ok")
    assert finding.text == f"{plc.gate.address} answers"


@pytest.mark.parametrize("peer", [ModbusPlc, ModbusClientPlc, S7Plc])
def test_the_doctor_says_what_to_do_about_a_plc_that_is_not_there(
    peer: type[ModbusPlc | ModbusClientPlc | S7Plc], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.gate.modbus_server._COMES_WITHIN_S", 0.1)
    plc = peer()
    plc.go_away()
    finding = check_gate(a_lane_with(plc.settings()))
    assert finding.level == "error"
    assert "switch it on" in finding.remedy


def test_the_doctor_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "inspector.gate.s7", raising=False)
    monkeypatch.setitem(sys.modules, "snap7.connection", None)
    finding = check_gate(a_lane_with(S7GateSettings(driver="s7")))
    assert finding.level == "error"
    assert finding.remedy == "pip install 'inspector[s7]'"
