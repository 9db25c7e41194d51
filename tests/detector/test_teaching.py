"""From clean cup images to a recipe that the line's own engine accepts, in small."""

import signal
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.core.errors import EngineError, RecipeError
from inspector.decision import Calibration, judge
from inspector.detector import teaching
from inspector.detector.bundle import Clean, Fitted, wide_band
from inspector.detector.calibrating import calibrate
from inspector.detector.comparing import separation, stained_copies
from inspector.detector.lesson import Lesson
from inspector.detector.memory_bank import Neighbourhood, learn_bank, leave_one_out
from inspector.detector.preparation import chosen
from inspector.detector.promise import promised_threshold
from inspector.detector.teaching import ENOUGH, _golden, _told_apart, teach
from inspector.detector.training import TrainingPlan
from inspector.engine import open_detector
from inspector.recipe import Recipe, Teacher, load_recipe
from inspector.recipe.graph import write_transformer
from inspector.recipe.manifest import ViewEntry
from tests.engine.small import small_weights

LESSON = Lesson(
    name="type-09",
    teacher=Teacher(rows=112, columns=112, depth=2),
    view=ViewEntry(kind="upright", rows=112, columns=112),
    scorer="bank",
    plan=TrainingPlan(steps=6, learning_rate=1e-3, strategies=("brightness-contrast",)),
    false_reject_rate=0.1,
)


def _cups(count: int, noise: float = 3.0) -> NDArray[np.uint8]:
    """Discs with a print, each with a little noise of its own."""
    row, column = np.mgrid[:112, :112]
    cup = np.full((112, 112, 3), 128, np.uint8)
    cup[np.hypot(row - 56, column - 56) < 52] = (200, 205, 210)
    cup[30:42, 44:68] = (60, 90, 140)
    grain = np.random.default_rng(0).normal(0, noise, (count, 112, 112, 3))
    return np.clip(cup + grain, 0, 255).astype(np.uint8)


def clean_cups(count: int) -> Clean:
    """So many clean pictures of one type."""
    return Clean(_cups(count), [f"cup-{number:02d}.png" for number in range(count)])


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("taught")
    lesson = replace(LESSON, scorer="student")
    return teach(lesson, clean_cups(24), folder / "type-09", folder / "models").recipe


def test_five_clean_cups_make_a_recipe_at_once_and_it_goes_live(tmp_path: Path) -> None:
    told: list[str] = []
    lesson = replace(LESSON, scorer="auto")
    found = teach(
        lesson, clean_cups(5), tmp_path / "type-09", tmp_path / "models", tell=told.append
    )
    recipe = found.recipe
    assert recipe.bank is not None
    assert recipe.student is None
    assert recipe.manifest.calibration.scored_on == "leave-one-out"
    assert found.promise.images == 5
    assert found.promise.images_needed == 29
    assert "is live" in told[0]
    assert "the bank stays" in told[1]
    clean, stained, _ = open_detector(recipe).distances(recipe.golden_images)
    assert not judge(clean, recipe.calibration).defective
    assert judge(stained, recipe.calibration).defective


@pytest.mark.parametrize("scorer", ["bank", "student"])
def test_of_a_round_view_only_the_cup_is_compared(
    tmp_path: Path, scorer: Literal["bank", "student"]
) -> None:
    alone = replace(LESSON.teacher, cup_only=True)
    view = LESSON.view.model_copy(update={"kind": "round"})
    lesson = replace(LESSON, teacher=alone, view=view, scorer=scorer)
    recipe = teach(lesson, clean_cups(8), tmp_path / "type-09", tmp_path / "models").recipe
    detector = open_detector(load_recipe(recipe.folder, recipe.models))
    views = clean_cups(9).views[8:].repeat(2, axis=0)
    views[1, :10, :10] = 0
    one, other = detector.distances(views)
    assert np.array_equal(one, other)
    assert np.abs(one[0, 0]) < 1e-3 < np.abs(one[3, 3])
    assert recipe.calibration.position_scale is not None
    assert recipe.calibration.position_scale[0, 0] == 1  # left out, not quiet


def test_a_round_bank_of_many_cups_suspects_none_and_rejects_plain_stains(tmp_path: Path) -> None:
    """So many that a part of their patches is kept, and so grainy that no place is alike in all."""
    alone = replace(LESSON.teacher, cup_only=True)
    view = LESSON.view.model_copy(update={"kind": "round"})
    lesson = replace(LESSON, teacher=alone, view=view)
    told: list[str] = []
    clean = Clean(_cups(60, noise=40.0), [f"cup-{number:02d}.png" for number in range(60)])
    recipe = teach(
        lesson, clean, tmp_path / "type-09", tmp_path / "models", tell=told.append
    ).recipe
    assert told == []
    stained = clean.views[:6].copy()
    stained[:, 48:64, 40:72] = (60, 45, 20)
    judged = [judge(one, recipe.calibration) for one in open_detector(recipe).distances(stained)]
    assert all(one.defective for one in judged)


def test_with_enough_cups_student_and_bank_are_compared_on_stains_nobody_has_seen(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    lesson = replace(LESSON, scorer="auto")
    clean = clean_cups(ENOUGH)
    recipe = teach(
        lesson, clean, tmp_path / "type-09", tmp_path / "models", tell=told.append
    ).recipe
    assert "laid over 5 clean pictures that neither has seen" in told[1]
    took_over = "the student takes over" in told[1]
    assert (recipe.student is not None) == took_over
    assert recipe.manifest.version == (2 if took_over else 1)
    open_detector(recipe)


@pytest.mark.parametrize("scorer", ["auto", "bank"])
def test_what_was_chosen_on_its_threshold_s_own_pictures_promises_less(
    tmp_path: Path, scorer: Literal["auto", "bank"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a bank that is compared on pictures held out know them by its scale."""
    counts: list[int] = []

    def counting(features: Tensor, neighbourhood: Neighbourhood) -> Tensor:
        counts.append(len(features))
        return leave_one_out(features, neighbourhood)

    monkeypatch.setattr(teaching, "leave_one_out", counting)
    lesson = replace(LESSON, scorer=scorer)
    found = teach(lesson, clean_cups(ENOUGH), tmp_path / "type-09", tmp_path / "models")
    alone = promised_threshold(np.arange(float(found.promise.images)), lesson.false_reject_rate)
    chosen_from_two = found.promise.false_reject_rate > alone.false_reject_rate
    assert chosen_from_two == (scorer == "auto")
    assert counts == ([20, 15] if scorer == "auto" else [20])


def test_a_student_has_its_thresholds_from_cups_that_it_has_not_seen(taught: Recipe) -> None:
    calibration = taught.manifest.calibration
    assert (calibration.training_images, calibration.threshold_images) == (18, 6)
    assert calibration.scored_on == "held-out"
    assert "Clean pictures only" in calibration.how
    open_detector(taught)


def test_a_student_says_how_many_cups_must_be_recorded_of_which_one_in_four_counts(
    taught: Recipe,
) -> None:
    """For 10 % it takes 29 that are held out."""
    assert "116 pictures would be needed" in taught.manifest.calibration.how


@pytest.mark.parametrize("part", ["training", "held out"])
def test_a_cup_left_out_counts_against_the_threshold_if_it_was_held_out_for_it(
    tmp_path: Path, part: str
) -> None:
    training, held_out = chosen(24, 18, LESSON.plan.seed)
    number = (training if part == "training" else held_out)[3]
    clean = clean_cups(24)
    clean.views[number, 40:100, 40:100] = (60, 45, 20)
    lesson = replace(LESSON, scorer="student")
    found = teach(lesson, clean, tmp_path / "type-09", tmp_path / "models")
    left_out = 0 if part == "training" else 1
    assert (found.promise.images, found.promise.left_out) == (6 - left_out, left_out)
    assert found.recipe.manifest.calibration.training_images == 17 + left_out
    assert found.promise.recorded == 24


def test_of_too_few_cups_a_student_promises_nothing(tmp_path: Path) -> None:
    lesson = replace(LESSON, scorer="student")
    found = teach(lesson, clean_cups(4), tmp_path / "type-09", tmp_path / "models")
    assert found.recipe.manifest.calibration.scored_on == "augmented views"
    assert found.promise.false_reject_rate == 1.0


def test_a_stained_cup_among_the_clean_is_named_and_not_learned_from(tmp_path: Path) -> None:
    clean = clean_cups(20)
    clean.views[7, 60:76, 60:76] = (150, 150, 150)
    told: list[str] = []
    found = teach(LESSON, clean, tmp_path / "type-09", tmp_path / "models", tell=told.append)
    assert "cup-07.png" in told[0]
    assert "cup-06.png" not in told[0]
    assert found.recipe.manifest.calibration.training_images == 19
    kept = replace(LESSON, keep_suspects=True)
    again = teach(kept, clean, tmp_path / "type-09", tmp_path / "models", tell=told.append)
    assert again.recipe.manifest.calibration.training_images == 20
    # It may have been a clean cup, and it will be rejected.
    assert (found.promise.left_out, again.promise.left_out) == (1, 0)
    assert found.promise.false_reject_rate > again.promise.false_reject_rate
    assert (
        "one more, left out or refused, counted as a clean cup"
        in found.recipe.manifest.calibration.how
    )


def test_clean_cups_that_the_line_would_refuse_count_as_rejected(tmp_path: Path) -> None:
    clean = replace(clean_cups(6), rejected=2)
    found = teach(LESSON, clean, tmp_path / "type-09", tmp_path / "models")
    assert (found.promise.images, found.promise.left_out, found.promise.recorded) == (6, 2, 8)
    assert "2 more, left out or refused," in found.recipe.manifest.calibration.how
    student = replace(LESSON, scorer="student")
    many = replace(clean_cups(20), rejected=20)
    found = teach(student, many, tmp_path / "type-09", tmp_path / "models")
    assert found.promise.images + found.promise.left_out == 10
    assert found.promise.left_out > 0
    assert found.promise.recorded == 40


def test_a_plainly_stained_cup_that_is_kept_all_the_same_gives_no_recipe(tmp_path: Path) -> None:
    clean = clean_cups(20)
    clean.views[7, 40:100, 40:100] = (60, 45, 20)
    lesson = replace(LESSON, keep_suspects=True)
    with pytest.raises(RecipeError, match=r"would pass plain stains.*with --keep-suspects"):
        teach(lesson, clean, tmp_path / "type-09", tmp_path / "models")
    assert not (tmp_path / "type-09" / "recipe.json").exists()


def test_another_student_in_its_place_does_not_go_live(taught: Recipe, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    write_transformer(small_weights(1, outputs=384), 2, (56, 56), other)
    assert taught.student is not None
    changed = taught.student.read_bytes()
    try:
        taught.student.write_bytes(other.read_bytes())
        with pytest.raises(EngineError, match="not the file it should be"):
            open_detector(taught)
    finally:
        taught.student.write_bytes(changed)


def test_teaching_again_gives_the_same_bank_and_counts_the_version_up(tmp_path: Path) -> None:
    first = teach(LESSON, clean_cups(6), tmp_path / "type-09", tmp_path / "models").recipe
    again = teach(LESSON, clean_cups(6), tmp_path / "type-09", tmp_path / "models").recipe
    assert (first.manifest.version, again.manifest.version) == (1, 2)
    assert again.manifest.bank == first.manifest.bank


def _interrupted(folder: Path, models: Path) -> None:
    """In a process of its own: somebody presses Ctrl-C when one of the recipe's files has taken its place."""
    torch.set_num_threads(1)
    # A shell's job in the background does not hear it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    replaced = Path.replace

    def pressed(path: Path, target: Path) -> Path:
        found = replaced(path, target)
        if target.name == "distances.npy":
            signal.raise_signal(signal.SIGINT)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", pressed)
        with pytest.raises(KeyboardInterrupt):
            teach(LESSON, clean_cups(6), folder, models)


def test_ctrl_c_while_a_recipe_takes_the_place_of_another_leaves_no_mixture_of_both(
    tmp_path: Path,
) -> None:
    folder, models = tmp_path / "type-09", tmp_path / "models"
    teach(LESSON, clean_cups(5), folder, models)
    process = get_context("spawn").Process(target=_interrupted, args=(folder, models))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert load_recipe(folder, models).manifest.version == 2


@pytest.mark.parametrize("scorer", ["bank", "student"])
def test_a_recipe_of_the_same_name_taught_elsewhere_leaves_this_one_its_graphs(
    scorer: Literal["bank", "student"], tmp_path: Path
) -> None:
    lesson = replace(LESSON, scorer=scorer)
    here = teach(lesson, clean_cups(6), tmp_path / "here", tmp_path / "models").recipe
    elsewhere = teach(lesson, clean_cups(7), tmp_path / "there", tmp_path / "models").recipe
    assert elsewhere.models == here.models
    assert load_recipe(here.folder, here.models).manifest == here.manifest


def test_faint_stains_are_told_from_clean_cups_by_what_sees_them() -> None:
    clean = _cups(6)

    def sees(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        away = np.abs(pictures.astype(np.float32) - clean.mean(axis=0)).mean(axis=3)
        return np.asarray(-away / 255, np.float32)

    def blind(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.zeros(pictures.shape[:3], np.float32)

    scale = np.ones((112, 112), np.float32)
    assert separation(sees, clean, scale, 0.01) > 0.8
    assert separation(blind, clean, scale, 0.01) == pytest.approx(0.5)


def test_stains_are_laid_over_copies_and_the_pictures_stayclean_cups() -> None:
    clean = _cups(3)
    before = clean.copy()
    stained = stained_copies(clean, np.random.default_rng(0), (0.5, 0.7))
    assert (clean == before).all()
    assert all((one != other).any() for one, other in zip(stained, clean, strict=True))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"name": "Type 1"}, "e.g. type-01"), ({"false_reject_rate": 0.0}, "between 0 and 1")],
)
def test_a_lesson_that_cannot_end_well_does_not_begin(
    wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        replace(LESSON, **wrong)  # type: ignore[arg-type]


def test_one_clean_picture_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="record more"):
        teach(LESSON, clean_cups(1), tmp_path / "type-09", tmp_path / "models")
    assert not (tmp_path / "type-09").exists()


def test_pictures_that_are_all_alike_give_no_recipe(tmp_path: Path) -> None:
    alike = Clean(np.repeat(_cups(1), 5, axis=0), [f"{n}.png" for n in range(5)])
    with pytest.raises(RecipeError, match="all alike"):
        teach(LESSON, alike, tmp_path / "type-09", tmp_path / "models")
    assert not (tmp_path / "type-09" / "recipe.json").exists()


def _judged_golden(threshold: float) -> Fitted:
    """A calibration under which the golden images score 0, 2 and 4."""
    maps = np.log(np.array([1.0, 0.8, 0.6], np.float32))[:, None, None].repeat(4, 1).repeat(4, 2)
    calibration = Calibration(-1.0, -0.9, threshold, threshold)
    _, promise = calibrate(-np.arange(16, dtype=np.float32).reshape(4, 2, 2), None, 0.1)
    bank = learn_bank(torch.ones(1, 2, 4, 4), "everywhere")
    return Fitted(bank, calibration, promise, 4, "", _cups(3), maps)


def test_a_recipe_must_tell_plain_stains_from_what_it_was_taught() -> None:
    assert _told_apart(_judged_golden(1.0)) == ""
    assert "one of two plain stains" in _told_apart(_judged_golden(3.0))
    with pytest.raises(RecipeError, match="pass plain stains"):
        _told_apart(_judged_golden(5.0))
    with pytest.raises(RecipeError, match="reject one of the very pictures"):
        _told_apart(_judged_golden(-1.0))


@pytest.mark.parametrize("seed", range(8))
def test_golden_stains_lie_where_something_sees_them(seed: int) -> None:
    clean = _cups(3)
    golden = _golden(clean, seed)
    assert (golden[0] == clean[0]).all()
    for one, other in zip(golden[1:], clean[1:], strict=True):
        assert (one != other)[28:84, 28:84].any()


@pytest.mark.parametrize(("threshold", "band"), [(-0.3, 0.05), (1.0, 0.05), (5.0, 0.1)])
def test_an_engine_may_be_off_by_a_small_part_of_what_decides(
    threshold: float, band: float
) -> None:
    allowed = wide_band(Calibration(-0.2, -0.1, threshold, threshold))
    assert allowed.map == allowed.score == pytest.approx(band)
