"""The commands of the method: teach a cup type, evaluate its recipe, sweep over ways to teach, distil."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from inspector.core.errors import RecipeError
from inspector.core.files import check_results, write_result
from inspector.detector.adapting import adapt_command
from inspector.detector.bundle import Clean
from inspector.detector.checkpoint import going_on
from inspector.detector.corruption import STRATEGIES
from inspector.detector.datasets import GOOD, clean_files, labelled_files
from inspector.detector.distilling import distil_command
from inspector.detector.evaluation import Evaluation, evaluate, seen_cups, seen_whole
from inspector.detector.lesson import (
    BACKGROUND,
    CUPS_TEACHER,
    POLAR_DEPTH,
    Lesson,
    counted,
    polar_view,
)
from inspector.detector.overlays import telling_cases, write_sheet
from inspector.detector.preparation import Prepared, prepare_frames, views_of
from inspector.detector.promise import Promise
from inspector.detector.sweep import sweep_command
from inspector.detector.teaching import teach, training_count
from inspector.detector.thumbnail import TrainingProgress
from inspector.detector.training import TrainingPlan
from inspector.engine import load_network, open_detector
from inspector.recipe import Teacher, load_recipe
from inspector.recipe.manifest import FileEntry, ViewEntry
from inspector.recipe.recipe import MANIFEST
from inspector.recipe.weights import file_sha256
from inspector.vision import FEWEST, OrientationReference, Segment

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
# Names of folders and files are printed as they are, also those that look like markup: "[old]".
console = Console(markup=False, emoji=False)
CUP_IMAGE = 384
_PLAN = TrainingPlan()
_OFFERED = [name for name in STRATEGIES if name != "transfer"]
"""Transfer needs pictures of other types: a sweep over a folder of several has them."""
ViewName = Literal["polar", "coarse", "upright", "round"]
_Models = Annotated[Path, typer.Option(help="folder of the networks")]
_Threads = Annotated[int, typer.Option(min=1, help="CPU threads")]
_Background = Annotated[
    bool,
    typer.Option(
        "--background/--no-background",
        help="the pictures are camera frames in which the cup must be found, or things that are no cups, "
        "compared whole",
    ),
]
_Orientation = Annotated[
    bool,
    typer.Option(
        "--orientation/--no-orientation", help="turn cups upright by their print, or leave them"
    ),
]


@app.command("teach")
def teach_command(
    name: Annotated[str, typer.Option(help="of the recipe, e.g. type-02")],
    images: Annotated[
        list[Path],
        typer.Option(help="folder of clean pictures, or a data set's; may be given again"),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="the recipe's folder  [default: calibration/NAME, in int8 NAME-int8]"),
    ] = None,
    models: _Models = Path("models"),
    teacher: Annotated[
        str | None,
        typer.Option(
            help="whose features are compared",
            show_default=f"{CUPS_TEACHER} for polar views, {Teacher().name} for others",
        ),
    ] = None,
    teacher_file: Annotated[
        Path | None, typer.Option(help="its weights, where they come from a local file")
    ] = None,
    depth: Annotated[int, typer.Option(min=0, help="its blocks; 0: as measured best")] = 0,
    view: Annotated[
        ViewName,
        typer.Option(
            help="what of a cup is compared; coarse: polar, in little more than half the work; "
            "round: upright, without the patches beside the cup; what is no cup is compared whole, whatever "
            "this says"
        ),
    ] = "polar",
    background: _Background = True,
    orientation: _Orientation = True,
    scorer: Annotated[
        Literal["auto", "bank", "student"],
        typer.Option(help="auto: a bank at once, a student when it does better on clean pictures"),
    ] = "auto",
    strategy: Annotated[
        list[str] | None,
        typer.Option(help=f"of training; may be given again: {', '.join(_OFFERED)}"),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=2, help="of training")] = None,
    width: Annotated[
        int | None, typer.Option(min=64, help="of the student's tokens; starts at random")
    ] = None,
    as_published: Annotated[
        bool, typer.Option(help="the paper's own training plan and output norm")
    ] = False,
    false_rejects: Annotated[float, typer.Option(help="rate asked for")] = 0.01,
    keep_suspects: Annotated[
        bool, typer.Option(help="learn from pictures that look stained as well")
    ] = False,
    precision: Annotated[
        Literal["float32", "int8"], typer.Option(help="of the teacher; int8 takes --scorer bank")
    ] = "float32",
    seed: Annotated[int, typer.Option(min=0, help="of everything random")] = 0,
    threads: _Threads = 2,
) -> None:
    """Clean pictures in, a verified recipe out; an interrupted training goes on where it was."""
    torch.set_num_threads(threads)
    if teacher is None:
        on_rings = background and view in ("polar", "coarse")
        teacher = CUPS_TEACHER if on_rings and not as_published else Teacher().name
    seen = _view(view, background, teacher)
    polar = seen.kind == "polar"
    strategies = tuple(strategy or _PLAN.strategies)
    plan = replace(
        _PLAN, strategies=strategies, seed=seed, start="random" if width else _PLAN.start
    )
    # A folder given twice, or beside one that it lies in, gives its pictures once.
    found = {path.resolve(): path for folder in images for path in clean_files(folder)}
    files = list(found.values())
    if steps is not None:
        plan = replace(plan, steps=steps)
    lesson = Lesson(
        name=name,
        teacher=Teacher(
            teacher,
            # A polar view is read as it is, a square one at the teacher's own size.
            rows=seen.rows if polar else 0,
            columns=seen.columns if polar else 0,
            depth=depth or (POLAR_DEPTH.get(teacher, 0) if polar else 0),
            output_norm="final" if as_published else "plain",
            cup_only=seen.kind == "round",
            file=teacher_file,
        ),
        view=seen,
        scorer=scorer,
        plan=plan,
        width=width,
        false_reject_rate=false_rejects,
        keep_suspects=keep_suspects,
        precision=precision,
    )
    folder = out or Path("calibration") / (name if precision == "float32" else f"{name}-int8")
    # Before a graph is written that no recipe names.
    check_results(folder / MANIFEST, models / f"{name}-bank.onnx")
    prepared, found_by = _prepared(files, seen, models, background, orientation, threads)
    for path, why in prepared.refused:
        console.print(f"left out {path}: {why}", soft_wrap=True)
    if prepared.rejected:
        console.print(
            f"{prepared.rejected} of these the line would refuse as well: among the clean cups they count "
            "as rejected",
            soft_wrap=True,
        )
    for note in prepared.notes:
        console.print(note, soft_wrap=True)
    if as_published:
        # Of what vision left. The guard may leave out some of these yet: then it is a few epochs more.
        plan = TrainingPlan.as_published(training_count(len(prepared.files)), strategies, seed)
        plan = plan if steps is None else replace(plan, steps=steps)
        lesson = replace(lesson, plan=plan)
    names = [str(path) for path in prepared.files]
    clean = Clean(
        prepared.views,
        names,
        prepared.orientation,
        found_by,
        rejected=prepared.rejected,
        bits=prepared.bits,
        aspect=prepared.aspect,
    )
    checkpoint = folder / "training.checkpoint.safetensors"

    def tell(text: str) -> None:
        console.print(text, soft_wrap=True)

    with going_on(checkpoint, tell), TrainingProgress(plan.steps, console) as progress:
        taught = teach(
            lesson,
            clean,
            folder,
            models,
            tell=tell,
            checkpoint=checkpoint,
            on_step=progress.on_step,
            on_look=progress.on_look,
        )
    open_detector(taught.recipe, threads)
    checkpoint.unlink(missing_ok=True)
    console.print(f"{taught.recipe.label} in {folder} is whole and agrees with its golden images")
    _tell(taught.promise)


@app.command("evaluate")
def evaluate_command(
    recipe_folder: Annotated[Path, typer.Option("--recipe", help="the recipe's folder")],
    dataset: Annotated[Path, typer.Option(help="test set in MVTec AD's layout, any image size")],
    json_file: Annotated[Path | None, typer.Option("--json", help="write the figures")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="write best, worst and median cases as a PNG")
    ] = None,
    models: _Models = Path("models"),
    background: _Background = True,
    orientation: _Orientation = True,
    threads: _Threads = 2,
) -> None:
    """Judge test pictures as the line would, compare with the truth, and print what was found."""
    recipe = load_recipe(recipe_folder, models)
    view, bits = recipe.manifest.view, recipe.manifest.bits
    if not background and view.kind != "whole":
        raise RecipeError(
            f"{recipe.label} compares cups that must be found first",
            "leave out --no-background, or teach from whole pictures: teach --no-background",
        )
    if not orientation and recipe.orientation is not None:
        raise RecipeError(
            f"{recipe.label} compares cups that a line turns upright",
            "leave out --no-orientation, or teach from cups as they lie: teach --no-orientation",
        )
    check_results(json_file, sheet)
    detector = open_detector(recipe, threads)
    labelled = labelled_files(dataset)
    with _bar() as bar:
        task = bar.add_task("judging", total=None)

        def on_progress(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        if recipe.background is None:
            pictures = seen_whole(
                labelled, view, on_progress, bits=bits, aspect=recipe.manifest.aspect
            )
        else:
            upright = recipe.orientation
            reference = OrientationReference.load(upright) if upright is not None else None
            segment = load_network(recipe.background, threads=threads).run
            pictures = seen_cups(labelled, segment, reference, view, on_progress, bits=bits)
        result = evaluate(recipe.calibration, view, pictures, detector.distances)
    console.print(_table(recipe.label, result))
    for caveat in _caveats(result):
        console.print(caveat, soft_wrap=True)
    if json_file is not None:
        figures = {"recipe": recipe.label, "dataset": dataset.name, **result.as_json()}
        write_result(json_file, (json.dumps(figures, indent=1) + "\n").encode())
    if sheet is not None:
        write_sheet(sheet, telling_cases(result.judged, recipe.calibration))


app.command("sweep")(sweep_command)
app.command("distil")(distil_command)
app.command("adapt")(adapt_command)


def _view(view: ViewName, background: bool, teacher: str) -> ViewEntry:
    """What the networks compare."""
    if not background:
        side = Teacher(teacher).rows
        return ViewEntry(kind="whole", rows=side, columns=side)
    if view == "upright" or view == "round":
        return ViewEntry(kind=view, rows=CUP_IMAGE, columns=CUP_IMAGE)
    return polar_view(teacher, coarse=view == "coarse")


def _prepared(
    files: list[Path],
    view: ViewEntry,
    models: Path,
    background: bool,
    orientation: bool,
    threads: int,
) -> tuple[Prepared, FileEntry | None]:
    """Views of clean pictures, and the network that found the cups."""
    with _bar() as bar:
        task = bar.add_task("looking", total=None)

        def on_progress(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        if not background:
            return views_of(files, view, on_progress), None
        path = models / BACKGROUND
        segment: Segment = load_network(path, threads=threads).run
        learn = orientation and len(files) >= FEWEST
        if orientation and not learn:
            console.print(
                f"cups are not turned: below {FEWEST} pictures no print can be learned to turn them by",
                soft_wrap=True,
            )
        prepared = prepare_frames(
            files, segment, view, orientation="learn" if learn else None, on_progress=on_progress
        )
        return prepared, FileEntry(file=BACKGROUND, sha256=file_sha256(path))


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def _tell(promise: Promise) -> None:
    if promise.scored_on == "augmented views":
        console.print("nothing is promised: too few clean pictures for a student's thresholds")
        return
    console.print(
        f"false rejects promised: with {promise.confidence:.0%} confidence at most "
        f"{promise.false_reject_rate:.1%} of clean parts, {promise.expected_rate:.1%} expected, from "
        f"{promise.images} clean pictures ({promise.scored_on}){counted(promise)}",
        soft_wrap=True,
    )
    if promise.images_needed:
        missing = promise.images_needed - promise.recorded
        console.print(f"{promise.wanted:.1%} were asked for: that takes {missing} more pictures")


def _caveats(result: Evaluation) -> Iterator[str]:
    """What the figures leave out or take otherwise than their reader may think, a sentence each."""
    images = sum(counts.images for counts in result.kinds.values())
    refused = sum(counts.refused for counts in result.kinds.values())
    if refused:
        yield (
            f"{refused} of {images} pictures were refused by vision: they count as rejected, and are left "
            "out of AUROC, F1 and AU-PRO"
        )
    bad = [one for one in result.judged if one.kind != GOOD]
    unmarked = [one.name for one in bad if not one.mask.any()]
    if unmarked:
        yield (
            f"{len(unmarked)} of {len(bad)} defective pictures have masks that mark nothing (first: "
            f"{unmarked[0]}): in pixel figures all of theirs count as clean"
        )


def _table(title: str, result: Evaluation) -> Table:
    table = Table("kind", "images", "rejected", "refused by vision", "image AUROC", title=title)
    for kind, counts in result.kinds.items():
        share = f"{counts.rejected} ({counts.rejected / counts.images:.0%})"
        told_apart = "" if counts.image_auroc is None else f"{counts.image_auroc:.3f}"
        table.add_row(kind, str(counts.images), share, str(counts.refused), told_apart)
    found = result.figures
    table.caption = (
        f"image AUROC {found.image_auroc:.3f}, F1 {found.image_f1:.3f} (best {found.image_f1_best:.3f}); "
        f"pixel AUROC {found.pixel_auroc:.3f}, F1 {found.pixel_f1:.3f} (best {found.pixel_f1_best:.3f}); "
        f"AU-PRO {found.au_pro:.3f}; detected {result.detection_rate:.1%}, "
        f"false rejects {result.false_reject_rate:.1%}"
    )
    return table
