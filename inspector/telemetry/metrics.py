"""Every metric of the line, its name and its labels, in one place.

The line is several processes. Each counts in files of its own below ``PROMETHEUS_MULTIPROC_DIR``
(prometheus-client's multiprocess mode; the supervisor sets it before it starts them) and the supervisor
serves the sum at ``/metrics``. Label values are bounded: lane names, verdicts, reasons and stages, never part
numbers or messages.

Files belong to whoever holds their lock, which the kernel lets go of when that process has ended. Whoever
comes next takes them and counts on from what they say: counters never go back, and a process that is
restarted all day leaves no more files than one that is not. What only the living can say (every gauge but
the time of the last verdict) is dropped when nobody holds the lock any more.
"""

import fcntl
import functools
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    start_http_server,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
LINKS = ("camera", "plc", "records")
_held: list[BinaryIO] = []


def _take(lock: BinaryIO) -> bool:
    """Hold the lock of a process's files, and drop what their last holder said of its own time.

    False where a living process holds it.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    file = Path(lock.name)
    mark_process_dead(file.stem, str(file.parent))  # type: ignore[no-untyped-call]
    return True


@functools.cache
def _own_files(_pid: int) -> str:
    """What this process's files are called: the first number whose files nobody living holds."""
    directory = Path(os.environ[MULTIPROCESS_VARIABLE])
    number = 0
    while not _take(lock := (directory / f"{number}.lock").open("ab")):
        lock.close()
        number += 1
    _held.append(lock)
    return str(number)


if MULTIPROCESS_VARIABLE in os.environ:
    # Named by process id, as they are without this, the files of a camera that is looked for all day would
    # number thousands.
    values.ValueClass = values.MultiProcessValue(  # type: ignore[no-untyped-call]
        lambda: _own_files(os.getpid())
    )

_LATENCY_BUCKETS_S = (
    0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0,
)  # fmt: skip

PARTS = Counter(
    "inspector_parts_total", "Parts with a command to the gate", ["lane", "verdict", "reason"]
)
STAGE_SECONDS = Histogram(
    "inspector_stage_seconds",
    "Time one part spends in a stage (queue, reduce, segment, outline, demosaic, rim, orientation, "
    "warp, unroll, detector, decision, command, total)",
    ["lane", "stage"],
    buckets=_LATENCY_BUCKETS_S,
)
QUEUE_DEPTH = Gauge(
    "inspector_queue_depth", "Items waiting", ["lane", "queue"], multiprocess_mode="livemostrecent"
)
DROPPED = Counter(
    "inspector_dropped_total",
    "Whatever was thrown away (frames nobody claimed, verdicts too late, pictures not stored)",
    ["lane", "what"],
)
FRAMES = Counter("inspector_frames_total", "Frames delivered by the camera", ["lane", "state"])
FRAME_GAPS = Counter("inspector_frame_gaps_total", "Frames lost: gaps in the frame id", ["lane"])
UNDERRUNS = Counter("inspector_underruns_total", "Frames lost for want of a buffer", ["lane"])
LINK_UP = Gauge(
    "inspector_link_up",
    "1 while the link works (camera, plc, records); 0 also where nobody is there to say so",
    ["lane", "link"],
    multiprocess_mode="livemax",
)
NOTHING_PASSES = Gauge(
    "inspector_nothing_passes_raised",
    "1 while no part can pass, whatever it looks like; the operators' page says why",
    ["lane"],
    multiprocess_mode="livemostrecent",
)
STATUS_TIME = Gauge(
    "inspector_status_time_seconds",
    "When inspection last said how the lanes are, since 1970 UTC; it does so several times a second",
    multiprocess_mode="livemostrecent",
)
REJECT_ALARM = Gauge(
    "inspector_reject_alarm_raised",
    "1 while too many parts are rejected (rejects_in_a_row, reject_share)",
    ["lane", "alarm"],
    multiprocess_mode="livemostrecent",
)
GATE_ACTIONS = Counter(
    "inspector_gate_actions_total",
    "What the gate did with parts (passed, diverted, diverted_by_default), and its own reason",
    ["lane", "action", "reason"],
)
PASSED_WRONGLY = Counter(
    "inspector_parts_passed_wrongly_total",
    "Parts that the gate says it let pass though no pass was commanded: must stay 0",
    ["lane"],
)
GATE_CONDITION = Gauge(
    "inspector_gate_condition_raised",
    "1 while the gate says so (plc_stopped, heartbeat_unseen, belt_stands, reject_unconfirmed), or "
    "rejects every part that was to pass (passes_rejected)",
    ["lane", "condition"],
    multiprocess_mode="livemostrecent",
)
ENGINE_INFO = Gauge(
    "inspector_engine_info",
    "1 for what runs a lane's networks, 0 for what did before it failed; how it was chosen: configured, "
    "fastest, only (the only one that agrees), first (the first that agrees, in a hurry)",
    ["lane", "backend", "precision", "how"],
    multiprocess_mode="livemostrecent",
)
GOLDEN_ERROR = Gauge(
    "inspector_golden_error_ratio",
    "Largest difference of the engine that runs from the recipe's golden images, as a part of the band "
    "that the recipe allows; 0 for what ran before",
    ["lane", "backend", "precision"],
    multiprocess_mode="livemostrecent",
)
RESTARTS = Counter("inspector_process_restarts_total", "Processes started anew", ["process"])
CAMERA_TEMPERATURE = Gauge(
    "inspector_camera_temperature_celsius",
    "Sensor temperature as the camera says",
    ["lane"],
    multiprocess_mode="livemostrecent",
)
DEADLINES_MISSED = Counter(
    "inspector_deadlines_missed_total", "Parts without a verdict in time", ["lane"]
)
LAST_VERDICT = Gauge(
    "inspector_last_verdict_timestamp_seconds",
    "When the last verdict was sent (Unix time)",
    ["lane"],
    multiprocess_mode="mostrecent",
)
LEDGER_ROWS = Counter("inspector_ledger_rows_total", "Rows committed to the ledger")
LEDGER_ROWS_DELETED = Counter(
    "inspector_ledger_rows_deleted_total", "Oldest rows deleted to keep within records.rows_mb"
)
LEDGER_BYTES = Gauge(
    "inspector_ledger_bytes", "Size of the ledger in use", multiprocess_mode="livemostrecent"
)
LEDGER_BACKLOG = Gauge(
    "inspector_ledger_backlog_bytes",
    "Journal not yet in the ledger",
    multiprocess_mode="livemostrecent",
)
ARCHIVE_BYTES = Gauge(
    "inspector_archive_bytes", "Size of the picture archive", multiprocess_mode="livemostrecent"
)
DISK_FREE = Gauge(
    "inspector_disk_free_bytes",
    "Free space where the records are",
    multiprocess_mode="livemostrecent",
)


def use_directory(directory: Path) -> None:
    """Make a fresh metrics directory and name it to all processes started from here on.

    It must be called before anything imports this module in a process whose values are to be shared;
    the supervisor sets the variable in its children's environment.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    os.environ[MULTIPROCESS_VARIABLE] = str(directory)


def expect(lanes: Iterable[str]) -> None:
    """Let these lanes be told of from the first moment, before any process has said a word.

    Every link is down (0) as long as no living process says that it is up, and what should never happen has
    happened 0 times. Without this either would be missing meanwhile: no alarm for 0 would hear of the link,
    and none for an increase of the first time, since a series that begins with 1 has not increased.
    """
    floor = values.MultiProcessValue(lambda: "line")  # type: ignore[no-untyped-call]
    for lane in lanes:
        for link in LINKS:
            _floor(floor, LINK_UP, lane=lane, link=link)
        for never in (PASSED_WRONGLY, DEADLINES_MISSED, FRAME_GAPS, UNDERRUNS):
            _floor(floor, never, lane=lane)
        _floor(floor, FRAMES, lane=lane, state="incomplete")


def _floor(floor: Callable[..., object], metric: Gauge | Counter, **labels: str) -> None:
    (about,) = metric.describe()
    ending, mode = ("_total", "") if isinstance(metric, Counter) else ("", "livemax")
    floor(
        about.type,
        about.name,
        about.name + ending,
        tuple(labels),
        tuple(labels.values()),
        about.documentation,
        mode,
    )


class _SumOfTheLiving(MultiProcessCollector):
    """The sum over all files, without what the dead said of their own time."""

    def __init__(self, registry: CollectorRegistry, directory: Path) -> None:
        super().__init__(registry, str(directory))  # type: ignore[no-untyped-call]
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        for file in self._directory.glob("*.lock"):
            with file.open("ab") as lock:
                _take(lock)
        summed: Iterable[Metric] = super().collect()  # type: ignore[no-untyped-call]
        return summed


def serve(directory: Path, host: str, port: int) -> int:
    """Serve the sum over all processes at ``http://host:port/metrics``; return the port taken.

    The supervisor, which calls this, counts in its own memory (it outlives the others), so its one metric
    is served beside the sum.

    Raises:
        OSError: the address cannot be bound.
    """
    registry = CollectorRegistry()
    _SumOfTheLiving(registry, directory)
    registry.register(RESTARTS)
    server, _thread = start_http_server(port, addr=host, registry=registry)
    return int(server.server_port)
