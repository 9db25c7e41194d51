"""An adapter behind a frozen teacher: learned from clean cups of several types, good for a type never seen.

Few clean pictures show few drops, little wear and one light, and a bank of them calls every other drop a
fault. What clean cups differ by is much the same from type to type. So a small network behind the teacher
learns it once, from clean cups of some types that are disguised as many (:mod:`inspector.detector.disguise`):
in every comparison a few clean pictures of one make a bank, others are compared with it, some of them with
marks painted over (:mod:`inspector.detector.marks`), and the adapter moves the features until what is painted
is far from the bank and what is clean is near. No defective cup is seen; bank, calibration and promise stay
what they are.

    inspector adapt --images cups/type-01 --images cups/type-02 --out models/cups-adapter.safetensors
"""

import json
from collections.abc import Sequence
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
from inspector.core.files import check_results
from inspector.detector.checkpoint import (
    Checkpoint,
    arrays_sha256,
    going_on,
    undivided,
    when_stopped,
)
from inspector.detector.datasets import clean_files
from inspector.detector.disguise import disguised
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
from inspector.detector.pictures import survey
from inspector.detector.preparation import prepare_frames
from inspector.detector.thumbnail import TrainingProgress
from inspector.engine import load_network
from inspector.recipe import Teacher
from inspector.recipe.manifest import ViewEntry
from inspector.recipe.sources import how_it_teaches, source
from inspector.recipe.weights import save_adapter
from inspector.vision.polar import contrasted

BANK_SIZES = (1, 2, 3, 5)
"""Clean pictures that a bank may be made of: few, as a new type's are, and often all of one cup."""
CLEAN, MARKED = 8, 6
"""Cups of a scene: clean ones, the bank's among them, and others with marks."""
SCENES = 600
"""Disguises in all, of one type after the other; comparisons that share one have other cups in their banks.
They are held in memory: of the larger teacher 6 GB, however many types there are."""
_ASKED = 3
"""Clean pictures compared with a bank, and marked ones."""
_LARGEST_BANK = CLEAN - _ASKED
_FAINTEST = 0.3
"""Marks come in their full strength, down to this part of it."""
_SEEN, _UNSEEN = 2.0, 0.2
"""Grey levels by which a patch is changed on average, contrast raised: marked above, clean below."""
_PLAIN = 8.0
"""From here on a mark counts fully; a fainter one less, down to a quarter."""
_HARDEST = 0.01
"""Share of clean patches that count a second time: what a cup is rejected for is its hottest patch."""
_SHARPNESS = 0.03
"""Of the loss, in cosine distance: patches so far on the right side of the border hardly count."""
_RISE = 0.2
"""Part of the steps in which the learning rate rises to its highest."""
_CHECKPOINT_EVERY = 50


@dataclass(frozen=True, slots=True)
class AdaptingPlan:
    """How an adapter is trained.

    Attributes:
        steps: optimiser steps.
        comparisons: of a step, each in a scene of its own.
        learning_rate: AdamW's at its highest; it falls to zero in the end.
        seed: of everything random.
        bank_sizes: clean pictures that a bank may be made of, at most 5.
    """

    steps: int = 1200
    comparisons: int = 2
    learning_rate: float = 1e-3
    seed: int = 0
    bank_sizes: tuple[int, ...] = BANK_SIZES


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Pictures of one type in one disguise, as the teacher sees them.

    Attributes:
        clean: n×C×h×w float16.
        marked: of other cups, m×C×h×w float16.
        change: m×h×w float32, grey levels by which the marks changed each patch on average.
    """

    clean: Tensor
    marked: Tensor
    change: Tensor


def scene(
    views: NDArray[np.uint8],
    teacher: FeatureNetwork,
    contrast: float,
    random: np.random.Generator,
) -> Scene:
    """Some clean cups of one type in a disguise, and others with marks.

    Args:
        views: n×R×K×3 uint8, polar, contrast 1.
        teacher: frozen, for views of this size.
        contrast: that recipes raise it to.
        random: which cups, what they become, and the marks.

    Raises:
        RecipeError: the pictures are too few.
    """
    if len(views) < CLEAN + MARKED:
        raise RecipeError(
            f"{len(views)} clean pictures of a type are too few to compare with each other",
            f"give at least {CLEAN + MARKED} of each type",
        )
    cups = disguised(views[random.permutation(len(views))[: CLEAN + MARKED]], random)
    dirty = [marked(one, random, random.uniform(_FAINTEST, 1)) for one in cups[CLEAN:]]
    plain = np.stack([contrasted(one, contrast) for one in cups])
    painted = np.stack([contrasted(one, contrast) for one in dirty])
    return Scene(
        features(teacher, plain[:CLEAN]).half(),
        features(teacher, painted).half(),
        _patch_change(plain[CLEAN:], painted, teacher.architecture.grid),
    )


def adapt(
    scenes: Sequence[Scene], plan: AdaptingPlan, checkpoint: Path, progress: TrainingProgress
) -> Adapter:
    """Train an adapter; an interrupted run goes on where it was.

    Args:
        scenes: of every type.
        plan: how.
        checkpoint: file to go on from when it exists, and to save to on the way, also when Ctrl-C
            interrupts.
        progress: shown on the way.

    Raises:
        RecipeError: the checkpoint belongs to another plan or other pictures, or cannot be written.
    """
    torch.manual_seed(plan.seed)
    learner = _Learner(scenes[0].clean.shape[1])
    optimiser = torch.optim.AdamW(learner.parameters(), plan.learning_rate, weight_decay=1e-2)
    origin = arrays_sha256({str(n): one.clean.numpy() for n, one in enumerate(scenes)})
    kept = Checkpoint(checkpoint, json.dumps(asdict(plan)), origin)
    done = kept.resume(learner, optimiser)
    with progress, when_stopped(lambda: kept.save(learner, optimiser, done)):
        while done < plan.steps:
            with undivided():
                random = np.random.default_rng((plan.seed, done))
                chosen = random.integers(len(scenes), size=plan.comparisons)
                for one in optimiser.param_groups:
                    one["lr"] = plan.learning_rate * _schedule((done + 1) / plan.steps)
                losses = [learner.judge(scenes[n], plan, random) for n in chosen]
                loss = torch.stack(losses).mean()
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

    def judge(self, shown: Scene, plan: AdaptingPlan, random: np.random.Generator) -> Tensor:
        """The loss of one comparison."""
        order = random.permutation(len(shown.clean))
        size = int(random.choice(plan.bank_sizes))
        bank, asked = order[:size], order[size : size + _ASKED]
        painted = random.choice(len(shown.marked), _ASKED, replace=False)
        seen = torch.cat([shown.clean[asked], shown.marked[painted]]).float()
        unchanged = torch.zeros(_ASKED, *shown.change.shape[1:])
        change = torch.cat([unchanged, shown.change[painted]])
        distance = -self._against(shown.clean[bank].float(), seen)  # Eq. 1 has it negative
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
    return min(part / _RISE, 1.0) * 0.5 * (1 + float(np.cos(np.pi * part)))


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
    seed: Annotated[int, typer.Option(min=0, help="of everything random")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
) -> None:
    """Learn from clean cups of several types what clean cups differ by; good for types never seen."""
    if source(teacher).adapter is not None:
        raise RecipeError(
            f"the teacher {teacher} has an adapter already", "name the one that it follows"
        )
    check_results(out)
    torch.set_num_threads(threads)
    console = Console(markup=False, emoji=False)
    segment = load_network(models / BACKGROUND, threads=threads).run
    view = ViewEntry(kind="polar", rows=POLAR_ROWS, columns=POLAR_COLUMNS)
    network = load_teacher(
        Teacher(teacher, rows=view.rows, columns=view.columns, depth=POLAR_DEPTH.get(teacher, 0)),
        models,
    )
    types = []
    given = [clean_files(folder) for folder in images]
    with console.status("opening clean cups …"):
        # One camera took them all: a type in which nothing is bright is read as the others are.
        bits = survey([path for files in given for path in files]).bits
    for files in track(given, "looking at clean cups", console=console):
        prepared = prepare_frames(files, segment, view, orientation=None, bits=bits)
        for path, why in prepared.refused:
            console.print(f"left out {path}: {why}", soft_wrap=True)
        types.append(prepared.views)
    scenes = [
        scene(
            types[number % len(types)],
            network,
            POLAR_CONTRAST,
            np.random.default_rng((seed, number)),
        )
        for number in track(range(SCENES), "disguising them", console=console)
    ]
    plan = AdaptingPlan(steps=steps, seed=seed, bank_sizes=tuple(bank or BANK_SIZES))
    checkpoint = out.with_suffix(".checkpoint.safetensors")
    with going_on(checkpoint, lambda text: console.print(text, soft_wrap=True)):
        adapter = adapt(scenes, plan, checkpoint, TrainingProgress(steps, console))
    weights = {f"adapter.{name}": value for name, value in plain_weights(adapter).items()}
    save_adapter(out, weights)
    checkpoint.unlink()
    count = sum(map(len, types))
    console.print(f"{out} is written: {len(images)} types, {count} clean views, {steps} steps")
    console.print(how_it_teaches(out), soft_wrap=True)
