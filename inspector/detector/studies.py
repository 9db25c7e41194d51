"""Which comparisons there are: Tables 2 and 3 row for row, what the paper leaves open, few pictures.

A row says what is taught and how its maps are read. The published figures stand here as data, so that a
measured row can be printed beside its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from inspector.core.errors import RecipeError
from inspector.detector.training import TrainingPlan
from inspector.recipe import Teacher
from inspector.recipe.graph import OutputNorm

Method = Literal["student", "bank", "efficient-ad", "reverse-distillation"]
RANDOM_START_STEPS = 4
"""A student that starts at random takes so many times the steps of one that starts from its teacher."""
FEW = 5
"""Clean pictures of a type of which there are few: of two of the paper's types there are so many (§3)."""
PLAN = TrainingPlan()


class Published(NamedTuple):
    """A row's figures in the order in which Tables 2 and 3 print them."""

    pixel_auroc: float
    pixel_f1: float
    image_auroc: float
    image_f1: float


_P = Published


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a study's table.

    Attributes:
        name: as the paper prints it, where it does.
        group: the heading it stands under.
        method: what is taught; ``diffusion`` needs a generating network and is listed, not run.
        plan: of the student's training; its seed and, where others are asked for, its steps are set
            later.
        depth: the teacher's blocks; 0 takes the teacher's own.
        output_norm: of teacher and student.
        width: channels of the student's tokens; None: the teacher's.
        pictures: so many clean pictures are drawn under the seed; None takes all.
        draws: how often, where that is not up to the person.
        scaled: whether distances are divided by their position's own on clean pictures.
        score: ``mean`` of the hottest 1 % of the positions, or their ``maximum``.
        published: the paper's figures.
    """

    name: str
    group: str = ""
    method: Method | Literal["diffusion"] = "student"
    plan: TrainingPlan = PLAN
    depth: int = 0
    output_norm: OutputNorm = "plain"
    width: int | None = None
    pictures: int | None = None
    draws: int | None = None
    scaled: bool = True
    score: Literal["mean", "maximum"] = "mean"
    published: Published | None = None


@dataclass(frozen=True, slots=True)
class Study:
    """A table to fill.

    Attributes:
        name: on the command line.
        title: above the table.
        rows: in the order in which they are printed.
    """

    name: str
    title: str
    rows: tuple[Row, ...]

    def selected(self, names: tuple[str, ...]) -> "Study":
        """The study with the named rows only; all where none is named.

        Raises:
            RecipeError: it has no such row.
        """
        known = [row.name for row in self.rows]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise RecipeError(
                f"the study {self.name} has no row {unknown[0]!r}",
                f"use any of: {', '.join(known)}",
            )
        return replace(self, rows=tuple(r for r in self.rows if not names or r.name in names))


_SHORT = {
    "BC": "brightness-contrast",
    "Rotate": "rotation",
    "Latent": "latent",
    "SS": "stained-shape",
    "Transfer": "transfer",
}
"""The names of Table 3 and those of the strategies."""
BANK = Row("memory bank", "Beside the paper", "bank", scaled=False)


def _with(*strategies: str, hard: bool = True) -> TrainingPlan:
    return replace(PLAN, strategies=strategies, hard=hard)


def _combined(group: str, published: Mapping[str, Published]) -> tuple[Row, ...]:
    """Rows of Table 3 whose names say what they combine."""
    rows = []
    for name, figures in published.items():
        parts = name.split(" + ")
        if parts[0] in ("Diffusion", "All"):
            rows.append(Row(name, group, "diffusion", published=figures))
        else:
            plan = _with(*(_SHORT[part] for part in parts))
            rows.append(Row(name, group, plan=plan, published=figures))
    return tuple(rows)


def _table_2(_teacher: Teacher) -> Study:
    augmented, corrupted, known = "Data augmentation", "Corruption model", "Transfer knowledge"
    rows = (
        Row(
            "vanilla", "Baseline", plan=_with(hard=False), published=_P(0.913, 0.413, 0.727, 0.830)
        ),
        Row("HF", "Baseline", plan=_with(), published=_P(0.918, 0.474, 0.878, 0.958)),
        Row(
            "rotation", augmented, plan=_with("rotation"), published=_P(0.908, 0.475, 0.881, 0.952)
        ),
        Row("BC", augmented, plan=_with(_SHORT["BC"]), published=_P(0.913, 0.459, 0.893, 0.960)),
        Row("latent", corrupted, plan=_with("latent"), published=_P(0.907, 0.475, 0.902, 0.950)),
        Row("SS", corrupted, plan=_with("stained-shape"), published=_P(0.911, 0.467, 0.898, 0.952)),
        Row("transfer", known, plan=_with("transfer"), published=_P(0.916, 0.490, 0.895, 0.962)),
        Row("diffusion", known, "diffusion", published=_P(0.915, 0.489, 0.919, 0.957)),
        BANK,
    )
    return Study("table-2", "Table 2: each strategy by itself", rows)


def _table_3(_teacher: Teacher) -> Study:
    peers = (
        Row(
            "reverse distillation",
            "State-of-the-art methods",
            "reverse-distillation",
            scaled=False,
            published=_P(0.889, 0.438, 0.391, 0.897),
        ),
        Row(
            "efficientAD",
            "State-of-the-art methods",
            "efficient-ad",
            scaled=False,
            published=_P(0.594, 0.129, 0.538, 0.959),
        ),
    )
    diffusion = {
        "Diffusion + BC": _P(0.919, 0.503, 0.937, 0.965),
        "Diffusion + Rotate": _P(0.923, 0.507, 0.954, 0.961),
        "Diffusion + Rotate + BC": _P(0.920, 0.508, 0.957, 0.969),
        "Diffusion + Latent + SS": _P(0.919, 0.506, 0.944, 0.965),
        "Diffusion + BC + Latent + SS": _P(0.920, 0.501, 0.942, 0.964),
        "Diffusion + Rotate + Latent + SS": _P(0.917, 0.509, 0.943, 0.963),
        "Diffusion + Rotate + BC + Latent + SS": _P(0.917, 0.491, 0.936, 0.957),
    }
    transfer = {
        "Transfer + BC": _P(0.916, 0.476, 0.935, 0.954),
        "Transfer + Rotate": _P(0.906, 0.464, 0.933, 0.961),
        "Transfer + Rotate + BC": _P(0.917, 0.492, 0.926, 0.961),
        "Transfer + Latent + SS": _P(0.916, 0.491, 0.938, 0.959),
        "Transfer + BC + Latent + SS": _P(0.915, 0.482, 0.911, 0.958),
        "Transfer + Rotate + Latent + SS": _P(0.912, 0.482, 0.914, 0.953),
        "Transfer + Rotate + BC + Latent + SS": _P(0.913, 0.479, 0.911, 0.954),
    }
    both = {
        "Diffusion + Transfer + Rotate + BC": _P(0.914, 0.489, 0.942, 0.953),
        "All": _P(0.921, 0.507, 0.939, 0.959),
    }
    rows = (
        *peers,
        *_combined("Combination with diffusion", diffusion),
        *_combined("Combination with transfer noise", transfer),
        *_combined("Combination with both diffusion and transfer noise", both),
        BANK,
    )
    return Study("table-3", "Table 3: strategies combined, and the state of the art", rows)


def _ablation(teacher: Teacher) -> Study:
    """One change at a time to the plan as it is by default."""
    at_random = replace(PLAN, start="random")
    mined = replace(_with("stained-shape"), stains_mined=True)
    rows = [
        Row("baseline", "As it is by default"),
        Row("output norm none", "Output norm", output_norm="none"),
        Row("output norm final", "Output norm", output_norm="final"),
        Row("random start", "Start", plan=at_random),
        Row("teacher start 0.25", "Start", plan=replace(PLAN, strength=0.25)),
        Row("teacher start 1", "Start", plan=replace(PLAN, strength=1.0)),
        Row("mean loss", "Loss", plan=replace(PLAN, hard=False)),
        Row("constant learning rate", "Learning rate", plan=replace(PLAN, decay=False)),
        Row(
            "brightness-contrast and rotation",
            "Strategies",
            plan=_with("brightness-contrast", "rotation"),
        ),
        *(
            Row(f"{name} alone", "Strategies", plan=_with(name))
            for name in ("brightness-contrast", "rotation", "stained-shape", "latent", "transfer")
        ),
        Row("stained-shape alone and mined", "Strategies", plan=mined),
        Row("hottest position", "Image score", score="maximum"),
        Row("no position scale", "Position scale", scaled=False),
        *(
            Row(f"depth {depth}", "Depth", depth=depth)
            for depth in (2, 4, 6, 8)
            if depth != teacher.depth
        ),
        *(
            Row(f"student width {width}", "Student", plan=at_random, width=width)
            for width in (96, 192)
        ),
        replace(BANK, group="Without training"),
    ]
    return Study("ablation", "One change at a time", tuple(rows))


def _few(_teacher: Teacher) -> Study:
    rows = (
        Row("student of all", "All clean pictures"),
        replace(BANK, name="memory bank of all", group="All clean pictures"),
        Row(f"student of {FEW}", f"{FEW} of them, drawn", pictures=FEW, draws=FEW),
        replace(
            BANK,
            name=f"memory bank of {FEW}",
            group=f"{FEW} of them, drawn",
            pictures=FEW,
            draws=FEW,
        ),
    )
    return Study("few", "Many clean pictures and few", rows)


STUDIES: Mapping[str, Callable[[Teacher], Study]] = {
    "table-2": _table_2,
    "table-3": _table_3,
    "ablation": _ablation,
    "few": _few,
}
"""By name, for a teacher: what is one change depends on what is usual with it."""


def planned(row: Row, steps: int | None, seed: int) -> TrainingPlan:
    """A row's plan under a seed.

    Args:
        row: of a study.
        steps: of a student that starts from its teacher; None takes the plan's. One that starts at
            random takes ``RANDOM_START_STEPS`` times as many.
        seed: of everything random.
    """
    count = steps or row.plan.steps
    if row.plan.start == "random":
        count *= RANDOM_START_STEPS
    return replace(row.plan, steps=count, seed=seed)
