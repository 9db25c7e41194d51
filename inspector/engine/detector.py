"""Cup images → distance maps: teacher and student side by side (Eq. 1)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import EngineError
from inspector.decision import judge
from inspector.engine.network import Network, load_network
from inspector.recipe import Recipe, network_view, teacher_path


class Detector:
    """Two networks that read the same picture and give maps of the same shape."""

    def __init__(self, teacher: Network, student: Network) -> None:
        if teacher.input_shape != student.input_shape:
            raise EngineError(
                f"the teacher reads {teacher.input_shape}, the student {student.input_shape}",
                "teach the type again: both must read the same size",
            )
        if teacher.output_shape != student.output_shape or len(teacher.output_shape) != 3:
            raise EngineError(
                f"the teacher gives {teacher.output_shape}, the student {student.output_shape}",
                "teach the type again: both must give the same channels and positions",
            )
        self._teacher = teacher
        self._student = student

    @property
    def map_shape(self) -> tuple[int, int]:
        """Rows and columns of a distance map."""
        _, rows, columns = self._student.output_shape
        return rows, columns

    def distances(
        self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """Distance maps of cup images.

        Args:
            images: each S×S×3 uint8 RGB; reduced to the networks' input here.

        Returns:
            n×h×w float32, D of Eq. 1, in (-∞, 0].

        Raises:
            EngineError: a network failed.
        """
        batch = np.stack([network_view(image, *self._student.input_shape[:2]) for image in images])
        difference = self._student.run(batch) - self._teacher.run(batch)
        return np.asarray(-0.5 * np.square(difference).mean(axis=1), np.float32)


def open_detector(recipe: Recipe, threads: int = 1) -> Detector:
    """The recipe's networks, ready, and proven on its golden images.

    Args:
        recipe: verified.
        threads: CPU threads a network may use.

    Raises:
        EngineError: the teacher is not installed, a network cannot be loaded, or they disagree with
            the golden images: then the line must not go live.
    """
    pinned = recipe.manifest.teacher.sha256
    teacher = load_network(teacher_path(recipe.teacher, recipe.models, pinned), pinned, threads)
    student = load_network(recipe.student, recipe.manifest.student.sha256, threads)
    detector = Detector(teacher, student)
    verify_golden(recipe, detector)
    return detector


def verify_golden(recipe: Recipe, detector: Detector) -> float:
    """Compare a detector with what float32 torch made of the recipe's golden images.

    Returns:
        The largest difference of any map, in normalised heat.

    Raises:
        EngineError: a map, a score or a verdict lies outside the recipe's band.
    """
    band = recipe.manifest.golden.band
    if recipe.golden_distances.shape[1:] != detector.map_shape:
        raise EngineError(
            f"the networks give maps of {detector.map_shape}, the golden ones of {recipe.label} are "
            f"{recipe.golden_distances.shape[1:]}",
            "teach the type again",
        )
    largest = 0.0
    ours = detector.distances(recipe.golden_images)
    for number, (mine, expected) in enumerate(zip(ours, recipe.golden_distances, strict=True), 1):
        found, wanted = judge(mine, recipe.calibration), judge(expected, recipe.calibration)
        map_error = float(np.abs(found.heat - wanted.heat).max())
        score_error = abs(found.score - wanted.score)
        largest = max(largest, map_error)
        within = map_error <= band.map and score_error <= band.score
        if not within or found.defective != wanted.defective:
            raise EngineError(
                f"the networks disagree with golden image {number} of {recipe.label}: maps by "
                f"{map_error:.4f} (band {band.map:g}), scores by {score_error:.4f} "
                f"(band {band.score:g})",
                "restore models and recipe from where they were made; check CPU and onnxruntime",
            )
    return largest
