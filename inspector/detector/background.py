"""The background network: a small U-Net that tells cup from belt, trained on pictures of clean cups.

It reads the whole frame at 240×160 (``inspector.vision.background``). The first step moves 2×2 pixels
into channels, so that the convolutions run at a quarter of the pixels and the answer still has them
all. It learns coverage, not classes: on a rim pixel that is 30 % cup it says 0.3, which is what lets
the rim be placed far finer than a pixel.

    python -m inspector.detector.background train --images DIR --out models/background.onnx
    python -m inspector.detector.background evaluate --images DIR --model models/background.onnx
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn import functional

from inspector.core.errors import EngineError, InspectorError, RecipeError
from inspector.detector.scenes import Pictures, batch_of_scenes, read_pictures
from inspector.vision import INPUT_HEIGHT, INPUT_WIDTH

_CELL = 2
"""Edge of the cells of pixels that become channels."""
OPSET = 20
CHECKPOINT_EVERY = 250
"""Steps between two checkpoints."""


@dataclass(frozen=True, slots=True)
class BackgroundPlan:
    """How the background network is trained; the same plan and pictures give the same network.

    Attributes:
        channels: of the first level; each level below has twice as many.
        levels: resolutions, each half of the one above.
        steps: optimiser steps.
        batch: scenes a step.
        learning_rate: Adam's at the start; it falls to zero along half a cosine.
        seed: of everything random.
    """

    channels: int = 12
    levels: int = 4
    steps: int = 3000
    batch: int = 12
    learning_rate: float = 4e-3
    seed: int = 0


class BackgroundNetwork(nn.Module):
    """U-Net: N×160×240×3 uint8 RGB (0 to 255) → N×160×240 logits of cup."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(levels)]
        entries = [3 * _CELL**2, *widths[:-1]]
        self.down = nn.ModuleList(
            _convolutions(entry, width) for entry, width in zip(entries, widths, strict=True)
        )
        pairs = list(pairwise(widths))
        self.narrow = nn.ModuleList(nn.Conv2d(deep, shallow, 1) for shallow, deep in pairs)
        self.up = nn.ModuleList(_convolutions(2 * shallow, shallow) for shallow, _ in pairs)
        self.last = nn.Conv2d(channels, _CELL**2, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits of the probability that a pixel is cup."""
        features = (pictures.float() / 127.5 - 1.0).permute(0, 3, 1, 2)
        features = functional.pixel_unshuffle(features, _CELL)
        passed = []
        for level, convolutions in enumerate(self.down):
            if level:
                features = functional.max_pool2d(features, 2)
            features = convolutions(features)
            passed.append(features)
        for level in reversed(range(len(self.up))):
            wider = functional.interpolate(self.narrow[level](features), scale_factor=2.0)
            features = self.up[level](torch.cat([passed[level], wider], dim=1))
        return functional.pixel_shuffle(self.last(features), _CELL)[:, 0]


def _convolutions(entry: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(entry, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )


class _Probability(nn.Module):
    """What is exported: the network with its sigmoid."""

    def __init__(self, network: BackgroundNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        return torch.sigmoid(self.network(pictures))


def train(
    pictures: Pictures,
    plan: BackgroundPlan,
    checkpoint: Path | None = None,
    on_step: Callable[[int, float], None] = lambda _step, _loss: None,
) -> BackgroundNetwork:
    """Train the network on scenes made of clean pictures.

    Args:
        pictures: frames and their cup masks.
        plan: how.
        checkpoint: file to go on from when it exists, and to save to on the way.
        on_step: called after each step with its number from 1 and its loss.

    Returns:
        The network, in evaluation mode.

    Raises:
        RecipeError: the checkpoint is damaged or belongs to another plan.
    """
    torch.manual_seed(plan.seed)
    network = BackgroundNetwork(plan.channels, plan.levels).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=plan.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, plan.steps)
    done = _resume(checkpoint, network, optimiser, schedule, plan) if checkpoint else 0
    for step in range(done, plan.steps):
        # Everything random comes from the seed and the step: an interrupted run goes on unchanged.
        random = np.random.default_rng((plan.seed, step))
        images, coverage = batch_of_scenes(pictures, plan.batch, random)
        logits = network(torch.from_numpy(images))
        loss = functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(coverage))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        on_step(step + 1, float(loss.detach()))
        if checkpoint is not None and (step + 1) % CHECKPOINT_EVERY == 0:
            state = {
                "plan": asdict(plan),
                "step": step + 1,
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
            }
            partial = checkpoint.with_name(checkpoint.name + ".part")
            torch.save(state, partial)
            partial.replace(checkpoint)
    return network.eval()


def _resume(
    checkpoint: Path,
    network: BackgroundNetwork,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    plan: BackgroundPlan,
) -> int:
    """Load a checkpoint where there is one; returns the steps it has behind it."""
    if not checkpoint.exists():
        return 0
    remedy = f"delete {checkpoint} to train from the start"
    try:
        state = torch.load(checkpoint, weights_only=True)
        if state["plan"] != asdict(plan):
            raise RecipeError(f"{checkpoint} was written under another plan", remedy)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        return int(state["step"])
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise RecipeError(f"{checkpoint} is no checkpoint of this network", remedy) from error


def export(network: BackgroundNetwork, path: Path) -> None:
    """Write the network as ONNX: ``picture`` N×160×240×3 uint8 → ``probability`` N×160×240."""
    pictures = torch.zeros((2, INPUT_HEIGHT, INPUT_WIDTH, 3), dtype=torch.uint8)
    partial = path.with_name(path.name + ".part")
    with warnings.catch_warnings():
        # The older exporter announces its successor, which needs onnxscript for the same graph.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            _Probability(network).eval(),
            (pictures,),
            str(partial),
            opset_version=OPSET,
            dynamo=False,
            input_names=["picture"],
            output_names=["probability"],
            dynamic_axes={"picture": {0: "batch"}, "probability": {0: "batch"}},
        )
    partial.replace(path)


def overlap(probability: NDArray[np.float32], coverage: NDArray[np.float32]) -> float:
    """Intersection over union at 0.5; 1 where both are empty."""
    said, true = probability > 0.5, coverage > 0.5
    union = int((said | true).sum())
    return int((said & true).sum()) / union if union else 1.0


app = typer.Typer(add_completion=False, help="Train and evaluate the background network.")
Images = Annotated[
    Path, typer.Option(help="folder of picture sets (python -m inspector.twin.cups images)")
]


@app.command("train")
def train_command(
    images: Images,
    out: Annotated[Path, typer.Option(help="the .onnx file to write")],
    steps: Annotated[int, typer.Option(help="optimiser steps")] = BackgroundPlan().steps,
    seed: Annotated[int, typer.Option(min=0, help="of everything random")] = 0,
) -> None:
    """Train on clean pictures and export; an interrupted run goes on where it was."""
    os.nice(10)
    plan = BackgroundPlan(steps=steps, seed=seed)
    checkpoint = out.with_suffix(".checkpoint")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("reading", total=plan.steps)
        losses: list[float] = []

        def on_step(step: int, loss: float) -> None:
            losses.append(loss)
            recent = sum(losses[-100:]) / len(losses[-100:])
            progress.update(task, completed=step, description=f"step {step}, loss {recent:.4f}")

        network = train(read_pictures(images), plan, checkpoint, on_step)
    out.parent.mkdir(parents=True, exist_ok=True)
    export(network, out)
    checkpoint.unlink(missing_ok=True)
    Console().print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


@app.command("evaluate")
def evaluate_command(
    images: Images,
    model: Annotated[Path, typer.Option(help="the .onnx file to judge")],
    part: Annotated[str, typer.Option(help="train: clean cups; test: all kinds")] = "test",
) -> None:
    """Print intersection over union on pictures the network has not seen."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise EngineError(f"{model} cannot be loaded", "train it anew") from error
    pictures = read_pictures(images, part, INPUT_WIDTH, INPUT_HEIGHT)
    scores = []
    for frame, coverage in zip(pictures.frames, pictures.coverage, strict=True):
        probability = session.run(None, {"picture": frame[None]})[0][0]
        scores.append(overlap(probability, coverage))
    Console().print(
        f"{len(scores)} pictures: IoU mean {np.mean(scores):.4f}, 1 % {np.quantile(scores, 0.01):.4f}, "
        f"worst {min(scores):.4f} ({pictures.names[int(np.argmin(scores))]})",
        markup=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    try:
        app(standalone_mode=True)
    except InspectorError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        raise SystemExit(2) from error
