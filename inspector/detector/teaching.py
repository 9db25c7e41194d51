"""Clean cup images in, a recipe out: train, calibrate, export, write."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.core.errors import RecipeError
from inspector.decision import Calibration, heat_map, image_score, normalised
from inspector.detector.calibrating import (
    QUANTILE_A,
    QUANTILE_B,
    SCORE_SHARE,
    calibrate,
    position_scale,
    radius_scale,
)
from inspector.detector.loss import distance_map
from inspector.detector.networks import (
    Architecture,
    FeatureNetwork,
    export_teacher,
    load_teacher,
    write_graph,
)
from inspector.detector.preparation import ORIENTATION, chosen
from inspector.detector.promise import Promise
from inspector.detector.training import TrainingPlan, train
from inspector.recipe import Recipe, Teacher, load_recipe, network_view, write_recipe
from inspector.recipe.manifest import (
    NAME,
    BandEntry,
    CalibrationEntry,
    FileEntry,
    GoldenEntry,
    Manifest,
    TeacherEntry,
    ViewEntry,
)
from inspector.recipe.recipe import MANIFEST, array_bytes, picture_bytes
from inspector.recipe.weights import file_sha256
from inspector.vision import UPRIGHT

BAND = BandEntry(map=0.02, score=0.01)
"""Float32 engines stay within a tenth of it; a wrong or quantised network does not."""
_GOLDEN_QUANTILES = (0.1, 0.5, 0.9)
"""Of the held-out pictures' scores: none of the golden images sits on the threshold."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a cup type is taught with.

    Attributes:
        name: the recipe's.
        teacher: which teacher, at which size and depth.
        architecture: the student's; reads the teacher's size.
        plan: of the training.
        view: what of the cup the pictures show.
        training_images: how many of the clean pictures train; the others set the thresholds.
        score_share: share of positions averaged into the image score; 0 takes the hottest.
        false_reject_rate: asked for.
    """

    name: str
    teacher: Teacher
    architecture: Architecture
    plan: TrainingPlan
    view: ViewEntry = UPRIGHT
    training_images: int = 84
    score_share: float = SCORE_SHARE
    false_reject_rate: float = 0.01

    def __post_init__(self) -> None:
        if re.fullmatch(NAME, self.name) is None:
            raise RecipeError(
                f"a recipe cannot be called {self.name!r}",
                "use up to 32 small letters, digits and hyphens, e.g. type-01",
            )
        if not 0 < self.false_reject_rate < 1:
            raise RecipeError(
                f"a false-reject rate of {self.false_reject_rate:g} cannot be promised",
                "ask for a share between 0 and 1, e.g. 0.01",
            )


def features(network: FeatureNetwork, images: NDArray[np.uint8]) -> Tensor:
    """Feature maps of n×R×K×3 uint8 pictures in the network's size, n×C×h×w."""
    with torch.inference_mode():
        return torch.cat([network(part) for part in torch.split(torch.from_numpy(images), 8)])


def distances(
    student: FeatureNetwork, teacher: FeatureNetwork, images: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Eq. 1 in float32 torch: n×R×K×3 uint8 pictures in the networks' size to n×h×w."""
    maps = distance_map(features(student, images), features(teacher, images))
    return np.asarray(maps.numpy(), np.float32)


def network_views(images: NDArray[np.uint8], teacher: Teacher) -> NDArray[np.uint8]:
    """Views in the networks' size."""
    return np.stack([network_view(image, teacher.rows, teacher.columns) for image in images])


def teach(
    lesson: Lesson,
    images: NDArray[np.uint8],
    folder: Path,
    models: Path,
    orientation: bytes | None = None,
    background: FileEntry | None = None,
    checkpoint: Path | None = None,
    on_step: Callable[[int, float], None] = lambda _step, _loss: None,
) -> tuple[Recipe, Promise]:
    """Teach a cup type and write its recipe.

    Args:
        lesson: with what.
        images: all clean cup images, n×R×K×3 uint8 RGB.
        folder: the recipe's.
        models: where the student's graph goes.
        orientation: content of the orientation reference, None where cups are not turned.
        background: the network that finds the cup, in ``models``.
        checkpoint: of the training, to go on from.
        on_step: called after each training step with its number and loss.

    Returns:
        The recipe as read back from disk, and what its threshold promises.

    Raises:
        RecipeError: the pictures are too few, or a file of the recipe cannot be written.
        EngineError: the teacher's weights cannot be had, or a graph cannot be written.
    """
    training, held_out = chosen(len(images), lesson.training_images, lesson.plan.seed)
    views = network_views(images, lesson.teacher)
    teacher = load_teacher(lesson.teacher, models)
    student = train(views[training], teacher, lesson.architecture, lesson.plan, checkpoint, on_step)
    scale = scale_of(lesson.view)(distances(student, teacher, views[training]))
    clean = distances(student, teacher, views[held_out])
    try:
        calibration, promise = calibrate(clean, scale, lesson.false_reject_rate, lesson.score_share)
    except ValueError as error:
        raise RecipeError(
            f"the clean pictures give no calibration: {error}", "check that they are not all alike"
        ) from error
    golden = [held_out[index] for index in _golden(clean, calibration)]
    graph = models / f"{lesson.name}-student.onnx"
    write_graph(student, graph)

    files = {f"golden/{n}.png": picture_bytes(images[i]) for n, i in enumerate(golden, 1)}
    golden_pictures = tuple(_entry(name, content) for name, content in files.items())
    files["golden/distances.npy"] = array_bytes(distances(student, teacher, views[golden]))
    files["position-scale.npy"] = array_bytes(scale)
    if orientation is not None:
        files[ORIENTATION] = orientation

    def entry(name: str) -> FileEntry:
        return _entry(name, files[name])

    manifest = Manifest(
        name=lesson.name,
        version=_next_version(folder),
        view=lesson.view,
        background=background,
        teacher=TeacherEntry(
            name=lesson.teacher.name,
            rows=lesson.teacher.rows,
            columns=lesson.teacher.columns,
            depth=lesson.teacher.depth,
            sha256=file_sha256(export_teacher(lesson.teacher, teacher, models)),
        ),
        student=FileEntry(file=graph.name, sha256=file_sha256(graph)),
        orientation=entry(ORIENTATION) if orientation is not None else None,
        calibration=CalibrationEntry(
            q_a=calibration.q_a,
            q_b=calibration.q_b,
            image_threshold=calibration.image_threshold,
            pixel_threshold=calibration.pixel_threshold,
            score_share=calibration.score_share,
            position_scale=entry("position-scale.npy"),
            training_images=len(training),
            threshold_images=len(held_out),
            false_reject_rate=promise.false_reject_rate,
            how=_how(lesson, promise),
        ),
        golden=GoldenEntry(
            images=golden_pictures, distances=entry("golden/distances.npy"), band=BAND
        ),
        sha256="0" * 64,
    )
    write_recipe(folder, manifest, files)
    return load_recipe(folder, models), promise


def scale_of(view: ViewEntry) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """What a view's distances are divided by: learned from those of the training pictures."""
    return radius_scale if view.kind == "polar" else position_scale


def how_fitted(view: ViewEntry, promise: Promise) -> str:
    """How the numbers of a decision were fitted, for the recipe."""
    scale = (
        "greatest distance of the training pictures at each radius"
        if view.kind == "polar"
        else "mean distance of the training pictures at each position"
    )
    missing = (
        f" ({promise.images_needed} pictures would be needed for the rate asked for)"
        if promise.images_needed
        else ""
    )
    return (
        f"Position scale: {scale}. q_a, q_b: {QUANTILE_A} and {QUANTILE_B} quantiles of the heat on "
        f"{promise.images} {promise.scored_on} pictures; thresholds: order statistics of the same, asked "
        f"for a false-reject rate of {promise.wanted:g}, promised at most "
        f"{promise.false_reject_rate:.4f} with {promise.confidence:.0%} confidence{missing}."
    )


def _golden(clean: NDArray[np.float32], calibration: Calibration) -> list[int]:
    """Held-out pictures at low, middle and high scores."""
    maps = normalised(heat_map(clean, calibration.position_scale), calibration)
    order = np.argsort([image_score(one, calibration.score_share) for one in maps])
    last = len(order) - 1
    return sorted({int(order[round(q * last)]) for q in _GOLDEN_QUANTILES})


def _next_version(folder: Path) -> int:
    """One more than the recipe that is there; 1 where there is none that can be read."""
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        return Manifest.model_validate_json(text).version + 1
    except (OSError, ValueError):
        return 1


def _entry(name: str, content: bytes) -> FileEntry:
    return FileEntry(file=name, sha256=hashlib.sha256(content).hexdigest())


def _how(lesson: Lesson, promise: Promise) -> str:
    plan = lesson.plan
    return (
        f"Clean pictures only. Student: {plan.steps} steps of {plan.batch}, strategies "
        f"{' and '.join(plan.strategies) or 'none'}, seed {plan.seed}. "
        + how_fitted(lesson.view, promise)
    )
