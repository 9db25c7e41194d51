"""Which backend runs a recipe on this machine: the fastest that is there and agrees with the recipe."""

import statistics
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from inspector.config import EngineName
from inspector.core.errors import EngineError
from inspector.engine.detector import Detector, load_detector, verify_golden
from inspector.engine.network import Backend
from inspector.engine.pool import NetworkPool
from inspector.recipe import Recipe

_RUNS = 5


class How(StrEnum):
    """How an engine was chosen."""

    CONFIGURED = "configured"
    FASTEST = "fastest"
    ONLY = "only"
    FIRST = "first"


class Choice(NamedTuple):
    """A detector that is proven, and how it was chosen.

    Attributes:
        detector: ready.
        backend: what runs it.
        precision: what it multiplies features in.
        golden_error: largest difference from the golden maps, in normalised heat.
        band: the difference that the recipe allows.
        how: in a word.
        why: for log and people, with times and with what was refused.
    """

    detector: Detector
    backend: Backend
    precision: str
    golden_error: float
    band: float
    how: How
    why: str

    @property
    def proof(self) -> str:
        """What was compared with the golden images, and how it came out, in words."""
        return (
            f"{self.backend} in {self.precision} is within {self.golden_error:.2g} of the golden maps "
            f"({self.band:.2g} is allowed)"
        )


class _Proven(NamedTuple):
    detector: Detector
    golden_error: float


def choose_detector(
    recipe: Recipe,
    pool: NetworkPool,
    wanted: EngineName,
    *,
    hurried: bool = False,
    failed: Mapping[Backend, EngineError] | None = None,
) -> Choice:
    """Open a recipe's networks in the backend that is wanted, or in the one that is best here.

    Args:
        recipe: verified.
        pool: where this process has its networks.
        wanted: a backend's name; ``auto`` tries every one that is installed, and of those that agree with
            the golden images takes the one that is fastest on them.
        hurried: parts are passing unseen meanwhile: ``auto`` takes the first that agrees.
        failed: those that failed while they ran, and how: ``auto`` does not take them again.

    Raises:
        EngineError: the backend wanted, or every one, fails; the message is the last one's.
    """
    if wanted != "auto":
        backend = Backend(wanted)
        return _chosen(
            recipe, backend, _proven(recipe, pool, backend), How.CONFIGURED, "as configured"
        )
    opened: dict[Backend, _Proven] = {}
    refused = dict(failed or {})
    for backend in Backend:
        if backend.installed and backend not in refused and not (hurried and opened):
            try:
                opened[backend] = _proven(recipe, pool, backend)
            except EngineError as problem:
                refused[backend] = problem
    took: dict[Backend, float] = {}
    for backend in list(opened) if len(opened) > 1 else []:
        try:
            took[backend] = _milliseconds(recipe, opened[backend].detector)
        except EngineError as problem:
            # It agreed, and failed when it was asked again: no better than one that never agreed.
            refused[backend] = problem
            del opened[backend]
    if not opened:
        nothing = EngineError("no engine is installed", "pip install onnxruntime or openvino")
        raise [nothing, *refused.values()][-1]
    told = [f"{backend} refused: {problem.what}" for backend, problem in refused.items()]
    if len(opened) == 1:
        (best,) = opened
        how, why = How.ONLY, "the only one that agrees"
        if hurried:
            how, why = How.FIRST, "the first that agrees, in a hurry"
    else:
        best = min(took, key=lambda backend: took[backend])
        times = ", ".join(f"{backend} {spent:.0f} ms" for backend, spent in took.items())
        how, why = How.FASTEST, f"fastest here: {times}"
    return _chosen(recipe, best, opened[best], how, "; ".join([why, *told]))


def _chosen(recipe: Recipe, backend: Backend, proven: _Proven, how: How, why: str) -> Choice:
    detector, error = proven
    band = recipe.manifest.golden.band.map
    own = recipe.manifest.precision
    precision = backend.precision if own == "float32" else own
    return Choice(detector, backend, precision, error, band, how, why)


def _proven(recipe: Recipe, pool: NetworkPool, backend: Backend) -> _Proven:
    """The detector in one backend, if it agrees with the golden images."""
    detector = load_detector(recipe, pool, backend)
    return _Proven(detector, verify_golden(recipe, detector))


def _milliseconds(recipe: Recipe, detector: Detector) -> float:
    """Median of a few looks at one golden image."""
    spent = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        detector.distances(recipe.golden_images[:1])
        spent.append(time.perf_counter() - began)
    return 1e3 * statistics.median(spent)
