"""How fast a recipe runs here: frame in memory to verdict, its networks alone, and the machine's limit.

All three are measured in one run, in turn, so that whatever else the machine does meets them alike.
"""

import json
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from rich.table import Table

from inspector.config import EngineName
from inspector.core.errors import EngineError
from inspector.core.files import write_atomically
from inspector.core.part import PartId
from inspector.engine import Backend, Network, load_network
from inspector.engine.multiplications import multiplications
from inspector.inspection.judge import Judge
from inspector.recipe import Recipe, load_recipe
from inspector.recipe.graph_writer import GraphWriter
from inspector.twin.cups import CupStream
from inspector.twin.cups.camera import mosaic_of

_FRAMES = 8
_WARM_UP = 2
_EDGE = 1024
"""Of the matrices whose product says what the machine can do."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of one thing done again and again, ms.

    Attributes:
        p50_ms: median.
        p99_ms: 99 %.
        p999_ms: 99.9 %; of fewer than a thousand it is the worst.
    """

    p50_ms: float
    p99_ms: float
    p999_ms: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Timing":
        """From single times."""
        p50, p99, p999 = (float(q) for q in np.quantile(seconds, (0.5, 0.99, 0.999)) * 1e3)
        return cls(p50, p99, p999)


@dataclass(frozen=True, slots=True)
class Bench:
    """What was measured.

    Attributes:
        recipe: label.
        backend: what ran it.
        precision: what its features were multiplied in.
        why: how that was chosen.
        threads: CPU threads a network was given.
        lanes: cups that came at once.
        machine: processor and number of cores.
        date: UTC.
        pipeline_fps: frames a second, from frame in memory to verdict, at the median.
        pipeline: how long a cup waits for its verdict; with several lanes for those before it, too.
        network: the recipe's networks alone, on one view.
        gmac: multiply-accumulates of these networks, 10⁹.
        limit_gmac_per_s: what a product of large float32 matrices reaches, same backend and threads.
        fraction_of_limit: the networks' own rate as a part of that.
    """

    recipe: str
    backend: str
    precision: str
    why: str
    threads: int
    lanes: int
    machine: str
    date: str
    pipeline_fps: float
    pipeline: Timing
    network: Timing
    gmac: float
    limit_gmac_per_s: float
    fraction_of_limit: float


def bench(
    recipe_folder: Path,
    models: Path,
    *,
    engine: EngineName,
    threads: int,
    lanes: int,
    rounds: int,
    cup_type: str,
) -> Bench:
    """Measure a recipe on this machine, on freshly drawn frames.

    Args:
        recipe_folder: of the recipe.
        models: folder of the networks.
        engine: backend, or auto.
        threads: CPU threads a network may use.
        lanes: cups that come at once.
        rounds: how often everything is done.
        cup_type: of the twin's cups that are drawn.

    Raises:
        InspectorError: the recipe or a network cannot be used, or it refuses the cups.
    """
    recipe = load_recipe(recipe_folder, models)
    judge = Judge(recipe_folder, models, threads, engine)
    choice = judge.engine
    cups = CupStream(cup_type, seed=1)
    frames = [mosaic_of(next(cups).frame) for _ in range(_FRAMES)]
    view = recipe.golden_images[:1]
    product, matrix = _product(choice.backend, threads)
    looks, waits, alone, products = [], [], [], []
    for number in track(range(-_WARM_UP, rounds), description="measuring"):
        spent = []
        for lane in range(lanes):
            frame = frames[(number * lanes + lane) % _FRAMES]
            part = PartId(f"lane-{lane}", 1, number + _WARM_UP + 1)
            began = time.perf_counter()
            seen = judge.examine(part, frame, "BayerRG8", None)
            spent.append(time.perf_counter() - began)
            if "detector" not in seen.stages_ns:
                # A cup that is refused before it is compared would make a recipe look fast.
                raise EngineError(
                    f"{recipe.label} does not compare these cups: {seen.fault or seen.verdict.reason}",
                    "give the cup type that the recipe was taught from (--type)",
                )
        networks = _seconds(partial(choice.detector.distances, view))
        matrices = _seconds(partial(product.run, matrix))
        if number >= 0:
            looks += spent
            waits += np.cumsum(spent).tolist()
            alone.append(networks)
            products.append(matrices)
    gmac = _gmac(recipe)
    network, limit = Timing.of(alone), _EDGE**3 / 1e9 / float(np.median(products))
    return Bench(
        recipe=recipe.label,
        backend=choice.backend.value,
        precision=choice.precision,
        why=choice.why,
        threads=threads,
        lanes=lanes,
        machine=f"{platform.machine()}, {_processor()}",
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        pipeline_fps=1 / float(np.median(looks)),
        pipeline=Timing.of(waits),
        network=network,
        gmac=gmac,
        limit_gmac_per_s=limit,
        fraction_of_limit=gmac / (network.p50_ms / 1e3) / limit,
    )


def save(measured: Bench, file: Path) -> None:
    """Write the figures as JSON, atomically."""
    write_atomically(file, (json.dumps(asdict(measured), indent=2) + "\n").encode())


def table(measured: Bench) -> Table:
    """The figures for people."""
    shown = Table(
        "",
        "a second",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        title=f"{measured.recipe} in {measured.backend}, {measured.precision} ({measured.why})",
        caption=f"{measured.gmac:.2f} GMAC; float32 products reach {measured.limit_gmac_per_s:.0f} a second: "
        f"{measured.fraction_of_limit:.0%} of the limit. {measured.threads} threads, {measured.lanes} lanes, "
        f"{measured.machine}, {measured.date}",
    )
    for name, rate, times in (
        ("frame in memory → verdict", measured.pipeline_fps, measured.pipeline),
        ("networks alone", 1e3 / measured.network.p50_ms, measured.network),
    ):
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
