"""One cell of a study: what is taught on one set under one seed, and the figures of the taught."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inspector.core.errors import RecipeError
from inspector.decision import heat_map, image_score
from inspector.detector.calibrating import SCORE_SHARE, position_scale
from inspector.detector.figures import figures, image_figures
from inspector.detector.loss import distance_map
from inspector.detector.memory_bank import learn_bank, leave_one_out
from inspector.detector.networks import FeatureNetwork, features, load_teacher, student_shape
from inspector.detector.peers import check_peers, peer_maps
from inspector.detector.studies import Method, Row, planned
from inspector.detector.study_sets import StudySet, transfer_pairs
from inspector.detector.training import TrainingPlan, train
from inspector.recipe import Teacher
from inspector.recipe.sources import source

Measured = dict[str, dict[str, float]]
"""Figures by how the maps were read: ``scaled`` and ``plain``."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What is taught on which pictures; rows that only read the maps otherwise share it.

    Attributes:
        on: the set.
        method: what is taught.
        teacher: whose features.
        plan: of the training; of the peers', only steps and seed count. None where nothing is trained.
        width: of the student's tokens; None: the teacher's.
        pictures: clean pictures drawn; None: all.
        seed: of the draw and of everything else random.
        others: sets that ``transfer`` takes its pairs from; never the one under test.
    """

    on: StudySet
    method: Method
    teacher: Teacher
    plan: TrainingPlan | None
    width: int | None
    pictures: int | None
    seed: int
    others: tuple[StudySet, ...] = ()

    def key(self) -> str:
        """Canonical description: the same exactly where the same would be measured again."""
        known = source(self.teacher.name)
        described: dict[str, object] = {
            "set": self.on.name,
            "pictures": self.on.fingerprint,
            "method": self.method,
            "teacher": {**asdict(self.teacher), "file": str(self.teacher.file or "")},
            # Weights and adapter may be trained or released again under the teacher's name.
            "weights": [part.sha256 for part in (known.origin, known.adapter) if part is not None],
            "plan": asdict(self.plan) if self.plan is not None else None,
            "width": self.width,
            "drawn": self.pictures,
            "seed": self.seed,
            "others": [other.fingerprint for other in self.others],
        }
        return json.dumps(described, sort_keys=True)

    @property
    def steps(self) -> int:
        """How long it takes, in training steps or about."""
        return self.plan.steps if self.plan is not None else 1


Work = Callable[[Iterable[Cell], Callable[[Cell, int], None]], Iterator[tuple[Cell, Measured]]]
"""Measures cells, tells of steps done, and gives each result as soon as it is there."""


def cell_of(
    row: Row,
    on: StudySet,
    others: Sequence[StudySet],
    teacher: Teacher,
    steps: int | None,
    seed: int,
) -> Cell:
    """The cell of a row.

    Args:
        row: of a study.
        on: the set under test.
        others: all other sets.
        teacher: the study's; the row may change its depth and its output norm.
        steps: as :func:`inspector.detector.studies.planned` takes them.
        seed: of everything random.

    Raises:
        RecipeError: the row cannot be measured on this set; says why.
        EngineError: the package that it needs is not installed.
    """
    if row.pictures is not None and len(on.clean) <= row.pictures:
        raise RecipeError(
            f"{on.name} has only {len(on.clean)} clean pictures", "measure it on a set with more"
        )
    if row.method == "diffusion":
        raise RecipeError(
            "its pictures need a generating network", "leave the row out: its own issue"
        )
    plan = None
    if row.method == "student":
        plan = planned(row, steps, seed)
    elif row.method != "bank":
        check_peers()
        published = TrainingPlan.as_published(row.pictures or len(on.clean), seed=seed)
        plan = replace(published, steps=steps or published.steps)
    sources: tuple[StudySet, ...] = ()
    if plan is not None and "transfer" in plan.strategies:
        sources = tuple(other for other in others if other.fingerprint != on.fingerprint)
        if not sources:
            raise RecipeError(
                "transfer needs defective cups of other types, and there is one set only",
                "give a folder of several sets",
            )
    own = replace(teacher, depth=row.depth or teacher.depth, output_norm=row.output_norm)
    return Cell(on, row.method, own, plan, row.width, row.pictures, seed, sources)


def measured(
    cell: Cell, models: Path, on_step: Callable[[int, float], None] = lambda _step, _loss: None
) -> Measured:
    """Teach, look at the test pictures, count.

    Args:
        cell: what.
        models: folder of the committed networks.
        on_step: called after each training step.

    Returns:
        The figures by way of reading, and under ``cost`` the seconds it took.
    """
    begun = time.monotonic()
    drawn = _drawn(len(cell.on.clean), cell.pictures, cell.seed)
    results: Measured = {}
    match cell.method:
        case "student":
            student = _taught(cell, drawn, models, on_step)
            clean, test = _known(cell.teacher, models, cell.on)
            scale = position_scale(_distances(student, cell.on.clean[drawn], clean[drawn]))
            distances = _distances(student, cell.on.test, test)
            results["scaled"] = _figures(heat_map(distances, scale), cell.on)
            results["plain"] = _figures(heat_map(distances), cell.on)
        case "bank":
            clean, test = _known(cell.teacher, models, cell.on)
            left_out = leave_one_out(clean[drawn], "everywhere", seed=cell.seed).numpy()
            bank = learn_bank(clean[drawn], "everywhere", seed=cell.seed)
            distances = bank.distance_map(test).numpy()
            results["scaled"] = _figures(heat_map(distances, position_scale(left_out)), cell.on)
            results["plain"] = _figures(heat_map(distances), cell.on)
        case "efficient-ad" | "reverse-distillation" as peer:
            pictures = cell.on.clean[drawn]
            maps = peer_maps(peer, pictures, cell.on.test, cell.steps, cell.seed)
            results["plain"] = _figures(maps, cell.on)
    results["cost"] = {"seconds": round(time.monotonic() - begun, 1)}
    return results


def _drawn(count: int, wanted: int | None, seed: int) -> list[int]:
    if wanted is None:
        return list(range(count))
    order: list[int] = np.random.default_rng((seed, 2)).permutation(count).tolist()
    return sorted(order[:wanted])


def _taught(
    cell: Cell, drawn: list[int], models: Path, on_step: Callable[[int, float], None]
) -> FeatureNetwork:
    assert cell.plan is not None
    teacher = _teacher(cell.teacher, models)
    material = {}
    if cell.others:
        material["transfer"] = transfer_pairs(cell.others, cell.seed)
    return train(
        cell.on.clean[drawn],
        teacher,
        student_shape(teacher.architecture, cell.width),
        cell.plan,
        on_step=on_step,
        material=MappingProxyType(material),
    )


def _distances(
    student: FeatureNetwork, images: NDArray[np.uint8], teacher: Tensor
) -> NDArray[np.float32]:
    return np.asarray(distance_map(features(student, images), teacher).numpy(), np.float32)


@cache
def _teacher(teacher: Teacher, models: Path) -> FeatureNetwork:
    return load_teacher(teacher, models)


@lru_cache(maxsize=8)
def _known(teacher: Teacher, models: Path, on: StudySet) -> tuple[Tensor, Tensor]:
    """What a teacher says of a set's clean and test pictures; many cells ask the same."""
    network = _teacher(teacher, models)
    return features(network, on.clean), features(network, on.test)


def _figures(heats: NDArray[np.float32], on: StudySet) -> dict[str, float]:
    """Figures of n×h×w maps, the hotter the more defective; both image scores."""
    labels = on.defective.tolist()
    # Upright and whole views show what the masks show, so resizing brings a map onto its mask.
    pictures = [
        np.asarray(cv2.resize(heat, mask.shape[::-1]), np.float32)
        for heat, mask in zip(heats, on.masks, strict=True)
    ]
    hottest = [image_score(heat, 0.0) for heat in heats]
    mean = [image_score(heat, SCORE_SHARE) for heat in heats]
    never = float("inf")
    counted = figures(hottest, labels, pictures, list(on.masks), never, never)
    auroc, f1 = image_figures(mean, labels)
    return {
        "pixel_auroc": counted.pixel_auroc,
        "pixel_f1": counted.pixel_f1_best,
        "au_pro": counted.au_pro,
        "image_auroc_maximum": counted.image_auroc,
        "image_f1_maximum": counted.image_f1_best,
        "image_auroc_mean": auroc,
        "image_f1_mean": f1,
    }
