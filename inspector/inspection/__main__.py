"""``python -m inspector.inspection``: the process that decides. Started by the supervisor.

Threads: one a lane speaks with its PLC, one a lane hears its camera, one or more look at frames, with a
process each if they are several; they tell the loop, which owns the trackers and is the only one to decide.
The heartbeat to the PLC is let through only while that loop turns and no command is overdue, so whatever
hangs here makes the PLC reject. Where a thread ended that looks at frames or speaks with a PLC, the process
ends as well, to be started anew.
"""

import argparse
import json
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog

from inspector.camera.client import Acquisition
from inspector.config import LineSettings, load_line
from inspector.core.errors import InspectorError
from inspector.core.process import die_with_parent
from inspector.engine import NetworkPool
from inspector.inspection.bookkeeping import Bookkeeping, line_state
from inspector.inspection.changeover import Changeover
from inspector.inspection.engine_gauges import EngineGauges
from inspector.inspection.events import Event, lane_of
from inspector.inspection.eyes import Eyes
from inspector.inspection.gate_link import GateLink
from inspector.inspection.judge import Judge, refuse_all
from inspector.inspection.lane import Lane
from inspector.inspection.sight_process import sights
from inspector.inspection.workbench import Workbench
from inspector.records.journal import Journal
from inspector.records.pictures import PictureSender
from inspector.records.reading import newest_number
from inspector.records.row import LedgerEvent, inspection_started
from inspector.records.status import LineState, LineStatus, write_status
from inspector.telemetry import metrics
from inspector.telemetry.logs import configure_logs
from inspector.vision.cores import share_cores

_TICK_S = 0.005
_STATUS_NS = 500_000_000
_EVENTS = 4096
_LEAVE_S = 0.7
"""For all gates together: the supervisor waits a second for the whole process."""


class Inspection:
    """All lanes of a line in one loop."""

    def __init__(
        self,
        line: LineSettings,
        descriptors: dict[str, tuple[int, int]],
        pictures_fd: int,
        status_file: Path,
        *,
        resuming: bool,
    ) -> None:
        self._line = line
        self._status_file = status_file
        self._started = time.time()
        self._stopping = threading.Event()
        self._events: queue.Queue[Event] = queue.Queue(_EVENTS)
        self._journal = Journal(line.records.directory)
        pictures = PictureSender(socket.socket(fileno=pictures_fd))
        share_cores(line.workers)
        pool = NetworkPool(line.threads, line.workers, line.batch_slack_ms / 1e3)
        load: dict[str, Callable[..., Eyes]] = {}
        eyes: dict[str, Eyes] = {}
        for lane in line.lanes:
            ring_fd, channel_fd = descriptors[lane.name]
            acquisition = Acquisition(ring_fd, socket.socket(fileno=channel_fd), lane.name)
            load[lane.name] = partial(_eyes, line, pool, acquisition, EngineGauges(lane.name))
            eyes[lane.name] = load[lane.name](lane.recipe, resuming=resuming)
        self._workbench = Workbench(eyes, self._post, 8 * len(eyes), sights(line.workers))
        self._lanes: dict[str, Lane] = {}
        for lane in line.lanes:
            first_contact = status_file.parent / f"first-contact-{lane.name}.json"
            self._lanes[lane.name] = Lane(
                lane,
                eyes[lane.name],
                GateLink(
                    lane,
                    self._post,
                    eyes[lane.name].label,
                    eyes[lane.name].acquisition.pass_until,
                ),
                self._workbench,
                Bookkeeping(
                    lane.name,
                    eyes[lane.name].label,
                    eyes[lane.name].fault,
                    self._journal,
                    pictures,
                ),
                Changeover(
                    lane.name,
                    {0: lane.recipe, **lane.jobs},
                    partial(load[lane.name], resuming=True),
                    self._post,
                ),
                _resume(line.records.directory, lane.name, first_contact),
            )
        self._journal.append(inspection_started(self._started, resuming=resuming))

    def _post(self, event: Event) -> None:
        """Tell the loop; called from every thread. A loop that is 4096 events behind is lost anyway."""
        try:
            self._events.put(event, timeout=1.0)
        except queue.Full:
            metrics.DROPPED.labels(lane_of(event), "event").inc()

    def run(self) -> None:
        """Turn until told to stop; then reject and record whatever is open."""
        listeners = {}
        for name, lane in self._lanes.items():
            lane.gate.start()
            listeners[name] = threading.Thread(
                target=self._listen, args=(lane,), name=f"camera-{name}", daemon=True
            )
            listeners[name].start()
        next_status_ns = 0
        while not self._stopping.is_set():
            self._turn()
            now_ns = time.monotonic_ns()
            if now_ns >= next_status_ns:
                next_status_ns = now_ns + _STATUS_NS
                self._write_status(now_ns)
                # Rows that a full disk refused go out as soon as there is room, parts or not.
                self._journal.flush()
            if not self._workbench.alive:
                raise RuntimeError("a thread of the workbench died, or its engine hangs")
            for name, lane in self._lanes.items():
                if not listeners[name].is_alive() and not self._stopping.is_set():
                    raise RuntimeError(f"nobody listens to the camera of {name} any more")
                if not lane.gate.alive:
                    raise RuntimeError(f"nobody speaks with the gate of {name} any more")
        self._stop()

    def stop(self) -> None:
        """Ask the loop to end."""
        self._stopping.set()

    def _turn(self) -> None:
        """Whatever waits, but never so much that deadlines go unseen; then the deadlines."""
        until_ns = time.monotonic_ns() + int(_TICK_S * 1e9)
        while (remaining_ns := until_ns - time.monotonic_ns()) > 0:
            try:
                event = self._events.get(timeout=remaining_ns / 1e9)
            except queue.Empty:
                break
            self._lanes[lane_of(event)].handle(event, time.monotonic_ns())
        for lane in self._lanes.values():
            lane.tick(time.monotonic_ns())

    def _listen(self, lane: Lane) -> None:
        while not self._stopping.is_set():
            message = lane.acquisition.receive(0.2)
            if message is not None:
                self._post(message)

    def _stop(self) -> None:
        now_ns = time.monotonic_ns()
        for lane in self._lanes.values():
            lane.stop(now_ns)
        # Side by side: PLCs that are silent, one after the other, outlast the supervisor's patience.
        for lane in self._lanes.values():
            lane.gate.leave()
        until_s = time.monotonic() + _LEAVE_S
        for lane in self._lanes.values():
            lane.gate.stop(max(0.0, until_s - time.monotonic()))
        self._write_status(now_ns, stopped=True)
        self._journal.append(LedgerEvent(time.time_ns(), "inspection_stopped"))
        self._journal.close()
        self._workbench.stop()

    def _write_status(self, now_ns: int, *, stopped: bool = False) -> None:
        lanes = tuple(lane.books.status(now_ns) for lane in self._lanes.values())
        for lane in self._lanes:
            metrics.QUEUE_DEPTH.labels(lane, "workbench").set(self._workbench.waiting)
            metrics.QUEUE_DEPTH.labels(lane, "events").set(self._events.qsize())
        for told in lanes:
            metrics.NOTHING_PASSES.labels(told.name).set(told.rejecting)
        metrics.STATUS_TIME.set_to_current_time()
        write_status(
            self._status_file,
            LineStatus(
                line=self._line.name,
                state=LineState.STOPPED if stopped else line_state(lanes),
                started=self._started,
                updated=time.time(),
                lanes=lanes,
            ),
        )


def _eyes(
    line: LineSettings,
    pool: NetworkPool,
    acquisition: Acquisition,
    shown: EngineGauges,
    recipe: Path,
    *,
    resuming: bool,
) -> Eyes:
    """What a lane's frames are looked at with.

    A line does not start with a recipe that cannot be used. One that runs already goes on and rejects
    everything, saying why, since the PLC and the people at it expect it to be there.
    """
    try:
        judge = Judge(
            recipe,
            line.models,
            pool,
            line.engine,
            hurried=resuming,
            on_engine=shown,
        )
    except Exception as error:  # whatever fails: a line that runs must reject and say why
        if not resuming:
            raise
        fault = (
            str(error) if isinstance(error, InspectorError) else f"{type(error).__name__}: {error}"
        )
        return Eyes(acquisition, refuse_all(fault), lambda *_frame: (), fault=fault)
    return Eyes(acquisition, judge.examine, judge.cups, judge.label, prove=judge.prove)


def _resume(directory: Path, lane: str, first_contact: Path) -> Callable[[int, int], int]:
    """After which part the rows of a count begin: the newest in the records, else that of the first contact.

    At the very first contact with a PLC its earlier parts are not ours, and no rows are owed for them;
    that moment is noted, so that a process killed before its first row still knows.
    """

    def past(session: int, count: int) -> int:
        newest = newest_number(directory, lane, session)
        if newest is not None:
            return newest
        try:
            noted = json.loads(first_contact.read_text())
            if noted["session"] == session:
                return int(noted["count"])
        except (OSError, ValueError, KeyError):
            pass
        try:
            first_contact.write_text(json.dumps({"session": session, "count": count}))
        except OSError as error:
            structlog.get_logger().error(
                "first_contact_not_noted",
                lane=lane,
                error=str(error),
                remedy=f"make room in {first_contact.parent}, and let this user write there",
            )
        return count

    return past


def _lane_descriptors(values: list[str]) -> dict[str, tuple[int, int]]:
    """``NAME:RING:CHANNEL`` → name → (ring, channel)."""
    found = {}
    for value in values:
        name, ring, channel = value.rsplit(":", 2)
        found[name] = (int(ring), int(channel))
    return found


def main() -> int:
    """Entry point; exit code 2 when the line cannot start with this configuration."""
    parser = argparse.ArgumentParser(prog="inspector.inspection")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--status", type=Path, required=True)
    parser.add_argument("--lane-fds", action="append", required=True, metavar="NAME:RING:CHANNEL")
    parser.add_argument("--pictures-fd", type=int, required=True)
    parser.add_argument("--resume", action="store_true", help="started anew while the line runs")
    options = parser.parse_args()
    die_with_parent()
    line = load_line(options.config)
    log = configure_logs("inspection", line.log_level)
    try:
        inspection = Inspection(
            line,
            _lane_descriptors(options.lane_fds),
            options.pictures_fd,
            options.status,
            resuming=options.resume,
        )
    except InspectorError as error:
        print(f"inspector: {error}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: inspection.stop())
    log.info("inspection_ready", lanes=[lane.name for lane in line.lanes], pid=os.getpid())
    try:
        inspection.run()
    except Exception:
        log.exception("inspection_failed")
        # An engine that hangs holds up the interpreter's own end, and the supervisor waits for that.
        os._exit(1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
