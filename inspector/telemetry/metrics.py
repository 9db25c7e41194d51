"""Every metric of the line, its name and its labels, in one place.

The line is several processes. Each counts in files of its own below ``PROMETHEUS_MULTIPROC_DIR``
(prometheus-client's multiprocess mode; the supervisor sets it before it starts them) and the supervisor
serves the sum at ``/metrics``. Counters of a process that was restarted go on, since its files stay.
Label values are bounded: lane names, verdicts, reasons and stages, never part numbers or messages.
"""

import os
import shutil
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
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
    "inspector_queue_depth", "Items waiting", ["lane", "queue"], multiprocess_mode="mostrecent"
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
    "1 while the link works (camera, plc, records)",
    ["lane", "link"],
    multiprocess_mode="mostrecent",
)
REJECT_ALARM = Gauge(
    "inspector_reject_alarm_raised",
    "1 while too many parts are rejected (rejects_in_a_row, reject_share)",
    ["lane", "alarm"],
    multiprocess_mode="mostrecent",
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
    "1 while the gate says so (plc_stopped, heartbeat_unseen, belt_stands, reject_unconfirmed)",
    ["lane", "condition"],
    multiprocess_mode="mostrecent",
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
    "that the recipe allows",
    ["lane", "backend", "precision"],
    multiprocess_mode="livemostrecent",
)
RESTARTS = Counter("inspector_process_restarts_total", "Processes started anew", ["process"])
CAMERA_TEMPERATURE = Gauge(
    "inspector_camera_temperature_celsius",
    "Sensor temperature as the camera says",
    ["lane"],
    multiprocess_mode="mostrecent",
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
LEDGER_BACKLOG = Gauge(
    "inspector_ledger_backlog_bytes",
    "Journal not yet in the ledger",
    multiprocess_mode="mostrecent",
)
ARCHIVE_BYTES = Gauge(
    "inspector_archive_bytes", "Size of the picture archive", multiprocess_mode="mostrecent"
)
DISK_FREE = Gauge(
    "inspector_disk_free_bytes",
    "Free space where the records are",
    multiprocess_mode="mostrecent",
)


def use_directory(directory: Path) -> None:
    """Make a fresh metrics directory and name it to all processes started from here on.

    It must be called before anything imports this module in a process whose values are to be shared;
    the supervisor sets the variable in its children's environment.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    os.environ[MULTIPROCESS_VARIABLE] = str(directory)


def forget(directory: Path, pid: int) -> None:
    """Drop what only a living process can say (what runs its networks) when it has ended."""
    mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]


def serve(directory: Path, host: str, port: int) -> int:
    """Serve the sum over all processes at ``http://host:port/metrics``; return the port taken.

    The supervisor, which calls this, counts in its own memory (it outlives the others), so its one metric
    is served beside the sum.

    Raises:
        OSError: the address cannot be bound.
    """
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(directory))  # type: ignore[no-untyped-call]
    registry.register(RESTARTS)
    server, _thread = start_http_server(port, addr=host, registry=registry)
    return int(server.server_port)
