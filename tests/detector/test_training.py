"""The student really learns, goes on where it was, and does the same again under one seed."""

import signal
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import nn

from inspector.core.errors import EngineError, RecipeError
from inspector.detector import corruption, teacher_memory, training
from inspector.detector.corruption import STRATEGIES, Strategy, Supplies, Views
from inspector.detector.loss import distance_map
from inspector.detector.networks import Architecture, FeatureNetwork
from inspector.detector.teacher_memory import TeacherMemory
from inspector.detector.training import LOOK_EVERY, TrainingPlan, train

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = Architecture(rows=56, columns=56, width=24, depth=2, heads=3, outputs=32)
PLAN = TrainingPlan(steps=60, batch=2, learning_rate=3e-3, p_hard=0.9, start="random", seed=3)
SHORT = replace(PLAN, steps=6)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def teacher() -> FeatureNetwork:
    return _teacher()


def _teacher() -> FeatureNetwork:
    torch.manual_seed(9)
    return FeatureNetwork(SMALL).eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    """Discs of one kind at different brightness."""
    row, column = np.mgrid[:56, :56]
    disc = np.hypot(row - 28, column - 28) < 20
    levels = np.random.default_rng(0).integers(120, 200, 12)
    flat = np.where(disc, levels[:, None, None], 60).astype(np.uint8)
    return np.repeat(flat[..., None], 3, axis=3)


@pytest.fixture(scope="module")
def pairs(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brighter discs of another type, once with a blot and once without."""
    normal = np.minimum(images[:4] + 40, 255).astype(np.uint8)
    defective = normal.copy()
    defective[:, 30:40, 20:35] = (30, 90, 20)
    return np.stack([defective, normal], axis=1)


def _same(one: nn.Module, other: nn.Module) -> bool:
    theirs = dict(other.named_parameters())
    return all(weight.equal(theirs[name]) for name, weight in one.named_parameters())


def _losses(
    images: NDArray[np.uint8],
    teacher: FeatureNetwork,
    plan: TrainingPlan,
    pairs: NDArray[np.uint8] | None = None,
) -> list[float]:
    losses: list[float] = []
    material = {} if pairs is None else {"transfer": pairs}
    train(
        images,
        teacher,
        SMALL,
        plan,
        on_step=lambda _, loss: losses.append(loss),
        material=material,
    )
    return losses


def test_the_loss_falls_and_a_blot_then_stands_out(
    teacher: FeatureNetwork, images: NDArray[np.uint8]
) -> None:
    losses: list[float] = []
    student = train(images, teacher, SMALL, PLAN, on_step=lambda _, loss: losses.append(loss))
    half = len(losses) // 2
    assert np.mean(losses[half - 10 : half]) < 0.5 * losses[0]
    blotted = images[:1].copy()
    blotted[0, 28:42, 28:42] = (20, 120, 20)
    with torch.inference_mode():
        clean, bad = (
            distance_map(student(torch.from_numpy(x)), teacher(torch.from_numpy(x)))
            for x in (images[:1], blotted)
        )
    assert float(bad[0, 2, 2]) < 3 * float(clean[0, 2, 2])


def test_the_second_half_learns_from_the_hardest_positions(
    teacher: FeatureNetwork, images: NDArray[np.uint8]
) -> None:
    plan = replace(PLAN, steps=40, strategies=())
    hard, vanilla = (_losses(images, teacher, replace(plan, hard=hard)) for hard in (True, False))
    assert hard[:20] == vanilla[:20]
    assert hard[20] > 1.2 * vanilla[20]


def test_the_same_seed_gives_the_same_student_and_another_seed_another(
    teacher: FeatureNetwork, images: NDArray[np.uint8]
) -> None:
    one, same, other = (
        train(images, teacher, SMALL, replace(SHORT, seed=seed)) for seed in (3, 3, 4)
    )
    assert _same(one, same)
    assert not _same(one, other)


def test_training_leaves_the_random_numbers_of_others_alone(
    teacher: FeatureNetwork, images: NDArray[np.uint8]
) -> None:
    before = torch.get_rng_state()
    train(images, teacher, SMALL, SHORT)
    assert torch.get_rng_state().equal(before)


def test_a_student_started_from_its_teacher_begins_near_it_but_not_at_it(
    teacher: FeatureNetwork, images: NDArray[np.uint8]
) -> None:
    disturbed = replace(SHORT, strategies=(), start="teacher", strength=0.1)
    near = _losses(images, teacher, disturbed)[0]
    far = _losses(images, teacher, replace(SHORT, strategies=()))[0]
    assert 1e-4 < near < 0.3 * far


def test_a_student_of_another_shape_cannot_start_from_the_teacher(
    teacher: FeatureNetwork, images: NDArray[np.uint8]
) -> None:
    with pytest.raises(RecipeError, match="give the student the teacher's architecture"):
        train(images, teacher, replace(SMALL, depth=1), replace(SHORT, start="teacher"))


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("rotation", "brightness-contrast"),
        ("latent", "stained-shape"),
        ("transfer", "rotation", "brightness-contrast"),
        tuple(STRATEGIES),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "mixed"])
def test_every_combination_learns(
    teacher: FeatureNetwork,
    images: NDArray[np.uint8],
    pairs: NDArray[np.uint8],
    names: tuple[str, ...],
    precision: Literal["float32", "mixed"],
) -> None:
    plan = replace(PLAN, strategies=names, hard=False, precision=precision)
    losses = _losses(images, teacher, plan, pairs)
    assert np.mean(losses[-20:]) < 0.7 * losses[0]


def test_the_published_plan_is_that_of_the_paper() -> None:
    plan = TrainingPlan.as_published(84, ("rotation", "transfer"))
    assert (plan.steps, plan.batch, plan.learning_rate) == (13_440, 1, 1e-4)
    assert (plan.left_out(0), plan.left_out(6719)) == (0, 0)
    assert (plan.left_out(6720), plan.left_out(13_439)) == (0.99, 0.99)
    assert {plan.rate(0), plan.rate(13_439)} == {1e-4}
    assert plan.start == "random"
    assert plan.stains_mined
    assert plan.strategies == ("rotation", "transfer")


def test_by_default_the_learning_rate_falls_to_nothing_along_half_a_cosine() -> None:
    plan = TrainingPlan(steps=100, learning_rate=1e-4)
    rates = [plan.rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[50] == pytest.approx(5e-5)
    assert rates[100] == pytest.approx(0, abs=1e-12)
    assert rates == sorted(rates, reverse=True)


def test_the_loss_of_the_second_half_looks_away_from_stains_unless_asked_not_to(
    teacher: FeatureNetwork, images: NDArray[np.uint8]
) -> None:
    plan = replace(PLAN, steps=40, strategies=("stained-shape",))
    away, mined = (
        _losses(images, teacher, replace(plan, stains_mined=mined)) for mined in (False, True)
    )
    assert away[:20] == mined[:20]
    assert np.mean(away[20:]) < np.mean(mined[20:])


@pytest.mark.parametrize("strategies", [PLAN.strategies, ("latent", "stained-shape", "transfer")])
def test_an_interrupted_training_goes_on_to_the_same_student(
    teacher: FeatureNetwork,
    images: NDArray[np.uint8],
    pairs: NDArray[np.uint8],
    tmp_path: Path,
    strategies: tuple[str, ...],
) -> None:
    plan = replace(PLAN, steps=30, strategies=strategies)
    material = {"transfer": pairs}
    whole = train(images, teacher, SMALL, plan, material=material)
    checkpoint = tmp_path / "checkpoint.safetensors"

    def stop(step: int, _loss: float) -> None:
        if step == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(images, teacher, SMALL, plan, checkpoint, stop, material=material)
    steps: list[int] = []
    resumed = train(
        images,
        teacher,
        SMALL,
        plan,
        checkpoint,
        lambda step, _: steps.append(step),
        material=material,
    )
    assert steps[0] == 18
    assert _same(resumed, whole)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]


def _interrupted(images: NDArray[np.uint8], checkpoint: Path) -> None:
    """In a process of its own: somebody presses Ctrl-C while the teacher looks for the third time."""
    torch.set_num_threads(1)
    teacher = _teacher()
    seen: list[int] = []

    def press(*_: object) -> None:
        seen.append(1)
        if len(seen) == 3:
            signal.raise_signal(signal.SIGINT)

    teacher.register_forward_hook(press)
    with pytest.raises(KeyboardInterrupt):
        train(images, teacher, SMALL, replace(SHORT, strategies=()), checkpoint)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_within_a_step_leaves_a_checkpoint_behind_that_step(
    teacher: FeatureNetwork, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    plan = replace(SHORT, strategies=())
    checkpoint = tmp_path / "checkpoint.safetensors"
    process = get_context("spawn").Process(target=_interrupted, args=(images, checkpoint))
    process.start()
    process.join()
    assert process.exitcode == 0
    with safe_open(checkpoint, framework="np") as stored:
        assert stored.metadata()["step"] == "2"
    assert _same(
        train(images, teacher, SMALL, plan, checkpoint), train(images, teacher, SMALL, plan)
    )


def test_a_training_that_dies_goes_on_from_its_last_checkpoint(
    teacher: FeatureNetwork,
    images: NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    checkpoint = tmp_path / "checkpoint.safetensors"

    def die(step: int, _loss: float) -> None:
        if step == 4:
            raise ValueError

    with pytest.raises(ValueError):
        train(images, teacher, SMALL, SHORT, checkpoint, die)
    steps: list[int] = []
    resumed = train(images, teacher, SMALL, SHORT, checkpoint, lambda step, _: steps.append(step))
    assert steps == [4, 5, 6]
    assert _same(resumed, train(images, teacher, SMALL, SHORT))


def test_a_finished_training_is_not_repeated(
    teacher: FeatureNetwork, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    first = train(images, teacher, SMALL, SHORT, checkpoint)
    steps: list[int] = []
    again = train(images, teacher, SMALL, SHORT, checkpoint, lambda step, _: steps.append(step))
    assert steps == []
    assert _same(first, again)


def test_every_epoch_sees_every_picture_once() -> None:
    plan = TrainingPlan(steps=10, batch=3, seed=5)
    seen = [index for step in range(8) for index in training._chosen(12, step, plan)]
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12))
    assert seen[:12] != seen[12:]


def test_a_checkpoint_of_another_plan_is_refused(
    teacher: FeatureNetwork, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    train(images, teacher, SMALL, SHORT, checkpoint)
    with pytest.raises(RecipeError, match=r"another training plan; delete .*checkpoint"):
        train(images, teacher, SMALL, replace(SHORT, seed=2), checkpoint)


@pytest.mark.parametrize("other", ["pictures", "pairs", "teacher"])
def test_a_checkpoint_from_other_pictures_or_another_teacher_is_refused(
    teacher: FeatureNetwork,
    images: NDArray[np.uint8],
    pairs: NDArray[np.uint8],
    tmp_path: Path,
    other: str,
) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    train(images, teacher, SMALL, SHORT, checkpoint, material={"transfer": pairs})
    if other == "pictures":
        images = images[::-1]
    elif other == "pairs":
        pairs = pairs[:-1]
    else:
        teacher = FeatureNetwork(SMALL).eval().requires_grad_(requires_grad=False)
    with pytest.raises(RecipeError, match="other pictures or another teacher; delete"):
        train(images, teacher, SMALL, SHORT, checkpoint, material={"transfer": pairs})


@pytest.mark.parametrize("damage", ["cut", "foreign", "half"])
def test_a_damaged_checkpoint_is_refused(
    teacher: FeatureNetwork, images: NDArray[np.uint8], tmp_path: Path, damage: str
) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    if damage == "cut":
        checkpoint.write_bytes(b"half")
    elif damage == "foreign":
        save_file({"something": np.zeros(3)}, checkpoint)
    else:
        train(images, teacher, SMALL, SHORT, checkpoint)
        with safe_open(checkpoint, framework="np") as stored:
            save_file({"something": np.zeros(3)}, checkpoint, stored.metadata())
    with pytest.raises(RecipeError, match="is damaged; delete"):
        train(images, teacher, SMALL, SHORT, checkpoint)


def test_a_checkpoint_that_cannot_be_written_is_one_clear_line(
    teacher: FeatureNetwork, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecipeError, match="cannot write the checkpoint"):
        train(images, teacher, SMALL, SHORT, tmp_path / "file" / "checkpoint.safetensors")


def test_a_plain_training_asks_the_teacher_once_about_each_picture(
    teacher: FeatureNetwork, images: NDArray[np.uint8]
) -> None:
    asked: list[int] = []
    hook = teacher.register_forward_hook(lambda *_: asked.append(1))
    try:
        train(images, teacher, SMALL, replace(PLAN, steps=30, strategies=("stained-shape",)))
    finally:
        hook.remove()
    assert len(asked) == len(images)


@pytest.mark.parametrize(
    ("room", "tolerance"), [(12 * 32 * 16 * 4, 0.0), (12 * 32 * 16 * 2, 2e-3), (0, 2e-3)]
)
def test_what_the_teacher_said_is_what_it_says_whatever_the_memory(
    teacher: FeatureNetwork,
    images: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
    room: int,
    tolerance: float,
) -> None:
    monkeypatch.setattr(teacher_memory, "KEPT_BYTES", room)
    known = TeacherMemory(teacher, images, CPU)
    first, again = known([5, 0, 5]), known([5, 0, 5])
    assert first.equal(again)
    assert sum(kept.nbytes for kept in known._kept.values()) <= room
    with torch.no_grad():
        fresh = torch.cat([teacher(torch.from_numpy(images[i : i + 1])) for i in (5, 0, 5)])
    assert (first - fresh).abs().max() <= tolerance


def test_a_strategy_of_ones_own_plugs_in(
    teacher: FeatureNetwork, images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pictures of a generating network would: the student sees one, the teacher the original."""
    generated = 255 - images
    shown: list[NDArray[np.uint8]] = []

    def repainted(views: Views, supplies: Supplies, _random: np.random.Generator) -> Views:
        other = torch.from_numpy(supplies.material["repainted"][list(views.chosen)]).float()
        shown.append(other.byte().numpy())
        return replace(views, student=other)

    monkeypatch.setattr(corruption, "STRATEGIES", {"repainted": Strategy(repainted), **STRATEGIES})
    monkeypatch.setattr(training, "STRATEGIES", corruption.STRATEGIES)
    plan = replace(PLAN, steps=20, strategies=("repainted", "rotation"))
    train(images, teacher, SMALL, plan, material={"repainted": generated})
    assert 4 <= len(shown) <= 16
    assert all((pictures[:, 0, 0] == 195).all() for pictures in shown)


def test_transfer_without_pairs_does_not_begin(
    teacher: FeatureNetwork, images: NDArray[np.uint8]
) -> None:
    with pytest.raises(RecipeError, match="hand over pairs"):
        train(images, teacher, SMALL, replace(SHORT, strategies=("transfer",)))


def test_an_unknown_strategy_is_refused_by_name() -> None:
    with pytest.raises(RecipeError, match=r"'sunshine'; use any of: .*brightness-contrast"):
        TrainingPlan(strategies=("sunshine",))


@pytest.mark.parametrize("nothing", [{"steps": 0}, {"batch": 0}])
def test_a_plan_without_steps_or_pictures_is_refused(nothing: dict[str, int]) -> None:
    with pytest.raises(RecipeError, match="use at least 1 of 1"):
        replace(PLAN, **nothing)  # type: ignore[arg-type]


def test_one_may_look_at_a_heat_map_on_the_way(
    teacher: FeatureNetwork, images: NDArray[np.uint8]
) -> None:
    looks: list[tuple[int, NDArray[np.float32], NDArray[np.uint8]]] = []
    plan = replace(PLAN, steps=2 * LOOK_EVERY + 1, strategies=())
    train(images, teacher, SMALL, plan, on_look=lambda *look: looks.append(look))
    assert [step for step, _, _ in looks] == [LOOK_EVERY, 2 * LOOK_EVERY]
    for _, heat, picture in looks:
        assert heat.shape == (4, 4)
        assert heat.dtype == np.float32
        assert -1 <= heat.min() <= heat.max() < 0
        assert any(np.array_equal(picture, image) for image in images)


def test_running_out_of_memory_is_one_line_with_its_remedy(
    teacher: FeatureNetwork, images: NDArray[np.uint8]
) -> None:
    hook = teacher.register_forward_pre_hook(lambda *_: torch.empty(2**50).sum() and None)
    try:
        with pytest.raises(EngineError, match="use a smaller batch or a smaller view, or close"):
            train(images, teacher, SMALL, SHORT)
    finally:
        hook.remove()
