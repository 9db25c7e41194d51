"""The student learns to say what the teacher says of clean pictures (§4.2, §5)."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from inspector.core.errors import RecipeError
from inspector.detector.corruption import STRATEGIES
from inspector.detector.loss import cosine_distance, hard_feature_loss
from inspector.detector.networks import Architecture, FeatureNetwork
from inspector.recipe.files import write_atomically


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How a student is trained; the same plan, pictures and machine give the same student.

    Attributes:
        steps: optimiser steps; the second half learns from the hardest positions only. (The paper's
            160 epochs at batch 1 are 800 steps of 5 pictures and 13,440 of 84: a budget in steps says
            more.)
        batch: pictures a step.
        learning_rate: Adam's.
        p_hard: share of positions left out of the loss in the second half (Eq. 5, 6).
        strategies: names of ``inspector.detector.corruption.STRATEGIES``; each step takes one of them
            or the picture as it is, all equally often.
        seed: of everything random.
    """

    steps: int = 1600
    batch: int = 1
    learning_rate: float = 1e-4
    p_hard: float = 0.99
    strategies: tuple[str, ...] = ("brightness-contrast", "rotation")
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [name for name in self.strategies if name not in STRATEGIES]
        if unknown:
            raise RecipeError(
                f"no training strategy is called {unknown[0]!r}",
                f"use any of: {', '.join(STRATEGIES)}",
            )


CHECKPOINT_EVERY = 200
"""Steps between two checkpoints."""


def train(
    images: NDArray[np.uint8],
    teacher: FeatureNetwork,
    architecture: Architecture,
    plan: TrainingPlan,
    checkpoint: Path | None = None,
    on_step: Callable[[int, float], None] = lambda _step, _loss: None,
) -> FeatureNetwork:
    """Train a student on clean pictures.

    Args:
        images: N×S×S×3 uint8 RGB, S as the architecture says.
        teacher: frozen; reads the same size.
        architecture: the student's.
        plan: how.
        checkpoint: file to go on from when it exists, and to save to on the way.
        on_step: called after each step with its number from 1 and its loss.

    Returns:
        The student, in evaluation mode.

    Raises:
        RecipeError: the checkpoint belongs to another plan or is damaged.
    """
    torch.manual_seed(plan.seed)
    student = FeatureNetwork(architecture)
    optimiser = torch.optim.Adam(student.parameters(), lr=plan.learning_rate)
    done = _resume(checkpoint, student, optimiser, plan) if checkpoint is not None else 0
    student.train()
    for step in range(done, plan.steps):
        # Everything random comes from the seed and the step: an interrupted run goes on unchanged.
        random = np.random.default_rng((plan.seed, step))
        chosen = _chosen(len(images), step, plan)
        seen_by_student, seen_by_teacher = _views(images[chosen], plan, random)
        with torch.inference_mode():
            wanted = teacher(seen_by_teacher)
        distance = cosine_distance(student(seen_by_student), wanted.clone())
        loss = hard_feature_loss(distance, plan.p_hard if 2 * step >= plan.steps else 0.0)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        on_step(step + 1, float(loss.detach()))
        if checkpoint is not None and (step + 1) % CHECKPOINT_EVERY == 0:
            _save(checkpoint, student, optimiser, plan, step + 1)
    return student.eval()


def _chosen(count: int, step: int, plan: TrainingPlan) -> list[int]:
    """The pictures of one step: each epoch goes through all of them in an order of its own."""
    first = step * plan.batch
    chosen = []
    for position in range(first, first + plan.batch):
        epoch, place = divmod(position, count)
        order = np.random.default_rng((plan.seed, 1, epoch)).permutation(count)
        chosen.append(int(order[place]))
    return chosen


def _views(
    images: NDArray[np.uint8], plan: TrainingPlan, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    batch = torch.from_numpy(images).float()
    choice = int(random.integers(len(plan.strategies) + 1))
    if choice == len(plan.strategies):
        return batch, batch
    return STRATEGIES[plan.strategies[choice]](batch, random)


def _save(
    path: Path,
    student: FeatureNetwork,
    optimiser: torch.optim.Adam,
    plan: TrainingPlan,
    step: int,
) -> None:
    tensors = {f"student.{name}": value for name, value in student.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": value for name, value in state.items()}
    about = {"plan": json.dumps(asdict(plan)), "step": str(step)}
    write_atomically(path, save(tensors, about))


def _resume(
    path: Path, student: FeatureNetwork, optimiser: torch.optim.Adam, plan: TrainingPlan
) -> int:
    """Load a checkpoint where there is one; returns the steps it has behind it."""
    if not path.exists():
        return 0
    start_anew = f"delete {path} to train from the start"
    try:
        with safe_open(path, framework="pt") as stored:
            about = stored.metadata()
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        if json.loads(about["plan"]) != json.loads(json.dumps(asdict(plan))):
            raise RecipeError(f"the checkpoint {path} belongs to another training plan", start_anew)
        student.load_state_dict(
            {n.removeprefix("student."): v for n, v in tensors.items() if n.startswith("student.")}
        )
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("adam."):
                _, index, key = name.split(".")
                state.setdefault(int(index), {})[key] = value
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        return int(about["step"])
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RecipeError(f"the checkpoint {path} is damaged", start_anew) from error
