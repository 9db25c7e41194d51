"""A study's table: what was measured, mean ± spread, beside what was published."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from inspector.detector.studies import Row, Study

COLUMNS = ("pixel AUROC", "pixel F1", "image AUROC", "image F1", "AU-PRO")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row and what was measured of it.

    Attributes:
        row: of the study.
        by_set: for each set, the figures of every seed.
        skipped: why it was not measured everywhere, or nothing.
    """

    row: Row
    by_set: dict[str, list[dict[str, float]]]
    skipped: str

    def cells(self) -> list[str]:
        """Mean ± spread of every column; nothing where nothing was measured.

        With one set, the spread is the standard deviation over the seeds; with several it is that over
        the sets, each of which counts by the mean over its seeds.
        """
        if not self.by_set:
            return [""] * len(COLUMNS)
        score = self.row.score
        keys = ("pixel_auroc", "pixel_f1", f"image_auroc_{score}", f"image_f1_{score}", "au_pro")
        return [_spread(self._values(key)) for key in keys]

    def published(self) -> list[str]:
        """The paper's figures in the same columns; it has no AU-PRO."""
        figures = [f"{value:.3f}" for value in self.row.published or ()]
        return figures + [""] * (len(COLUMNS) - len(figures))

    def _values(self, key: str) -> list[float]:
        seeds = {name: [figures[key] for figures in runs] for name, runs in self.by_set.items()}
        if len(seeds) == 1:
            return next(iter(seeds.values()))
        return [float(np.mean(values)) for values in seeds.values()]

    def runs(self) -> str:
        """How often it was measured."""
        runs = sum(len(figures) for figures in self.by_set.values())
        return f"{runs} on {len(self.by_set)} sets" if len(self.by_set) > 1 else f"{runs or ''}"


def left_out(outcomes: Sequence[Outcome]) -> list[str]:
    """Why rows were not measured, or not everywhere: a line a reason, with the rows that it concerns."""
    rows: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.skipped:
            rows.setdefault(outcome.skipped, []).append(outcome.row.name)
    return [f"Not measured: {', '.join(names)}: {why}." for why, names in rows.items()]


def _spread(values: Sequence[float]) -> str:
    mean = f"{np.mean(values):.3f}"
    return f"{mean} ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else mean


def printed(study: Study, outcomes: Sequence[Outcome]) -> Table:
    """For the terminal: each figure above the published one."""
    caption = "below each row, the paper's" if _beside_published(outcomes) else None
    table = Table("", *COLUMNS, "runs", title=study.title, caption=caption)
    group = ""
    for outcome in outcomes:
        if outcome.row.group != group:
            group = outcome.row.group
            table.add_section()
            table.add_row(f"[bold]{group}[/]")
        table.add_row(outcome.row.name, *outcome.cells(), outcome.runs())
        if outcome.row.published is not None:
            table.add_row("", *(f"[dim]{text}[/]" for text in outcome.published()), "[dim]paper[/]")
    return table


def markdown(study: Study, outcomes: Sequence[Outcome]) -> str:
    """For the documents: each figure with the published one behind it in brackets."""
    lines = [
        f"### {study.title}",
        "",
        "| row | " + " | ".join(COLUMNS) + " | runs |",
        "|---" * (len(COLUMNS) + 2) + "|",
    ]
    for outcome in outcomes:
        pairs = zip(outcome.cells(), outcome.published(), strict=True)
        cells = [f"{ours or '–'} ({theirs})" if theirs else ours for ours, theirs in pairs]
        lines.append("| " + " | ".join((outcome.row.name, *cells, outcome.runs())) + " |")
    text = "Mean ± standard deviation, over the seeds of one set or over several sets"
    lines += ["", text + ("; in brackets the published." if _beside_published(outcomes) else ".")]
    for line in left_out(outcomes):
        lines += ["", line]
    return "\n".join(lines) + "\n"


def _beside_published(outcomes: Sequence[Outcome]) -> bool:
    return any(outcome.row.published is not None for outcome in outcomes)
