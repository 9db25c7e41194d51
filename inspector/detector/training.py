"""The student learns to say what the teacher says of clean pictures (§4.2, §5)."""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from inspector.core.errors import EngineError, RecipeError
from inspector.decision import heat_map
from inspector.detector.checkpoint import Checkpoint, arrays_sha256, undivided, when_stopped
from inspector.detector.corruption import (
    STRATEGIES,
    Material,
    Supplies,
    changed_views,
    check_strategies,
)
from inspector.detector.loss import cosine_distance, distance_map, hard_feature_loss
from inspector.detector.networks import (
    Architecture,
    FeatureNetwork,
    perturbed_copy,
    plain_weights,
)
from inspector.detector.teacher_memory import TeacherMemory

PUBLISHED_EPOCHS = 160
CHECKPOINT_SECONDS = 60.0
"""Between two checkpoints; one of a large student is a gigabyte, so steps would be no measure."""
LOOK_EVERY = 20
"""Steps between two looks at a heat map."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How a student is trained; the same plan, pictures and machine give the same student.

    The defaults measured best so far; :meth:`as_published` is the paper's. On a CPU with as many
    threads the student is the same to the bit; on a GPU, to what its order of summing leaves.

    Attributes:
        steps: optimiser steps.
        batch: pictures a step.
        learning_rate: Adam's at the start.
        decay: whether it falls to nothing along half a cosine; the paper's stays as it is. Single
            pictures pull a student to and fro: without the fall it stops anywhere between them.
        hard: whether the second half learns from the hardest positions only; False takes the mean of
            all throughout (the paper's "vanilla").
        p_hard: share of positions left out of the loss in that second half (Eq. 5, 6).
        strategies: names of ``inspector.detector.corruption.STRATEGIES``, in any combination.
        stains_mined: whether stained positions count among the hardest, as published. Then they are the
            hardest, and clean ones get no gradient: by default they are left out of the second half.
        start: "random", or "teacher" for a disturbed copy of the teacher, which needs an eighth of the
            steps and a student of the teacher's shape.
        strength: of that disturbance, in standard deviations of each weight tensor.
        precision: "mixed" computes the networks in bfloat16 where that is safe: for GPUs, and for CPUs
            that have it; on others it is ten times slower.
        compile: compile the student first; on CUDA only, where it pays after some minutes.
        seed: of everything random.
    """

    steps: int = 500
    batch: int = 1
    learning_rate: float = 1e-4
    decay: bool = True
    hard: bool = True
    p_hard: float = 0.99
    strategies: tuple[str, ...] = ()
    stains_mined: bool = False
    start: Literal["random", "teacher"] = "teacher"
    strength: float = 0.5
    precision: Literal["float32", "mixed"] = "float32"
    compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_strategies(self.strategies)
        if min(self.steps, self.batch) < 1:
            raise RecipeError(
                f"{self.steps} steps of {self.batch} pictures teach nothing", "use at least 1 of 1"
            )

    @classmethod
    def as_published(
        cls, pictures: int, strategies: tuple[str, ...] = (), seed: int = 0
    ) -> "TrainingPlan":
        """The paper's plan (§4.2, §5) for so many training pictures: 160 epochs at batch 1."""
        return cls(
            steps=PUBLISHED_EPOCHS * pictures,
            decay=False,
            strategies=strategies,
            stains_mined=True,
            start="random",
            seed=seed,
        )

    def rate(self, step: int) -> float:
        """Adam's learning rate in a step from 0."""
        fall = 0.5 * (1 + math.cos(math.pi * step / self.steps)) if self.decay else 1.0
        return self.learning_rate * fall

    def left_out(self, step: int) -> float:
        """p_hard of a step from 0: 0 in the first half of the training (§4.2)."""
        return self.p_hard if self.hard and 2 * step >= self.steps else 0.0


Look = Callable[[int, NDArray[np.float32], NDArray[np.uint8]], None]
"""Called with the step from 1, a heat map (Eq. 2, h×w) and the student's picture, R×K×3 RGB."""


def train(
    images: NDArray[np.uint8],
    teacher: FeatureNetwork,
    architecture: Architecture,
    plan: TrainingPlan,
    checkpoint: Path | None = None,
    on_step: Callable[[int, float], None] = lambda _step, _loss: None,
    on_look: Look = lambda _step, _heat, _picture: None,
    material: Material = MappingProxyType({}),
) -> FeatureNetwork:
    """Train a student on clean pictures, on the GPU where there is one.

    Args:
        images: N×R×K×3 uint8 RGB, rows and columns as the architecture says.
        teacher: frozen, on the CPU; reads the same size.
        architecture: the student's.
        plan: how.
        checkpoint: file to go on from when it exists, and to save to on the way: every minute, at the
            end, and when Ctrl-C interrupts.
        on_step: called after each step with its number from 1 and its loss.
        on_look: called every ``LOOK_EVERY`` steps with the first picture of the step.
        material: pictures for strategies that need some: "transfer" takes pairs of a defective and a
            normal cup of other types, P×2×R×K×3.

    Returns:
        The student, in evaluation mode, on the CPU.

    Raises:
        RecipeError: the checkpoint belongs to another plan, other pictures or another teacher, is
            damaged or cannot be written; a strategy lacks its material; the student cannot start from
            the teacher.
        EngineError: the memory does not suffice.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    student = _started(teacher, architecture, plan)
    supplies = Supplies(student, teacher, material)
    for name in plan.strategies:
        STRATEGIES[name].check(supplies)
    kept = None
    if checkpoint is not None:
        origin = arrays_sha256({**plain_weights(teacher), "images": images, **material})
        settings = json.dumps([asdict(plan), asdict(architecture)])
        kept = Checkpoint(checkpoint, settings, origin)
    try:
        with _enough_memory(device):
            student.to(device).train()
            teacher.to(device)
            _learn(images, supplies, plan, device, kept, on_step, on_look)
    finally:
        teacher.to("cpu")
        student.to("cpu")
    return student.eval()


def _started(
    teacher: FeatureNetwork, architecture: Architecture, plan: TrainingPlan
) -> FeatureNetwork:
    if plan.start == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            return FeatureNetwork(architecture)
    if architecture != teacher.architecture:
        raise RecipeError(
            "a student of another shape than the teacher's cannot start from it",
            "give the student the teacher's architecture, or start it at random",
        )
    return perturbed_copy(teacher, plan.strength, plan.seed)


def _learn(
    images: NDArray[np.uint8],
    supplies: Supplies,
    plan: TrainingPlan,
    device: torch.device,
    checkpoint: Checkpoint | None,
    on_step: Callable[[int, float], None],
    on_look: Look,
) -> None:
    """All steps of a plan that are not done yet."""
    student, teacher = supplies.student, supplies.teacher
    optimiser = torch.optim.Adam(student.parameters(), lr=plan.learning_rate, fused=True)
    done = checkpoint.resume(student, optimiser) if checkpoint is not None else 0
    saved = time.monotonic()
    learner = torch.compile(student) if plan.compile and device.type == "cuda" else student
    known = TeacherMemory(teacher, images, device)

    def keep() -> None:
        if checkpoint is not None:
            checkpoint.save(student, optimiser, done)

    with when_stopped(keep):
        while done < plan.steps:
            with undivided():
                # Everything random comes from the seed and the step: an interrupted run goes on as if
                # nothing had been.
                random = np.random.default_rng((plan.seed, done))
                chosen = _chosen(len(images), done, plan)
                pictures = torch.from_numpy(images[chosen]).to(device).float()
                views = changed_views(pictures, chosen, plan.strategies, supplies, random)
                with torch.autocast(device.type, torch.bfloat16, plan.precision == "mixed"):
                    with torch.no_grad():
                        wanted = teacher(views.teacher) if views.teacher_changed else known(chosen)
                    said = learner(views.student, views.offset)
                p_hard = plan.left_out(done)
                minable = None if p_hard == 0 or plan.stains_mined else views.minable
                distance = cosine_distance(said.float(), wanted.float())
                loss = hard_feature_loss(distance, p_hard, minable)
                for group in optimiser.param_groups:
                    group["lr"] = plan.rate(done)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                done += 1
            on_step(done, float(loss.detach()))
            if done % LOOK_EVERY == 0:
                deviation = distance_map(said[0:1].detach().float(), wanted[0:1].float())
                heat = heat_map(deviation[0].cpu().numpy())
                on_look(done, heat, views.student[0].byte().cpu().numpy())
            if time.monotonic() - saved >= CHECKPOINT_SECONDS:
                keep()
                saved = time.monotonic()
    keep()


def _chosen(count: int, step: int, plan: TrainingPlan) -> list[int]:
    """The pictures of one step: each epoch goes through all of them in an order of its own."""
    first = step * plan.batch
    chosen = []
    for position in range(first, first + plan.batch):
        epoch, place = divmod(position, count)
        order = np.random.default_rng((plan.seed, 1, epoch)).permutation(count)
        chosen.append(int(order[place]))
    return chosen


@contextmanager
def _enough_memory(device: torch.device) -> Iterator[None]:
    """Turn the ways in which memory runs out into one line."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        exhausted = isinstance(error, MemoryError | torch.cuda.OutOfMemoryError)
        # The CPU's allocator has no exception of its own.
        if not exhausted and "can't allocate memory" not in str(error):
            raise
        where = "the GPU's memory" if device.type == "cuda" else "memory"
        raise EngineError(
            f"the training needs more than {where} holds",
            "use a smaller batch or a smaller view, or close other programs",
        ) from error
