"""Views → distance maps: the teacher against a student (Eq. 1) or against a bank of clean patches."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import EngineError
from inspector.decision import judge
from inspector.engine.network import MOST, Backend, Network
from inspector.engine.pool import NetworkPool
from inspector.recipe import Recipe, network_view


class Compared:
    """See :class:`inspector.engine.Network`: a teacher, and what its features are compared with.

    Args:
        teacher: pictures to features.
        student: the same pictures to features of the same shape.
        bank: the teacher's features to distance maps; exactly one of the two.
    """

    def __init__(
        self, teacher: Network, *, student: Network | None = None, bank: Network | None = None
    ) -> None:
        if (student is None) == (bank is None):
            raise ValueError("a teacher is compared with a student or with a bank")
        if student is not None and teacher.input_shape != student.input_shape:
            raise EngineError(
                f"the teacher reads {teacher.input_shape}, the student {student.input_shape}",
                "teach the type again: both must read the same size",
            )
        other, taken = (
            ("student gives", student.output_shape)
            if student is not None
            else ("bank takes", bank.input_shape if bank is not None else ())
        )
        if teacher.output_shape != taken or len(taken) != 3:
            raise EngineError(
                f"the teacher gives {teacher.output_shape}, the {other} {taken}",
                "teach the type again: both must have the same channels and positions",
            )
        self._teacher, self._student, self._bank = teacher, student, bank
        self.input_shape = teacher.input_shape
        self.output_shape = teacher.output_shape[1:]

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """D of Eq. 1, n×h×w."""
        features = self._teacher.run(batch)
        if self._student is not None:
            difference = self._student.run(batch) - features
            return np.asarray(-0.5 * np.square(difference).mean(axis=1), np.float32)
        assert self._bank is not None
        return self._bank.run(features)


class Detector:
    """Views to distance maps.

    Args:
        network: :class:`Compared`, or both in one graph: pictures to distance maps.
        most: views that a line gives it at once.
    """

    def __init__(self, network: Network, *, most: int = 1) -> None:
        self._network = network
        self.most = most

    @property
    def map_shape(self) -> tuple[int, int]:
        """Rows and columns of a distance map."""
        rows, columns = self._network.output_shape
        return rows, columns

    def distances(
        self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """Distance maps of views.

        Args:
            images: each R×K×3 uint8 RGB; brought to the networks' input here.

        Returns:
            n×h×w float32, D of Eq. 1, in (-∞, 0].

        Raises:
            EngineError: a network failed.
        """
        size = self._network.input_shape[:2]
        return self._network.run(np.stack([network_view(image, *size) for image in images]))


def open_detector(
    recipe: Recipe, threads: int = 1, backend: Backend = Backend.ONNXRUNTIME
) -> Detector:
    """The recipe's networks, ready, and proven on its golden images; see :func:`load_detector`.

    Raises:
        EngineError: as there, or they disagree with the golden images: then the line must not go live.
    """
    detector = load_detector(recipe, NetworkPool(threads), backend)
    verify_golden(recipe, detector)
    return detector


def load_detector(recipe: Recipe, pool: NetworkPool, backend: Backend) -> Detector:
    """The recipe's networks, not proven yet.

    Args:
        recipe: verified.
        pool: where this process has its networks.
        backend: what runs them.

    Raises:
        EngineError: the teacher or the backend is not installed, or a network cannot be loaded.
    """
    manifest = recipe.manifest
    graph, pinned = recipe.teacher_graph(), manifest.teacher.sha256
    files = {
        name: (path, entry.sha256)
        for name, path, entry in (
            ("student", recipe.student, manifest.student),
            ("bank", recipe.bank, manifest.bank),
        )
        if path is not None and entry is not None
    }
    most = MOST if backend.gains_by_batches else 1
    if backend.joins and manifest.precision == "float32":
        (other,) = files.values()
        joined = pool.load(graph, pinned, backend, half=True, compared=other)
        return Detector(joined, most=most)
    teacher = pool.load(graph, pinned, backend, half=True)
    compared = {
        # A bank's distance is the small difference of two numbers near 1, which float16 would blur.
        name: pool.load(*file, backend, half=name == "student")
        for name, file in files.items()
    }
    return Detector(Compared(teacher, **compared), most=most)


def verify_golden(recipe: Recipe, detector: Detector) -> float:
    """Compare a detector with what float32 torch made of the recipe's golden images.

    Each is looked at alone and in every company that a line gives the detector: a GPU has kernels and
    memory of their own for each number of views.

    Returns:
        The largest difference of any map, in normalised heat.

    Raises:
        EngineError: a map, a score or a verdict lies outside the recipe's band.
    """
    if recipe.golden_distances.shape[1:] != detector.map_shape:
        raise EngineError(
            f"the networks give maps of {detector.map_shape}, the golden ones of {recipe.label} are "
            f"{recipe.golden_distances.shape[1:]}",
            "teach the type again",
        )
    count, worst = len(recipe.golden_images), 0.0
    for size in range(1, detector.most + 1):
        for first in range(0, count, size):
            numbers = [number % count for number in range(first, first + size)]
            maps = detector.distances(recipe.golden_images[numbers])
            for number, mine in zip(numbers, maps, strict=True):
                worst = max(worst, _difference(recipe, number, mine, size))
    return worst


def verify_again(recipe: Recipe, detector: Detector, number: int) -> float:
    """The same with one golden image alone, while the line runs.

    Args:
        recipe: whose detector it is.
        detector: verified once.
        number: of the image; counted on beyond the last, the first comes again.

    Raises:
        EngineError: as :func:`verify_golden`.
    """
    number %= len(recipe.golden_images)
    (mine,) = detector.distances(recipe.golden_images[number : number + 1])
    return _difference(recipe, number, mine, 1)


def _difference(recipe: Recipe, number: int, distances: NDArray[np.float32], size: int) -> float:
    """How far a golden image's map is from the one expected, in normalised heat; one of ``size`` at once.

    Raises:
        EngineError: map, score or verdict lie outside the recipe's band.
    """
    band = recipe.manifest.golden.band
    found = judge(distances, recipe.calibration)
    wanted = judge(recipe.golden_distances[number], recipe.calibration)
    map_error = float(np.abs(found.heat - wanted.heat).max())
    score_error = abs(found.score - wanted.score)
    within = map_error <= band.map and score_error <= band.score
    if not within or found.defective != wanted.defective:
        company = f", {size} at once" if size > 1 else ""
        raise EngineError(
            f"the networks disagree with golden image {number + 1} of {recipe.label}{company}: maps by "
            f"{map_error:.4f} (band {band.map:g}), scores by {score_error:.4f} "
            f"(band {band.score:g})",
            "restore models and recipe from where they were made; check CPU and backend",
        )
    return map_error
