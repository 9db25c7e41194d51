"""Which backend runs a recipe on this machine: the fastest that is there and agrees with the recipe."""

import statistics
import time
from typing import NamedTuple

from inspector.config import EngineName
from inspector.core.errors import EngineError
from inspector.engine.detector import Detector, open_detector
from inspector.engine.network import Backend
from inspector.recipe import Recipe

_RUNS = 5


class Choice(NamedTuple):
    """A detector that is proven, and how it was chosen.

    Attributes:
        detector: ready.
        backend: what runs it.
        why: for log and people.
    """

    detector: Detector
    backend: Backend
    why: str


def choose_detector(
    recipe: Recipe, threads: int, wanted: EngineName, *, hurried: bool = False
) -> Choice:
    """Open a recipe's networks in the backend that is wanted, or in the one that is best here.

    Args:
        recipe: verified.
        threads: CPU threads a network may use.
        wanted: a backend's name; ``auto`` tries every one that is installed, and of those that agree with
            the golden images takes the one that is fastest on them.
        hurried: parts are passing unseen meanwhile: ``auto`` takes the first that agrees.

    Raises:
        EngineError: the backend wanted, or every one, fails; the message is the first one's.
    """
    if wanted != "auto":
        backend = Backend(wanted)
        return Choice(open_detector(recipe, threads, backend), backend, "as configured")
    opened: dict[Backend, Detector] = {}
    failed: dict[Backend, EngineError] = {}
    for backend in Backend:
        if backend.installed and not (hurried and opened):
            try:
                opened[backend] = open_detector(recipe, threads, backend)
            except EngineError as error:
                failed[backend] = error
    if not opened:
        nothing = EngineError("no engine is installed", "pip install onnxruntime or openvino")
        raise next(iter(failed.values()), nothing)
    if len(opened) == 1:
        (only,) = opened
        told = [f"{backend} refused: {error}" for backend, error in failed.items()]
        alone = "the first that agrees, in a hurry" if hurried else "the only one that agrees"
        return Choice(opened[only], only, "; ".join([alone, *told]))
    took = {backend: _milliseconds(recipe, detector) for backend, detector in opened.items()}
    best = min(took, key=lambda backend: took[backend])
    times = ", ".join(f"{backend} {spent:.0f} ms" for backend, spent in took.items())
    return Choice(opened[best], best, f"fastest here: {times}")


def _milliseconds(recipe: Recipe, detector: Detector) -> float:
    """Median of a few looks at one golden image."""
    spent = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        detector.distances(recipe.golden_images[:1])
        spent.append(time.perf_counter() - began)
    return 1e3 * statistics.median(spent)
