"""``inspector sweep``: measure a study cell by cell, keep what is measured, print it beside the paper's."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from inspector.core.errors import InspectorError, RecipeError
from inspector.core.files import check_results, write_result
from inspector.detector.cells import Cell, Measured, Work, cell_of, measured
from inspector.detector.studies import STUDIES, Row, Study
from inspector.detector.study_results import Results
from inspector.detector.study_sets import StudySet, set_folders, study_set
from inspector.detector.study_tables import Outcome, left_out, markdown, printed
from inspector.detector.sweep_ray import on_ray
from inspector.engine import load_network
from inspector.recipe import Teacher
from inspector.recipe.manifest import ViewEntry
from inspector.vision import Segment

BACKGROUND = "background.onnx"
console = Console()


@dataclass(frozen=True, slots=True)
class Schedule:
    """The cells of a study, and the rows that have none.

    Attributes:
        cells: row, set's name and cell; cells that several rows share appear with each.
        skipped: why a row is not measured, by its name.
    """

    cells: tuple[tuple[Row, str, Cell], ...]
    skipped: dict[str, str]

    def distinct(self) -> list[Cell]:
        """Every cell once, in order."""
        return list({cell.key(): cell for _, _, cell in self.cells}.values())


def schedule(
    study: Study,
    sets: Sequence[StudySet],
    others: Sequence[StudySet],
    teacher: Teacher,
    steps: int | None,
    seeds: int,
) -> Schedule:
    """Cells in the order of measuring: seeds outermost, so that a study cut short has every row once.

    Args:
        study: rows.
        sets: under test.
        others: all there are, for ``transfer``.
        teacher: whose features.
        steps: see :func:`inspector.detector.studies.planned`.
        seeds: from 0; a row may set its own number.
    """
    cells, skipped = [], {}
    most = max(seeds, *(row.draws or 0 for row in study.rows))
    for seed in range(most):
        for on in sets:
            for row in study.rows:
                if seed >= (row.draws or seeds):
                    continue
                try:
                    cell = cell_of(row, on, others, teacher, steps, seed)
                    cells.append((row, on.name, cell))
                except InspectorError as error:
                    skipped[row.name] = str(error)
    return Schedule(tuple(cells), skipped)


def here(models: Path) -> Work:
    """Measure in this process, one cell after the other."""

    def work(
        cells: Iterable[Cell], on_step: Callable[[Cell, int], None]
    ) -> Iterator[tuple[Cell, Measured]]:
        for cell in cells:

            def stepped(step: int, _loss: float, cell: Cell = cell) -> None:
                on_step(cell, step)

            yield cell, measured(cell, models, stepped)

    return work


def run(plan: Schedule, results: Results, work: Work) -> None:
    """Measure the cells that are not measured yet and keep each result at once.

    Raises:
        RecipeError: the results cannot be written, or a cell cannot be measured.
        EngineError: a teacher's weights or a package are missing.
    """
    cells = plan.distinct()
    left = [cell for cell in cells if results.get(cell) is None]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps,"),
        TimeRemainingColumn(),
    )
    # Cells take minutes: the rate is that of the last hour.
    with Progress(*columns, console=console, speed_estimate_period=3600) as progress:
        total = sum(cell.steps for cell in left)
        task = progress.add_task(f"{len(left)} of {len(cells)} cells to measure", total=total)
        done = 0

        def on_step(_cell: Cell, step: int) -> None:
            progress.update(task, completed=done + step)

        for number, (cell, figures) in enumerate(work(left, on_step), 1):
            results.add(cell, figures)
            done += cell.steps
            text = f"{len(cells) - len(left) + number} of {len(cells)} cells"
            progress.update(task, completed=done, description=text)


def outcomes(study: Study, plan: Schedule, results: Results) -> list[Outcome]:
    """Each row with what was measured of it, by set."""
    found = []
    for row in study.rows:
        by_set: dict[str, list[dict[str, float]]] = {}
        for other, name, cell in plan.cells:
            figures = results.get(cell)
            if other == row and figures is not None:
                by_set.setdefault(name, []).append(figures["scaled" if row.scaled else "plain"])
        found.append(Outcome(row, by_set, plan.skipped.get(row.name, "")))
    return found


def sweep_command(
    study: Annotated[
        Literal["table-2", "table-3", "ablation", "few"], typer.Option(help="what to compare")
    ],
    dataset: Annotated[
        Path, typer.Option(help="data set in MVTec AD's layout, or a folder of one a cup type")
    ],
    out: Annotated[Path, typer.Option(help="results, JSON; cells that are in it are skipped")],
    types: Annotated[str, typer.Option(help="sets to test on, e.g. type-01,type-02")] = "",
    rows: Annotated[str, typer.Option(help="rows of the study, by name, with commas")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="how often each row is measured")] = 3,
    teacher: Annotated[str, typer.Option(help="whose features")] = Teacher().name,
    side: Annotated[int, typer.Option(help="px that the networks see; 0: as usual")] = 0,
    steps: Annotated[
        int | None, typer.Option(min=2, help="of training; random starts take 4 times as many")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
    background: Annotated[
        bool, typer.Option(help="find the cup in each frame; else pictures are seen whole")
    ] = True,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", help="write the table there, too")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="measure on a ray cluster; local: one on this machine"
        ),
    ] = None,
    models: Annotated[Path, typer.Option(help="folder of the networks")] = Path("models"),
) -> None:
    """Measure the paper's tables, row for row, on a data set; an interrupted study goes on where it was."""
    torch.set_num_threads(threads)
    results = Results(out)
    meant = Teacher(teacher, rows=side, columns=side)
    asked = STUDIES[study](meant).selected(_names(rows))
    view = ViewEntry(
        kind="upright" if background else "whole", rows=meant.rows, columns=meant.columns
    )
    folders = set_folders(dataset)
    tested = _tested(folders, _names(types))
    check_results(out, markdown_file)
    transfers = any("transfer" in row.plan.strategies for row in asked.rows)
    needed = list(folders) if transfers else tested
    kept = out.parent / f"{out.stem}-views"
    work = here(models) if ray is None else on_ray(models.resolve(), ray, threads)
    try:
        sets = _prepared({n: folders[n] for n in needed}, view, kept, models / BACKGROUND, threads)
        under_test = [sets[name] for name in tested]
        plan = schedule(asked, under_test, list(sets.values()), meant, steps, seeds)
        run(plan, results, work)
    except KeyboardInterrupt:
        console.print(
            f"Stopped. What is measured is in {out}; the same command goes on from there.",
            markup=False,
        )
        raise typer.Exit(130) from None
    found = outcomes(asked, plan, results)
    console.print(printed(asked, found))
    for line in (*left_out(found), *(one.about() for one in sets.values())):
        console.print(line, markup=False)
    if markdown_file is not None:
        write_result(markdown_file, markdown(asked, found).encode())


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _tested(folders: dict[str, Path], wanted: tuple[str, ...]) -> list[str]:
    unknown = [name for name in wanted if name not in folders]
    if unknown:
        raise RecipeError(f"there is no set {unknown[0]}", f"choose from {', '.join(folders)}")
    return list(wanted or folders)


def _prepared(
    folders: dict[str, Path], view: ViewEntry, kept: Path, background: Path, threads: int
) -> dict[str, StudySet]:
    """All sets as the networks see them."""

    @cache
    def segment() -> Segment:
        return load_network(background, threads=threads).run

    sets = {}
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        for name, folder in folders.items():
            task = progress.add_task(f"pictures of {name}")

            def on_progress(done: int, of: int, task: int = task) -> None:
                progress.update(task, completed=done, total=of)  # type: ignore[arg-type]

            sets[name] = study_set(folder, view, kept, background, segment, on_progress)
            progress.update(task, completed=1, total=1)
    return sets
