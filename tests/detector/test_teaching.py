"""From clean cup images to a recipe that the line's own engine accepts, in small."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.core.errors import EngineError, RecipeError
from inspector.decision import judge
from inspector.detector.networks import Architecture
from inspector.detector.preparation import chosen
from inspector.detector.teaching import Lesson, teach
from inspector.detector.training import TrainingPlan
from inspector.engine import open_detector
from inspector.recipe import Recipe, Teacher
from inspector.recipe.graph import write_transformer
from tests.engine.small import small_weights

LESSON = Lesson(
    name="type-09",
    teacher=Teacher(rows=112, columns=112, depth=2),
    architecture=Architecture(rows=112, columns=112, width=48, depth=2, heads=3),
    plan=TrainingPlan(steps=30, batch=2, learning_rate=1e-3, start="random"),
    training_images=8,
    false_reject_rate=0.1,
)


def _cups(count: int) -> NDArray[np.uint8]:
    """Discs with a print, each with a little noise of its own."""
    row, column = np.mgrid[:384, :384]
    cup = np.full((384, 384, 3), 128, np.uint8)
    cup[np.hypot(row - 192, column - 192) < 180] = (200, 205, 210)
    cup[100:140, 150:230] = (60, 90, 140)
    noise = np.random.default_rng(0).normal(0, 3, (count, 384, 384, 3))
    return np.clip(cup + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("taught")
    recipe, promise = teach(
        LESSON, _cups(20), folder / "type-09", folder / "models", orientation=b"any"
    )
    assert promise.images == 12
    assert promise.expected_rate == pytest.approx(1 / 13)
    return recipe


def test_the_recipe_goes_live_and_passes_its_own_golden_cups(taught: Recipe) -> None:
    detector = open_detector(taught)
    for distance in detector.distances(taught.golden_images):
        assert not judge(distance, taught.calibration).defective


def test_the_recipe_says_how_it_was_made(taught: Recipe) -> None:
    calibration = taught.manifest.calibration
    assert (calibration.training_images, calibration.threshold_images) == (8, 12)
    assert calibration.false_reject_rate == pytest.approx(1 - 0.05 ** (1 / 12))
    assert "Clean pictures only" in calibration.how
    assert taught.manifest.version == 1


def test_another_student_in_its_place_does_not_go_live(taught: Recipe, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    write_transformer(small_weights(1, outputs=384), 2, (56, 56), other)
    changed = taught.student.read_bytes()
    try:
        taught.student.write_bytes(other.read_bytes())
        with pytest.raises(EngineError, match="not the file it should be"):
            open_detector(taught)
    finally:
        taught.student.write_bytes(changed)


def test_teaching_again_counts_the_version_up(taught: Recipe) -> None:
    again, _ = teach(LESSON, _cups(20), taught.folder, taught.student.parent, orientation=b"any")
    assert again.manifest.version == 2
    assert again.manifest.student == taught.manifest.student


def test_pictures_for_training_and_for_thresholds_are_never_the_same() -> None:
    training, held_out = chosen(200, 84, seed=0)
    assert len(training) == 84
    assert sorted(training + held_out) == list(range(200))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"name": "Type 1"}, "e.g. type-01"), ({"false_reject_rate": 0.0}, "between 0 and 1")],
)
def test_a_lesson_that_cannot_end_well_does_not_begin(
    wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        replace(LESSON, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 8])
def test_too_few_clean_pictures_are_refused(count: int, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="record more clean cups"):
        teach(LESSON, _cups(count), tmp_path / "type-09", tmp_path / "models")
    assert not (tmp_path / "type-09").exists()
