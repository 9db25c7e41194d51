"""``python -m inspector.detector``: prepare frames, teach a cup type, evaluate its recipe."""

import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from inspector.core.errors import InspectorError, RecipeError
from inspector.core.files import write_atomically
from inspector.detector.calibrating import SCORE_SHARE, calibrate
from inspector.detector.datasets import Labelled, clean_files, labelled_files
from inspector.detector.evaluation import Evaluation, Seen, evaluate, seen_cups
from inspector.detector.memory_bank import learn_bank
from inspector.detector.networks import Architecture, load_teacher
from inspector.detector.pictures import picture_files, survey
from inspector.detector.preparation import ORIENTATION, Prepared, chosen, prepare_frames
from inspector.detector.promise import Promise
from inspector.detector.recalibration import recalibrate
from inspector.detector.teaching import Lesson, features, network_views, teach
from inspector.detector.training import TrainingPlan
from inspector.engine import load_network, open_detector
from inspector.recipe import Recipe, Teacher, load_recipe
from inspector.recipe.manifest import FileEntry, ViewEntry
from inspector.recipe.recipe import picture_bytes
from inspector.recipe.weights import file_sha256
from inspector.vision import OrientationReference

app = typer.Typer(add_completion=False, help="Teach a cup type from clean pictures alone.")
console = Console()
BACKGROUND = "background.onnx"
_PLAN = TrainingPlan()
View = Annotated[
    Literal["upright", "polar"], typer.Option(help="what of the cup the networks compare")
]
VIEWS = {"upright": ViewEntry(), "polar": ViewEntry(kind="polar", rows=224, columns=784)}
INPUTS = {"upright": (280, 280), "polar": (224, 784)}
"""Rows and columns that the networks read of each view."""
STRATEGIES = {
    "upright": ("brightness-contrast", "rotation"),
    "polar": ("brightness-contrast", "turn"),
}
SCORE_SHARES = {"upright": SCORE_SHARE, "polar": 0.0}
"""A small defect is one patch among 896: averaged over 1 % of them it drowns."""
Models = Annotated[Path, typer.Option(help="folder of the networks")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads")]


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


@app.command("prepare")
def prepare_command(
    frames: Annotated[
        list[Path],
        typer.Option(help="folder of clean frames, each at another angle; may be given again"),
    ],
    out: Annotated[Path, typer.Option(help="folder for cup images and orientation")],
    view: View = "polar",
    models: Models = Path("models"),
) -> None:
    """Find, turn and cut out the cup of every clean frame."""
    segment = load_network(models / BACKGROUND).run
    files = [path for folder in frames for path in clean_files(folder)]
    with _progress() as progress:
        task = progress.add_task("preparing")
        prepared = prepare_frames(
            files,
            segment,
            VIEWS[view],
            orientation="learn",
            on_progress=lambda done, of: progress.update(task, completed=done, total=of),
        )
    _write_views(prepared, out)
    for path, why in prepared.refused:
        console.print(f"left out {path}: {why}")
    for note in prepared.notes:
        console.print(note)
    console.print(f"{len(prepared.views)} cup images in {out}")


def _write_views(prepared: Prepared, out: Path) -> None:
    if prepared.orientation is not None:
        write_atomically(out / ORIENTATION, prepared.orientation)
    for number, view in enumerate(prepared.views):
        write_atomically(out / "images" / f"{number:05d}.png", picture_bytes(view))


def _views_in(folder: Path) -> NDArray[np.uint8]:
    views = survey(picture_files(folder / "images"))
    return np.stack([views.colour(path) for path in views.files])


@app.command("teach")
def teach_command(
    name: Annotated[str, typer.Option(help="of the recipe, e.g. type-01")],
    prepared: Annotated[Path, typer.Option(help="what 'prepare' wrote")],
    out: Annotated[Path, typer.Option(help="the recipe's folder")],
    models: Models = Path("models"),
    training: Annotated[int, typer.Option(min=1, help="pictures to train on")] = 84,
    steps: Annotated[int, typer.Option(min=2, help="optimiser steps")] = 1600,
    batch: Annotated[int, typer.Option(min=1, help="pictures a step")] = _PLAN.batch,
    view: View = "polar",
    false_rejects: Annotated[float, typer.Option(help="rate asked for")] = 0.01,
    seed: Annotated[int, typer.Option(help="of everything random")] = 0,
    threads: Threads = 2,
) -> None:
    """Train, calibrate, export and write a recipe; an interrupted run goes on where it was."""
    torch.set_num_threads(threads)
    rows, columns = INPUTS[view]
    lesson = Lesson(
        name=name,
        teacher=Teacher(rows=rows, columns=columns),
        architecture=Architecture(rows=rows, columns=columns),
        plan=TrainingPlan(
            steps=steps, batch=batch, seed=seed, strategies=STRATEGIES[view], start="random"
        ),
        view=VIEWS[view],
        score_share=SCORE_SHARES[view],
        training_images=training,
        false_reject_rate=false_rejects,
    )
    background, orientation = models / BACKGROUND, prepared / ORIENTATION
    for needed in (background, orientation):
        if not needed.is_file():
            raise RecipeError(
                f"{needed} is missing", "run 'python -m inspector.detector prepare' first"
            )
    checkpoint = prepared / f"{name}.checkpoint.safetensors"
    with _progress() as progress:
        task = progress.add_task("training", total=steps)
        losses: list[float] = []

        def on_step(step: int, loss: float) -> None:
            losses.append(loss)
            recent = sum(losses[-50:]) / len(losses[-50:])
            progress.update(task, completed=step, description=f"step {step}, loss {recent:.4f}")

        recipe, promise = teach(
            lesson,
            _views_in(prepared),
            out,
            models,
            orientation=orientation.read_bytes(),
            background=FileEntry(file=BACKGROUND, sha256=file_sha256(background)),
            checkpoint=checkpoint,
            on_step=on_step,
        )
    open_detector(recipe, threads)
    checkpoint.unlink(missing_ok=True)
    _tell(recipe, promise)


def _tell(recipe: Recipe, promise: Promise) -> None:
    console.print(f"{recipe.label} is written and agrees with its golden images")
    console.print(
        f"false rejects promised: at most {promise.false_reject_rate:.2%} of clean cups, with "
        f"{promise.confidence:.0%} confidence, from {promise.images} {promise.scored_on} pictures"
    )
    if promise.images_needed:
        missing = promise.images_needed - promise.images
        console.print(f"{promise.wanted:.2%} were asked for: that takes {missing} more pictures")


@app.command("calibrate")
def calibrate_command(
    recipe_folder: Annotated[Path, typer.Option("--recipe", help="the recipe's folder")],
    prepared: Annotated[Path, typer.Option(help="what 'prepare' wrote for it")],
    false_rejects: Annotated[float, typer.Option(help="rate asked for")],
    seed: Annotated[int, typer.Option(help="that it was taught with")] = 0,
    models: Models = Path("models"),
    threads: Threads = 2,
) -> None:
    """Fit a recipe's thresholds anew, e.g. for another false-reject rate; the networks stay."""
    recipe = load_recipe(recipe_folder, models)
    detector = open_detector(recipe, threads)
    views = _views_in(prepared)
    with _progress() as progress:
        task = progress.add_task("comparing", total=len(views))

        def distances(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
            maps = []
            for picture in pictures:
                maps.append(detector.distances(picture[None]))
                progress.advance(task)
            return np.concatenate(maps)

        recipe, promise = recalibrate(recipe, models, views, distances, false_rejects, seed)
    open_detector(recipe, threads)
    _tell(recipe, promise)


@app.command("evaluate")
def evaluate_command(
    recipe_folder: Annotated[Path, typer.Option("--recipe", help="the recipe's folder")],
    frames: Annotated[Path, typer.Option(help="test set in MVTec AD's layout")],
    clean: Annotated[
        list[Path] | None, typer.Option(help="folder of further clean frames; may be given again")
    ] = None,
    models: Models = Path("models"),
    json_file: Annotated[Path | None, typer.Option("--json", help="write the figures")] = None,
    bank: Annotated[
        Path | None,
        typer.Option(help="what 'prepare' wrote for the recipe: compares with a memory bank"),
    ] = None,
    threads: Threads = 2,
) -> None:
    """Judge test pictures as the line would and print what was found."""
    recipe = load_recipe(recipe_folder, models)
    detector = open_detector(recipe, threads)
    if recipe.orientation is None or recipe.background is None:
        console.print("this recipe says neither where a cup is nor which way it faces")
        raise typer.Exit(2)
    reference = OrientationReference.load(recipe.orientation)
    labelled = labelled_files(frames)
    labelled += [
        Labelled("good", path, None) for folder in clean or () for path in picture_files(folder)
    ]
    with _progress() as progress:
        segment = load_network(recipe.background).run
        task = progress.add_task("looking")
        pictures = list(
            seen_cups(
                labelled,
                segment,
                reference,
                recipe.manifest.view,
                lambda done, of: progress.update(task, completed=done, total=of),
            )
        )
    results = {
        "student": evaluate(recipe.calibration, recipe.manifest.view, pictures, detector.distances)
    }
    if bank is not None:
        torch.set_num_threads(threads)
        results["memory bank"] = _bank_result(recipe, _views_in(bank), pictures)
    for title, result in results.items():
        console.print(_table(f"{recipe.label}, {title}", result))
    if json_file is not None:
        figures = {title: result.as_json() for title, result in results.items()}
        json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _bank_result(recipe: Recipe, clean: NDArray[np.uint8], pictures: list[Seen]) -> Evaluation:
    """The same pictures judged by a memory bank on the same teacher, calibrated the same way."""
    teacher = load_teacher(recipe.teacher, recipe.models)
    training, held_out = chosen(len(clean), recipe.manifest.calibration.training_images, seed=0)
    views = network_views(clean, recipe.teacher)
    polar = recipe.manifest.view.kind == "polar"
    memory = learn_bank(features(teacher, views[training]), "radius" if polar else "everywhere")

    def distances(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        maps = memory.distance_map(features(teacher, network_views(images, recipe.teacher)))
        return np.asarray(maps.numpy(), np.float32)

    wanted = recipe.manifest.calibration.false_reject_rate
    calibration, _ = calibrate(
        distances(clean[held_out]), None, wanted, recipe.calibration.score_share
    )
    return evaluate(calibration, recipe.manifest.view, pictures, distances)


def _table(title: str, result: Evaluation) -> Table:
    table = Table("kind", "images", "rejected", "refused by vision", title=title)
    for kind, counts in result.kinds.items():
        share = f"{counts.rejected} ({counts.rejected / counts.images:.0%})"
        table.add_row(kind, str(counts.images), share, str(counts.refused))
    table.caption = (
        f"image AUROC {result.figures.image_auroc:.3f}, pixel AUROC {result.figures.pixel_auroc:.3f}, "
        f"detected {result.detection_rate:.1%}, false rejects {result.false_reject_rate:.1%}"
    )
    return table


if __name__ == "__main__":
    try:
        app(standalone_mode=True)
    except InspectorError as error:
        Console(stderr=True).print(f"[red]{error}[/red]")
        raise SystemExit(2) from error
