"""Clean pictures in, a recipe out: first a bank of their patches, then, where it does better, a student."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.core.errors import RecipeError
from inspector.decision import judge
from inspector.detector.bundle import Clean, Fitted, write_bundle
from inspector.detector.calibrating import calibrate, calibrate_left_out
from inspector.detector.comparing import (
    Maps,
    See,
    against_bank,
    against_student,
    separation,
    stained_copies,
)
from inspector.detector.corruption import brightness_contrast, rotation, turn
from inspector.detector.guard import suspects
from inspector.detector.lesson import Lesson
from inspector.detector.memory_bank import learn_bank, leave_one_out
from inspector.detector.networks import (
    features,
    load_teacher,
    student_shape,
)
from inspector.detector.preparation import FEWEST_CLEAN, chosen
from inspector.detector.promise import Promise, ScoredOn
from inspector.detector.quantising import check_loss, narrow_band, narrowed
from inspector.detector.training import Look, train
from inspector.recipe import Recipe, Teacher, network_view

ENOUGH = 20
"""Clean pictures from which a quarter can be spared: for a student's thresholds, and to compare it with
the bank on pictures that neither has seen."""
HELD_OUT = 4
"""One picture in so many is held out where they are enough."""
_AUGMENTED = 8
"""Changed views of each picture where a student's thresholds must come from the pictures that taught it."""
_VISIBLE = (0.5, 0.7)
"""Opacity of the stains on golden images: a verdict that no rounding turns over."""
_REMEDY = (
    "look whether all pictures show one clean type in one light (with --keep-suspects those named too), and "
    "record more; a student may need more --steps"
)


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """A recipe as read back from disk, and what its threshold promises."""

    recipe: Recipe
    promise: Promise


def teach(
    lesson: Lesson,
    clean: Clean,
    folder: Path,
    models: Path,
    *,
    tell: Callable[[str], None] = lambda _text: None,
    checkpoint: Path | None = None,
    on_step: Callable[[int, float], None] = lambda _step, _loss: None,
    on_look: Look = lambda _step, _heat, _picture: None,
) -> Taught:
    """Teach a cup type and write its recipe; where a student is trained too, the bank is live before it.

    Args:
        lesson: with what.
        clean: the clean pictures.
        folder: the recipe's.
        models: where the networks' graphs go.
        tell: told what was decided, a sentence each.
        checkpoint: of the training, to go on from.
        on_step: called after each training step with its number and loss.
        on_look: see ``inspector.detector.training``.

    Raises:
        RecipeError: the pictures are too few, also without those that look stained, or all alike, or so
            unlike that the recipe tells no stain from them; or a file of the recipe cannot be written.
        EngineError: the teacher's weights cannot be had, or a graph cannot be written.
    """
    if len(clean.views) < 2:
        raise RecipeError(
            "one clean picture teaches nothing",
            "record more: five make a start, a hundred are good",
        )
    teacher = load_teacher(lesson.teacher, models)
    views = network_views(clean.views, lesson.teacher)
    seen = features(teacher, views)
    left_out = np.asarray(leave_one_out(seen, lesson.neighbourhood).numpy(), np.float32)
    kept = _unsuspected(left_out, clean.names, lesson, tell)
    recorded = len(views) + clean.rejected
    dropped = recorded - len(kept)
    if len(kept) < len(views):
        views, seen = views[kept], seen[kept]
        left_out = np.asarray(leave_one_out(seen, lesson.neighbourhood).numpy(), np.float32)
    training, held_out, held_out_dropped = _divided(recorded, kept, lesson.plan.seed)
    few = held_out == training
    see, narrow = partial(features, teacher), None
    if lesson.precision == "int8":
        _enough_to_compare(len(views))
        narrow = narrowed(teacher, views)
        tell(_compared(see, narrow.see, views[training], views[held_out], lesson))
        seen = narrow.see(views)
        left_out = np.asarray(leave_one_out(seen, lesson.neighbourhood).numpy(), np.float32)

    def finish(fitted: Fitted) -> Taught:
        warning = _told_apart(fitted)
        if warning:
            tell(warning)
            fitted = replace(fitted, how=f"{fitted.how} But {warning}.")
        written = write_bundle(
            lesson.name, lesson.view, lesson.teacher, teacher, clean, fitted, folder, models
        )
        return Taught(written, fitted.promise)

    golden = _golden(clean.views[kept][training], lesson.plan.seed)
    asked, share = lesson.false_reject_rate, lesson.score_share
    # Whichever of the two is live in the end was chosen on pictures that its threshold comes from.
    candidates = 2 if lesson.scorer == "auto" and not few else 1
    taught = None
    if lesson.scorer != "student":
        bank = learn_bank(seen, lesson.neighbourhood)
        with _alike_refused():
            calibration, promise = calibrate_left_out(
                left_out, lesson.scale_of, asked, share, dropped, candidates
            )
        golden_views = network_views(golden, lesson.teacher)
        distances = against_bank(see, bank)(golden_views)
        how = f"A bank of {bank.patches[..., 0].numel()} clean patches. {lesson.words(promise)}"
        fitted = Fitted(bank, calibration, promise, len(views), how, golden, distances)
        if narrow is not None:
            found = against_bank(narrow.see, bank)(golden_views)
            band = narrow_band(found, distances, calibration)
            fitted = replace(fitted, teacher_graph=narrow.graph, band=band)
        taught = finish(fitted)
        if lesson.scorer == "bank":
            return taught
        tell(f"{taught.recipe.label} is live with a bank of clean patches")
        if few:
            tell(
                f"the bank stays: below {ENOUGH} clean pictures none can be spared to compare a student "
                f"with it ({max(1, ENOUGH - len(views))} more are needed)"
            )
            return taught

    shape = student_shape(teacher.architecture, lesson.width)
    student = train(views[training], teacher, shape, lesson.plan, checkpoint, on_step, on_look)
    compare = against_student(teacher, student)
    scale = lesson.scale_of(compare(views[training]))
    if taught is not None:
        tells = separation(compare, views[held_out], scale, share)
        bank_tells = _bank_separation(see, seen[training], views[held_out], lesson)
        better = tells > bank_tells
        tell(
            f"faint stains laid over {len(held_out)} clean pictures that neither has seen: the student "
            f"tells them apart with AUROC {tells:.3f}, the bank with {bank_tells:.3f}; "
            + ("the student takes over" if better else "the bank stays")
        )
        if not better:
            return taught
    scored_on: ScoredOn = "augmented views" if few else "held-out"
    scored = _changed(views, lesson) if few else views[held_out]
    with _alike_refused():
        calibration, promise = calibrate(
            compare(scored), scale, asked, share, scored_on, held_out_dropped, candidates
        )
    if not few:
        # Of what is recorded, only what is held out brings the rate asked for nearer.
        needed = HELD_OUT * promise.images_needed
        promise = replace(promise, images_needed=needed, recorded=recorded)
    plan = lesson.plan
    how = (
        f"A student of {plan.steps} steps of {plan.batch}, started from "
        f"{'the teacher' if plan.start == 'teacher' else 'random weights'}, strategies "
        f"{' and '.join(plan.strategies) or 'none'}, seed {plan.seed}. {lesson.words(promise)}"
    )
    distances = compare(network_views(golden, lesson.teacher))
    return finish(Fitted(student, calibration, promise, len(training), how, golden, distances))


def _enough_to_compare(count: int) -> None:
    if count < ENOUGH:
        raise RecipeError(
            f"{count} clean pictures are too few to show that int8 loses nothing",
            f"record {ENOUGH - count} more, or teach in float32: leave out --precision",
        )


def _compared(
    see: See,
    narrow: See,
    training: NDArray[np.uint8],
    held_out: NDArray[np.uint8],
    lesson: Lesson,
) -> str:
    """What int8 loses on clean pictures that taught nothing, with faint stains laid over them, in words."""

    def told_apart(look: See) -> float:
        return _bank_separation(look, look(training), held_out, lesson)

    return check_loss(told_apart(see), told_apart(narrow), len(held_out))


def _bank_separation(
    see: See, training: Tensor, held_out: NDArray[np.uint8], lesson: Lesson
) -> float:
    """How well a bank of the training pictures' features alone, its scale too, tells faint stains."""
    scale = lesson.scale_of(leave_one_out(training, lesson.neighbourhood).numpy())
    compare = against_bank(see, learn_bank(training, lesson.neighbourhood))
    return separation(compare, held_out, scale, lesson.score_share)


def network_views(images: NDArray[np.uint8], teacher: Teacher) -> NDArray[np.uint8]:
    """Views in the networks' size."""
    return np.stack([network_view(image, teacher.rows, teacher.columns) for image in images])


def _unsuspected(
    maps: Maps, names: Sequence[str], lesson: Lesson, tell: Callable[[str], None]
) -> list[int]:
    """Numbers of the pictures to learn from.

    What looks stained is left out and named: learned as clean, a stain would pass for ever after, while a
    clean cup left out costs a little sharpness.
    """
    found = suspects(maps, names)
    everything = list(range(len(names)))
    if not found:
        return everything
    listed = ", ".join(one.name for one in found)
    if lesson.keep_suspects:
        tell(f"learned from in spite of looking stained, or unlike all others: {listed}")
        return everything
    named = {one.name for one in found}
    left = [number for number in everything if names[number] not in named]
    if len(left) < FEWEST_CLEAN:
        raise RecipeError(
            f"too few clean pictures are left without those that look stained: {listed}",
            "record more; if these are clean, add --keep-suspects",
        )
    tell(
        f"left out, for they look stained or unlike all others: {listed}; look at them, and add "
        "--keep-suspects if they are clean"
    )
    return left


def _golden(views: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """A clean picture as it is, and two with plain stains: maps that are not flat, verdicts of both kinds."""
    few = views[[0, len(views) // 2, len(views) - 1]]
    random = np.random.default_rng((seed, 3))
    rows, columns = few.shape[1:3]
    middle = np.s_[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]
    for picture in few[1:]:
        stained = picture
        # What is looked at lies in the middle, whatever the view: beside a cup nothing sees a stain.
        while (stained[middle] == picture[middle]).all():
            stained = stained_copies(picture[None], random, _VISIBLE)[0]
        picture[:] = stained
    return few


def _told_apart(fitted: Fitted) -> str:
    """What the golden images' verdicts leave to be said, in words; nothing if they are as they should be.

    A recipe that tells no plain stain from clean would be whole, agree with its golden images, and pass
    everything. So it does not go live, however few or hard the pictures are: of two to five rendered clean
    cups of types 02 to 04, fifteen draws each, every such stain was at least twice as hot as the threshold.
    One of the two may be small or of the cup's own colour by chance, so that is said and not refused.

    Raises:
        RecipeError: both stained ones pass, or the clean one is rejected.
    """
    clean, *stained = (judge(one, fitted.calibration).defective for one in fitted.golden_distances)
    if clean:
        raise RecipeError(
            "the recipe would reject one of the very pictures that it was taught from", _REMEDY
        )
    if not any(stained):
        raise RecipeError(
            "the recipe would pass plain stains: on its clean pictures they are no hotter than what clean "
            "pictures differ by",
            _REMEDY,
        )
    if all(stained):
        return ""
    return (
        "one of two plain stains laid over clean pictures passes, so real ones may: look at the golden "
        "images, and record more clean pictures"
    )


def training_count(count: int) -> int:
    """How many of so many clean pictures a student is trained on, if none is left out."""
    return count if count < ENOUGH else count - count // HELD_OUT


def _divided(count: int, kept: Sequence[int], seed: int) -> tuple[list[int], list[int], int]:
    """Three quarters to train, a quarter held out; of too few pictures all for both.

    All are divided, also those that are left out or refused: only then is what is held out, with its part
    of those, as clean cups come.

    Args:
        count: of all clean pictures; which numbers the refused have makes no difference.
        kept: numbers of those that are neither left out nor refused.
        seed: of the choice.

    Returns:
        Which of the kept train; which are held out; and how many pictures beside these fell into that
        part.
    """
    places = {number: place for place, number in enumerate(kept)}
    if len(kept) >= ENOUGH:
        parts = chosen(count, training_count(count), seed)
        training, held_out = ([places[one] for one in part if one in places] for part in parts)
        if training and held_out:
            return training, held_out, len(parts[1]) - len(held_out)
    everything = list(range(len(kept)))
    return everything, everything, count - len(kept)


def _changed(views: NDArray[np.uint8], lesson: Lesson) -> NDArray[np.uint8]:
    """The pictures turned a little and in other light: all there is where none is left over."""
    random = np.random.default_rng((lesson.plan.seed, 2))
    moved = turn if lesson.view.kind == "polar" else rotation
    changed = []
    for _ in range(_AUGMENTED):
        pictures = brightness_contrast(torch.from_numpy(views).float(), random)
        changed.append(moved(pictures, random).byte().numpy())
    return np.concatenate(changed)


@contextmanager
def _alike_refused() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise RecipeError(
            f"the clean pictures give no calibration: {error}", "check that they are not all alike"
        ) from error
