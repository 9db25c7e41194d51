"""What is wrong with this line, and how to mend it: the checks behind ``inspector doctor``.

Each check returns findings; an error is something the line cannot start with, a warning something that
will hurt later. ``inspector run`` makes the same checks first and starts only without errors.
"""

import ctypes
import importlib.util
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from inspector.camera.probe import Level as CameraLevel
from inspector.camera.probe import probe_camera
from inspector.config import CameraSettings, LaneSettings, LineSettings
from inspector.config.gates import CameraGateSettings, GpioGateSettings
from inspector.core.errors import InspectorError
from inspector.core.listening import listen
from inspector.engine import NetworkPool, choose_detector
from inspector.gate import open_lane_gate, probe_gate
from inspector.recipe import load_recipe
from inspector.records.ledger import ROW_BYTES
from inspector.vision import sample_bits

Level = Literal["ok", "warning", "error"]
_LEVELS: dict[CameraLevel, Level] = {
    CameraLevel.GOOD: "ok",
    CameraLevel.WARNING: "warning",
    CameraLevel.ERROR: "error",
}
_PROBE_S = 30.0
_RECEIVE_BUFFER_BYTES = 10_000_000
_CLOCK_UNSYNCHRONISED = 5
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: what was looked at, e.g. ``lane-1 camera``.
        level: ``ok``, ``warning`` or ``error``.
        text: what was found.
        remedy: what to do about it; empty when ok.
    """

    check: str
    level: Level
    text: str
    remedy: str = ""


def examine(line: LineSettings, *, prove_recipes: bool = True) -> Iterable[Finding]:
    """All checks of a line, in the order of a part's way; each finding as soon as it stands.

    Args:
        line: its configuration.
        prove_recipes: run the networks on the golden images; a line that starts does so itself.
    """
    for lane in line.lanes:
        yield from check_camera(lane)
        for job, recipe in {0: lane.recipe, **lane.jobs}.items():
            name = f"{lane.name} recipe" if job == 0 else f"{lane.name} job {job}"
            yield from check_recipe(
                name, recipe, line, lane.camera.pixel_format, prove=prove_recipes
            )
        yield check_gate(lane)
    yield from check_network()
    yield from check_records(line)
    yield check_page(line)
    yield check_metrics(line)
    yield check_clock()


def check_camera(lane: LaneSettings) -> Iterable[Finding]:
    """Producer, camera, settings: asked in a process of its own, which a bad producer may crash."""
    check = f"{lane.name} camera"
    context = multiprocessing.get_context("spawn")
    answers, sender = context.Pipe(duplex=False)
    probe = context.Process(target=_probe, args=(lane.camera, sender), daemon=True)
    probe.start()
    sender.close()
    try:
        if not answers.poll(_PROBE_S):
            yield Finding(
                check,
                "error",
                f"{lane.camera.producer} gave no answer in {_PROBE_S:.0f} s",
                "see whether another program holds the camera, then power-cycle it",
            )
            return
        for found in answers.recv():
            yield Finding(check, _LEVELS[found.level], found.what, found.remedy)
    except EOFError:
        yield Finding(
            check,
            "error",
            f"{lane.camera.producer} crashed the process that probed it",
            "reinstall the camera maker's producer; it must fit this machine's architecture",
        )
    finally:
        probe.kill()
        probe.join()


def _probe(settings: CameraSettings, answers: Connection) -> None:
    answers.send(probe_camera(settings))


def check_recipe(
    check: str, folder: Path, line: LineSettings, pixel_format: str, *, prove: bool
) -> Iterable[Finding]:
    """The recipe is whole, unchanged, and of cups as bright as the camera's pixel format has them.

    Proven, its networks reproduce its golden images as well.
    """
    try:
        recipe = load_recipe(folder, line.models)
        recipe.cup_finder()
        yield Finding(check, "ok", f"{recipe.label} is whole")
        bits, sent = recipe.manifest.bits, sample_bits(pixel_format)
        # More bits than sent are no fault: in some files samples begin at the highest bit.
        if bits is not None and bits < sent:
            yield Finding(
                check,
                "warning",
                f"its 16-bit clean pictures were read as {bits}-bit samples, and {pixel_format} has {sent}: "
                f"if taken in this format, they were read {2 ** (sent - bits)} times as bright as the line "
                "sees cups",
                "teach again with a picture with bright spots among the clean ones, or from pictures saved "
                f"with 8 bits; all is well if the camera was set to {bits} bits then",
            )
        if prove:
            check = f"{check}: engine"
            choice = choose_detector(recipe, NetworkPool(line.threads), line.engine)
            yield Finding(check, "ok", f"{choice.proof}; {choice.why}")
    except InspectorError as error:
        yield Finding(check, "error", error.what, error.remedy)


def check_gate(lane: LaneSettings) -> Finding:
    """The PLC answers and speaks our register map; over OPC UA, the line can listen or does so already."""
    check = f"{lane.name} plc"
    if isinstance(lane.gate, CameraGateSettings):
        return Finding(check, "ok", f"{lane.gate.address} moves the diverter: see the camera")
    try:
        if isinstance(lane.gate, GpioGateSettings):
            with closing(open_lane_gate(lane)) as gate:
                gate.exchange_idle()
            return Finding(check, "ok", f"{lane.gate.address} can be driven")
        return Finding(check, "ok", probe_gate(lane.gate, lane.name))
    except InspectorError as error:
        return Finding(check, "error", error.what, error.remedy)


def check_network() -> Iterable[Finding]:
    """What GigE Vision needs of the kernel: receive buffers that hold a few frames."""
    limit = Path("/proc/sys/net/core/rmem_max")
    if not limit.exists():
        return
    size = int(limit.read_text())
    if size < _RECEIVE_BUFFER_BYTES:
        yield Finding(
            "network",
            "warning",
            f"receive buffers are limited to {size / 1e6:.1f} MB; GigE Vision loses packets under load",
            f"sysctl -w net.core.rmem_max={3 * _RECEIVE_BUFFER_BYTES} and keep it in /etc/sysctl.d",
        )
    else:
        yield Finding("network", "ok", f"receive buffers up to {size / 1e6:.0f} MB")


def check_records(line: LineSettings) -> Iterable[Finding]:
    """The records directory can be written and has room; for how long rows are kept."""
    directory = line.records.directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"x")
    except OSError as error:
        yield Finding(
            "records",
            "error",
            f"{directory} cannot be written: {error.strerror}",
            "give the line's user write access or set records.directory",
        )
        return
    free_mb = shutil.disk_usage(directory).free // 1_000_000
    bounds_mb = line.records.rows_mb + line.records.pictures_mb
    wanted_mb = max(0, bounds_mb - _held_mb(directory)) + line.records.keep_free_mb
    if free_mb < line.records.keep_free_mb:
        yield Finding(
            "records",
            "warning",
            f"only {free_mb} MB free at {directory}: no pictures will be kept",
            "free disk space; rows are still written",
        )
    elif free_mb < wanted_mb:
        yield Finding(
            "records",
            "warning",
            f"{free_mb} MB free at {directory}, {wanted_mb} MB more are configured",
            "lower records.rows_mb or records.pictures_mb, or enlarge the disk",
        )
    else:
        yield Finding("records", "ok", f"{directory}: {free_mb} MB free")
    parts_per_s = sum(1e3 / lane.part.min_interval_ms for lane in line.lanes)
    days = line.records.rows_mb * 1e6 / (parts_per_s * ROW_BYTES * _DAY_S)
    yield Finding(
        "ledger",
        "ok",
        f"{line.records.rows_mb} MB keep the rows of {days:.0f} days at {parts_per_s:.3g} parts/s, "
        "longer at fewer",
    )


def _held_mb(directory: Path) -> int:
    """What ledger and pictures take of the disk already."""
    held = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):  # a line that runs deletes pictures meanwhile
                held += (Path(folder) / name).stat().st_size
    return held // 1_000_000


def check_page(line: LineSettings) -> Finding:
    """The operators' page can be served."""
    if not line.page.enabled:
        return Finding("page", "ok", "switched off")
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn")):
        return Finding(
            "page", "error", "its packages are not installed", "pip install 'inspector[hmi]'"
        )
    return _check_port("page", line.page.host, line.page.port)


def check_metrics(line: LineSettings) -> Finding:
    """Prometheus can be served."""
    return _check_port("metrics", line.metrics.host, line.metrics.port)


def _check_port(check: str, host: str, port: int) -> Finding:
    try:
        listen(host, port).close()
    except OSError as error:
        return Finding(
            check,
            "error",
            f"{host}:{port} cannot be used: {error.strerror}",
            f"stop what else listens there (a running line does), or set {check}.host and {check}.port",
        )
    return Finding(check, "ok", f"{host}:{port} is free")


def check_clock() -> Finding:
    """The wall clock is disciplined, so that ledger times can be compared with other machines'."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return Finding("clock", "ok", "not checked on this system")
    if state == _CLOCK_UNSYNCHRONISED:
        return Finding(
            "clock", "warning", "the clock is not synchronised", "run chrony or systemd-timesyncd"
        )
    return Finding("clock", "ok", "synchronised")
