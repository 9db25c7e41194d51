"""How fast a recipe runs here: frame in memory to verdict, its networks alone, and the machine's limit.

All three are measured in one run, in turn, so that whatever else the machine does meets them alike.
"""

import json
import platform
import queue
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from rich.table import Table

from inspector.config import EngineName
from inspector.core.errors import EngineError
from inspector.core.files import write_result
from inspector.core.part import PartId
from inspector.engine import Backend, Network, NetworkPool, load_network
from inspector.engine.multiplications import multiplications
from inspector.inspection.judge import Judge
from inspector.inspection.sight import Sight
from inspector.inspection.sight_process import sights
from inspector.recipe import Recipe, load_recipe
from inspector.recipe.graph_writer import GraphWriter
from inspector.twin.cups import CupStream
from inspector.twin.cups.camera import mosaic_of
from inspector.vision.cores import share_cores

_FRAMES = 8
_WARM_UP = 2
_QUEUE = 8
"""Frames of a lane that may wait, as on the line."""
_EDGE = 1024
"""Of the matrices whose product says what the machine can do."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of one thing done again and again, ms.

    Attributes:
        p50_ms: median.
        p99_ms: 99 % took no longer; of fewer than a hundred it is the worst.
        p999_ms: 99.9 % took no longer; of fewer than a thousand it is the worst.
    """

    p50_ms: float
    p99_ms: float
    p999_ms: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Timing":
        """From single times."""
        # A time between the worst and the next is none that a cup took.
        p99, p999 = np.quantile(seconds, (0.99, 0.999), method="higher")
        return cls(*(1e3 * float(q) for q in (np.median(seconds), p99, p999)))


@dataclass(frozen=True, slots=True)
class Offered:
    """A stream of cups that does not wait for anybody.

    Attributes:
        rate: cups a second that came, of all lanes together.
        seconds: for how long.
        fps: verdicts a second.
        wait: how long a cup waited for its verdict.
        refused: cups for which there was no room in the queue: the line would have rejected them.
    """

    rate: float
    seconds: float
    fps: float
    wait: Timing
    refused: int


@dataclass(frozen=True, slots=True)
class Bench:
    """What was measured.

    Attributes:
        recipe: label.
        backend: what ran it.
        precision: what its features were multiplied in.
        why: how that was chosen.
        threads: CPU threads a network was given.
        workers: cups looked at side by side, each with that many threads.
        lanes: cups that came at once.
        machine: processor and number of cores.
        date: UTC.
        pipeline_fps: frames a second, from frame in memory to verdict, at the median.
        pipeline: how long a cup waits for its verdict; with several lanes for those before it, too.
        network: the recipe's networks alone, on one view.
        gmac: multiply-accumulates of these networks, 10⁹.
        limit_gmac_per_s: what a product of large float32 matrices reaches, same backend and threads.
        fraction_of_limit: the networks' own rate as a part of that.
        offered: the stream, if one was asked for.
    """

    recipe: str
    backend: str
    precision: str
    why: str
    threads: int
    workers: int
    lanes: int
    machine: str
    date: str
    pipeline_fps: float
    pipeline: Timing
    network: Timing
    gmac: float
    limit_gmac_per_s: float
    fraction_of_limit: float
    offered: Offered | None


def bench(
    recipe_folder: Path,
    models: Path,
    *,
    engine: EngineName,
    threads: int,
    workers: int,
    lanes: int,
    rounds: int,
    cup_type: str,
    rate: float,
    seconds: float,
) -> Bench:
    """Measure a recipe on this machine, on freshly drawn frames.

    Args:
        recipe_folder: of the recipe.
        models: folder of the networks.
        engine: backend, or auto.
        threads: CPU threads a network may use.
        workers: cups looked at side by side.
        lanes: cups that come at once.
        rounds: how often everything is done.
        cup_type: of the twin's cups that are drawn.
        rate: of the stream that is offered afterwards, cups a second; 0 for none.
        seconds: for how long it is.

    Raises:
        InspectorError: the recipe or a network cannot be used, it refuses the cups, or ``onnx`` is missing.
    """
    if find_spec("onnx") is None:
        # A line does without it once its teacher is made, or is a file of the recipe's own.
        raise EngineError(
            "the package onnx, which counts what a recipe multiplies, is not installed",
            "pip install 'inspector[teacher]'",
        )
    share_cores(workers)
    recipe = load_recipe(recipe_folder, models)
    judge = Judge(recipe_folder, models, NetworkPool(threads, workers), engine)
    free: queue.SimpleQueue[Sight] = queue.SimpleQueue()
    for sight in sights(workers):
        free.put(sight)
    choice = judge.engine
    cups = CupStream(cup_type, seed=1)
    frames = [mosaic_of(next(cups).frame) for _ in range(_FRAMES)]
    view = recipe.golden_images[:1]
    product, matrix = _product(choice.backend, threads)
    rounds_s, waits, alone, products = [], [], [], []
    look = partial(_judged, judge, free, recipe.label)
    with ThreadPoolExecutor(workers) as hands:
        for number in track(range(-_WARM_UP, rounds), description="measuring"):
            began = time.perf_counter()
            chosen = [frames[(number * lanes + lane) % _FRAMES] for lane in range(lanes)]
            ended = list(hands.map(look, chosen))
            networks = _seconds(partial(choice.detector.distances, view))
            matrices = _seconds(partial(product.run, matrix))
            if number >= 0:
                rounds_s.append(max(ended) - began)
                waits += [end - began for end in ended]
                alone.append(networks)
                products.append(matrices)
        room = workers + _QUEUE * lanes
        offered = _offer(look, hands, frames, room, rate, seconds) if rate else None
    for _ in range(workers):
        free.get().close()
    gmac = _gmac(recipe)
    network, limit = Timing.of(alone), _EDGE**3 / 1e9 / float(np.median(products))
    return Bench(
        recipe=recipe.label,
        backend=choice.backend.value,
        precision=choice.precision,
        why=choice.why,
        threads=threads,
        workers=workers,
        lanes=lanes,
        machine=f"{platform.machine()}, {_processor()}",
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        pipeline_fps=lanes / float(np.median(rounds_s)),
        pipeline=Timing.of(waits),
        network=network,
        gmac=gmac,
        limit_gmac_per_s=limit,
        fraction_of_limit=gmac / (network.p50_ms / 1e3) / limit,
        offered=offered,
    )


def _judged(
    judge: Judge, free: queue.SimpleQueue[Sight], label: str, frame: NDArray[np.uint8]
) -> float:
    """Look at a frame; when there was a verdict, s.

    Raises:
        EngineError: the cup was refused before it was compared, which would make a recipe look fast.
    """
    sight = free.get()
    try:
        seen = judge.examine(sight, PartId("lane-1", 1, 1), frame, "BayerRG8", None)
    finally:
        free.put(sight)
    if "detector" not in seen.stages_ns:
        raise EngineError(
            f"{label} does not compare these cups: {seen.fault or seen.verdict.reason}",
            "give the cup type that the recipe was taught from (--type)",
        )
    return time.perf_counter()


def _offer(
    look: Callable[[NDArray[np.uint8]], float],
    hands: ThreadPoolExecutor,
    frames: list[NDArray[np.uint8]],
    room: int,
    rate: float,
    seconds: float,
) -> Offered:
    """Cups at a rate, each frame copied into a ring first, as acquisition does it."""
    ring = [np.empty_like(frames[0]) for _ in range(room + 1)]
    began = time.perf_counter()
    going: list[tuple[float, Future[float]]] = []
    refused = 0
    for number in track(range(max(1, round(rate * seconds))), description="offering"):
        due = began + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        if sum(not one.done() for _, one in going[-room:]) == room:
            refused += 1
            continue
        slot = ring[len(going) % len(ring)]
        slot[:] = frames[number % len(frames)]
        going.append((due, hands.submit(look, slot)))
    ended = [one.result() for _, one in going]
    waits = [end - due for end, (due, _) in zip(ended, going, strict=True)]
    return Offered(rate, seconds, len(ended) / (max(ended) - began), Timing.of(waits), refused)


def save(measured: Bench, file: Path) -> None:
    """Write the figures as JSON, atomically.

    Raises:
        InspectorError: the file cannot be written.
    """
    write_result(file, (json.dumps(asdict(measured), indent=2) + "\n").encode())


def table(measured: Bench) -> Table:
    """The figures for people."""
    rows = [
        ("frame in memory → verdict", measured.pipeline_fps, measured.pipeline),
        ("networks alone", 1e3 / measured.network.p50_ms, measured.network),
    ]
    if (stream := measured.offered) is not None:
        lost = f", {stream.refused} refused" if stream.refused else ""
        rows.append(
            (f"{stream.rate:g} a second for {stream.seconds:g} s{lost}", stream.fps, stream.wait)
        )
    shown = Table(
        "",
        "a second",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        title=f"{measured.recipe} in {measured.backend}, {measured.precision} ({measured.why})",
        caption=f"{measured.gmac:.2f} GMAC; float32 products reach {measured.limit_gmac_per_s:.0f} a second: "
        f"{measured.fraction_of_limit:.0%} of the limit. "
        f"{measured.threads} threads, {measured.workers} workers, {measured.lanes} lanes, "
        f"{measured.machine}, {measured.date}",
    )
    for name, rate, times in rows:
        cells = (rate, times.p50_ms, times.p99_ms, times.p999_ms)
        shown.add_row(name, *(f"{cell:.1f}" for cell in cells))
    return shown


def _seconds(deed: Callable[[], object]) -> float:
    began = time.perf_counter()
    deed()
    return time.perf_counter() - began


def _gmac(recipe: Recipe) -> float:
    """Of the recipe's networks together."""
    paths = (recipe.teacher_graph(), recipe.student, recipe.bank)
    return sum(multiplications(path) for path in paths if path is not None) / 1e9


def _product(backend: Backend, threads: int) -> tuple[Network, NDArray[np.float32]]:
    """A product of two large matrices, run as the networks are."""
    from onnx import TensorProto, helper

    values = np.random.default_rng(0).standard_normal((2, _EDGE, _EDGE), dtype=np.float32)
    writer = GraphWriter()
    writer.node("MatMul", "left", writer.constant("right", values[1]), output="product")
    shape = ["batch", _EDGE, _EDGE]
    model = writer.model(
        "product",
        helper.make_tensor_value_info("left", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("product", TensorProto.FLOAT, shape),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "product.onnx"
        path.write_bytes(model.SerializeToString())
        return load_network(path, threads=threads, backend=backend), values[:1]


def _processor() -> str:
    """The processor's name and how many cores there are."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown processor'}, {max(len(names), 1)} cores"
