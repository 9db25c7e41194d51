"""The student really learns, goes on where it was, and does the same again under one seed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from inspector.core.errors import RecipeError
from inspector.detector import training
from inspector.detector.loss import distance_map
from inspector.detector.networks import Architecture, FeatureNetwork
from inspector.detector.training import TrainingPlan, train

SMALL = Architecture(rows=56, columns=56, width=24, depth=2, heads=3, outputs=32)
PLAN = TrainingPlan(steps=60, batch=2, learning_rate=3e-3, p_hard=0.9, seed=3)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small only wait for each other on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def teacher() -> FeatureNetwork:
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


def test_an_interrupted_training_goes_on_to_the_same_student(
    teacher: FeatureNetwork,
    images: NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 10)
    whole = train(images, teacher, SMALL, PLAN)
    checkpoint = tmp_path / "checkpoint.safetensors"

    def stop(step: int, _loss: float) -> None:
        if step == 35:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(images, teacher, SMALL, PLAN, checkpoint, stop)
    steps: list[int] = []
    resumed = train(images, teacher, SMALL, PLAN, checkpoint, lambda step, _: steps.append(step))
    assert steps[0] == 31
    for mine, theirs in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_every_epoch_sees_every_picture_once() -> None:
    plan = TrainingPlan(steps=10, batch=3, seed=5)
    seen = [index for step in range(8) for index in training._chosen(12, step, plan)]
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12))
    assert seen[:12] != seen[12:]


def test_a_checkpoint_of_another_plan_is_refused(
    teacher: FeatureNetwork,
    images: NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 1)
    checkpoint = tmp_path / "checkpoint.safetensors"
    train(images, teacher, SMALL, TrainingPlan(steps=2, seed=1), checkpoint)
    with pytest.raises(RecipeError, match=r"another training plan; delete .*checkpoint"):
        train(images, teacher, SMALL, TrainingPlan(steps=2, seed=2), checkpoint)


@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_a_damaged_checkpoint_is_refused(
    teacher: FeatureNetwork, images: NDArray[np.uint8], tmp_path: Path, damage: str
) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    if damage == "cut":
        checkpoint.write_bytes(b"half")
    else:
        save_file({"something": np.zeros(3)}, checkpoint)
    with pytest.raises(RecipeError, match="is damaged; delete"):
        train(images, teacher, SMALL, TrainingPlan(steps=2), checkpoint)


def test_an_unknown_strategy_is_refused_by_name() -> None:
    with pytest.raises(RecipeError, match="'sunshine'; use any of: brightness-contrast"):
        TrainingPlan(strategies=("sunshine",))
