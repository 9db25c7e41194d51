"""An adapter behind a frozen teacher: learned from clean cups of several types, good for a type never seen.

Few clean pictures show few drops, little wear and one light, and a bank of them calls every other drop a
fault. What clean cups differ by is much the same from type to type. So a small network behind the teacher
learns it once, from many clean cups: in every step a few clean pictures of one type make a bank, others of
that type are compared with it, some of them with marks painted over (:mod:`inspector.detector.marks`),
and the adapter moves the features until what is painted is far from the bank and what is clean is near.
No defective cup is seen, and the bank, the calibration and the promise stay what they are.

    inspector adapt --images cups/type-01 --images cups/type-02 --out models/cups-adapter.safetensors
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional

from inspector.core.errors import RecipeError
from inspector.detector.checkpoint import Checkpoint, arrays_sha256, undivided
from inspector.detector.datasets import clean_files
from inspector.detector.lesson import (
    BACKGROUND,
    POLAR_COLUMNS,
    POLAR_CONTRAST,
    POLAR_DEPTH,
    POLAR_ROWS,
)
from inspector.detector.marks import marked
from inspector.detector.memory_bank import MemoryBank
from inspector.detector.networks import (
    Adapter,
    FeatureNetwork,
    features,
    load_teacher,
    plain_weights,
)
from inspector.detector.preparation import prepare_frames
from inspector.detector.thumbnail import TrainingProgress
from inspector.engine import load_network
from inspector.recipe import Teacher
from inspector.recipe.manifest import ViewEntry
from inspector.recipe.sources import source
from inspector.recipe.weights import save_adapter
from inspector.vision.polar import contrasted

BANK_SIZES = (1, 2, 3, 5)
"""Clean pictures that a step's bank may be made of: few, as a new type's are, and often all of one cup."""
_LARGEST_BANK = 8
COPIES = 2
"""Marked copies of each clean picture in its own colour."""
TINTS = 3
"""Other colours in which every other picture is seen as well, once clean and once marked."""
_GAIN, _TINT = (0.45, 1.15), (0.75, 1.25)
"""Brightness of a tint and, on top, of each colour."""
_SEEN, _UNSEEN = 2.0, 0.2
"""Grey levels by which a patch is changed on average, contrast raised: marked above, clean below."""
_PLAIN = 8.0
"""From here on a mark counts fully; a fainter one less, down to a quarter."""
_HARDEST = 0.01
"""Share of clean patches that count a second time: what a cup is rejected for is its hottest patch."""
_SHARPNESS = 0.03
"""Of the loss, in cosine distance: patches so far on the right side of the border hardly count."""
_FEWEST = _LARGEST_BANK + 3
_CHECKPOINT_EVERY = 50


@dataclass(frozen=True, slots=True)
class AdaptingPlan:
    """How an adapter is trained.

    Attributes:
        steps: optimiser steps.
        queries: pictures compared in a step, half of them marked.
        learning_rate: AdamW's at its highest; it rises over the first third and falls to zero.
        seed: of everything random.
        bank_sizes: clean pictures that a step's bank may be made of, at most 8.
    """

    steps: int = 600
    queries: int = 6
    learning_rate: float = 1e-3
    seed: int = 0
    bank_sizes: tuple[int, ...] = BANK_SIZES


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Pictures of one type in one colour, as the teacher sees them.

    Attributes:
        clean: n×C×h×w float16.
        marked: m×C×h×w float16.
        change: m×h×w float32, grey levels by which the marks changed each patch on average.
    """

    clean: Tensor
    marked: Tensor
    change: Tensor


def examples(
    views: NDArray[np.uint8], teacher: FeatureNetwork, contrast: float, seed: int
) -> list[Examples]:
    """Clean views of one cup type in several colours, and copies of them with marks.

    Args:
        views: n×R×K×3 uint8, polar, contrast 1.
        teacher: frozen, for views of this size.
        contrast: that recipes raise it to.
        seed: of colours and marks.

    Raises:
        RecipeError: the pictures are too few.
    """
    if len(views) < _FEWEST:
        raise RecipeError(
            f"{len(views)} clean pictures of a type are too few to compare with each other",
            f"give at least {_FEWEST} of each type",
        )
    random = np.random.default_rng(seed)
    made = []
    for tint in range(TINTS + 1):
        gain = random.uniform(*_GAIN) * random.uniform(*_TINT, 3) if tint else np.ones(3)
        chosen = views if not tint else views[tint % 2 :: 2]
        coloured = np.clip(np.round(chosen * gain), 0, 255).astype(np.uint8)
        plain = np.stack([contrasted(view, contrast) for view in coloured])
        copies = [
            (number, contrasted(marked(view, random), contrast))
            for number, view in enumerate(coloured)
            for _ in range(1 if tint else COPIES)
        ]
        painted = np.stack([picture for _, picture in copies])
        before = plain[[number for number, _ in copies]]
        made.append(
            Examples(
                features(teacher, plain).half(),
                features(teacher, painted).half(),
                _patch_change(before, painted, teacher.architecture.grid),
            )
        )
    return made


def adapt(
    groups: list[Examples], plan: AdaptingPlan, checkpoint: Path, progress: TrainingProgress
) -> Adapter:
    """Train an adapter; an interrupted run goes on where it was.

    Args:
        groups: of every type and colour.
        plan: how.
        checkpoint: file to go on from when it exists, and to save to on the way.
        progress: shown on the way.

    Raises:
        RecipeError: the checkpoint belongs to another plan or other pictures, or cannot be written.
    """
    torch.manual_seed(plan.seed)
    learner = _Learner(groups[0].clean.shape[1])
    optimiser = torch.optim.AdamW(learner.parameters(), plan.learning_rate, weight_decay=1e-2)
    origin = arrays_sha256({str(n): one.clean.numpy() for n, one in enumerate(groups)})
    kept = Checkpoint(checkpoint, json.dumps(asdict(plan)), origin)
    done = kept.resume(learner, optimiser)
    with progress:
        while done < plan.steps:
            with undivided():
                random = np.random.default_rng((plan.seed, done))
                group = groups[random.integers(len(groups))]
                for one in optimiser.param_groups:
                    one["lr"] = plan.learning_rate * _schedule((done + 1) / plan.steps)
                loss = learner.judge(group, plan, random)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                done += 1
            progress.on_step(done, float(loss.detach()))
            if done % _CHECKPOINT_EVERY == 0 or done == plan.steps:
                kept.save(learner, optimiser, done)
    return learner.adapter.eval()


class _Learner(nn.Module):
    """The adapter, and the distance that parts clean from marked while it learns."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.adapter = Adapter(channels)
        self.border = nn.Parameter(torch.tensor(0.12))

    def judge(self, group: Examples, plan: AdaptingPlan, random: np.random.Generator) -> Tensor:
        """The loss of one comparison."""
        clean = random.permutation(len(group.clean))
        size = int(random.choice(plan.bank_sizes))
        half = plan.queries // 2
        bank, asked = clean[:size], clean[size : size + half]
        painted = random.choice(len(group.marked), plan.queries - len(asked), replace=False)
        seen = torch.cat([group.clean[asked], group.marked[painted]]).float()
        change = torch.cat(
            [torch.zeros(len(asked), *group.change.shape[1:]), group.change[painted]]
        )
        distance = -self._against(group.clean[bank].float(), seen)  # Eq. 1 has it negative
        beyond = (distance - self.border) / _SHARPNESS
        clear, dirty = change < _UNSEEN, change > _SEEN
        false = functional.softplus(beyond[clear])
        weight = (change[dirty] / _PLAIN).clamp(max=1)
        missed = (functional.softplus(-beyond[dirty]) * weight).sum() / weight.sum().clamp(min=1)
        hardest = false.topk(max(1, round(_HARDEST * len(false)))).values
        return false.mean() + hardest.mean() + missed

    def _against(self, bank: Tensor, seen: Tensor) -> Tensor:
        """D of pictures, against a bank of others, as recipes compare: each row with those beside it."""
        kept = functional.normalize(self.adapter.on_maps(bank), dim=1)
        rows = kept.permute(2, 0, 3, 1).flatten(1, 2)
        return MemoryBank(rows, "radius").distance_map(self.adapter.on_maps(seen))


def _patch_change(
    before: NDArray[np.uint8], after: NDArray[np.uint8], grid: tuple[int, int]
) -> Tensor:
    difference = np.abs(after.astype(np.int16) - before).mean(axis=3, dtype=np.float32)
    count, rows, columns = difference.shape
    cells = difference.reshape(count, grid[0], rows // grid[0], grid[1], columns // grid[1])
    return torch.from_numpy(cells.mean(axis=(2, 4)))


def _schedule(part: float) -> float:
    return min(part / 0.3, 1.0) * 0.5 * (1 + float(np.cos(np.pi * part)))


def adapt_command(
    images: Annotated[
        list[Path], typer.Option(help="folder of clean pictures of one type; give several")
    ],
    out: Annotated[Path, typer.Option(help="file of the adapter, .safetensors")],
    teacher: Annotated[
        str, typer.Option(help="that it follows; one without an adapter")
    ] = "inspector-deit-tiny",
    models: Annotated[Path, typer.Option(help="folder of the networks")] = Path("models"),
    steps: Annotated[int, typer.Option(min=1, help="optimiser steps")] = AdaptingPlan().steps,
    bank: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            max=_LARGEST_BANK,
            help="pictures that new ones are compared with in a step; may be given again",
            show_default=", ".join(map(str, BANK_SIZES)),
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="of everything random")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
) -> None:
    """Learn from clean cups of several types what clean cups differ by; good for types never seen."""
    if source(teacher).adapter is not None:
        raise RecipeError(
            f"the teacher {teacher} has an adapter already", "name the one that it follows"
        )
    torch.set_num_threads(threads)
    console = Console()
    segment = load_network(models / BACKGROUND, threads=threads).run
    view = ViewEntry(kind="polar", rows=POLAR_ROWS, columns=POLAR_COLUMNS)
    network = load_teacher(
        Teacher(teacher, rows=view.rows, columns=view.columns, depth=POLAR_DEPTH.get(teacher, 0)),
        models,
    )
    groups: list[Examples] = []
    for number, folder in enumerate(track(images, "looking at clean cups", console=console)):
        prepared = prepare_frames(clean_files(folder), segment, view, orientation=None)
        for path, why in prepared.refused:
            console.print(f"left out {path}: {why}", soft_wrap=True)
        groups += examples(prepared.views, network, POLAR_CONTRAST, seed + number)
    plan = AdaptingPlan(steps=steps, seed=seed, bank_sizes=tuple(bank or BANK_SIZES))
    checkpoint = out.with_suffix(".checkpoint.safetensors")
    adapter = adapt(groups, plan, checkpoint, TrainingProgress(steps, console))
    weights = {f"adapter.{name}": value for name, value in plain_weights(adapter).items()}
    save_adapter(out, weights)
    checkpoint.unlink()
    count = sum(len(group.clean) for group in groups)
    console.print(f"{out} is written: {len(images)} types, {count} clean views, {steps} steps")
