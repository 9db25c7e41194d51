"""One cell of a study: what is taught on one set under one seed, and the figures of the taught."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.core.errors import RecipeError
from inspector.decision import heat_map, image_score
from inspector.detector.calibrating import SCORE_SHARE, position_scale
from inspector.detector.figures import figures
from inspector.detector.loss import distance_map
from inspector.detector.memory_bank import learn_bank, leave_one_out
from inspector.detector.networks import Architecture, FeatureNetwork, load_teacher
from inspector.detector.peers import peer_maps
from inspector.detector.studies import Method, Row, planned
from inspector.detector.study_sets import StudySet
from inspector.detector.training import TrainingPlan, train
from inspector.recipe import Teacher

Measured = dict[str, dict[str, float]]
"""Figures by how the maps were read: ``scaled`` and ``plain``."""
NARROW_HEADS = 3
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Cell:
    """What is taught on which pictures; rows that only read the maps otherwise share it.

    Attributes:
        on: the set.
        method: what is taught.
        teacher: whose features.
        plan: of the student's training; None where there is no student.
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
        described = {
            "set": self.on.name,
            "pictures": self.on.fingerprint,
            "method": self.method,
            "teacher": {**asdict(self.teacher), "file": str(self.teacher.file or "")},
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
        row: of a study; not one that needs diffusion.
        on: the set under test.
        others: all other sets.
        teacher: the study's; the row may change its depth and its output norm.
        steps: as :func:`inspector.detector.studies.planned` takes them.
        seed: of everything random.

    Raises:
        RecipeError: the row cannot be measured on this set; says why.
    """
    if row.pictures is not None and len(on.clean) <= row.pictures:
        raise RecipeError(
            f"{on.name} has only {len(on.clean)} clean pictures", "measure it on a set with more"
        )
    plan = planned(row, steps, seed) if row.method == "student" else None
    sources: tuple[StudySet, ...] = ()
    if plan is not None and "transfer" in plan.strategies:
        sources = tuple(other for other in others if other.fingerprint != on.fingerprint)
        if not sources:
            raise RecipeError(
                "transfer needs defective cups of other types, and there is one set only",
                "give a folder of several sets",
            )
    own = Teacher(
        teacher.name,
        teacher.rows,
        teacher.columns,
        row.depth or teacher.depth,
        row.output_norm,
        teacher.file,
        teacher.file_sha256,
    )
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
    if cell.method == "student":
        known = _known(cell.teacher, models, cell.on)
        student = _taught(cell, drawn, models, on_step)
        clean = distance_map(_said(student, cell.on.clean[drawn]), known[0][drawn]).numpy()
        test = distance_map(_said(student, cell.on.test), known[1]).numpy()
        results["scaled"] = _figures(heat_map(test, position_scale(clean)), cell.on)
        results["plain"] = _figures(heat_map(test), cell.on)
    elif cell.method == "bank":
        known = _known(cell.teacher, models, cell.on)
        clean = leave_one_out(known[0][drawn], "everywhere", seed=cell.seed).numpy()
        bank = learn_bank(known[0][drawn], "everywhere", seed=cell.seed)
        test = bank.distance_map(known[1]).numpy()
        results["scaled"] = _figures(heat_map(test, position_scale(clean)), cell.on)
        results["plain"] = _figures(heat_map(test), cell.on)
    else:
        maps = peer_maps(cell.method, cell.on.clean[drawn], cell.on.test, cell.seed, on_step)
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
        _architecture(teacher.architecture, cell.width),
        cell.plan,
        on_step=on_step,
        material=MappingProxyType(material),
    )


def _architecture(teacher: Architecture, width: int | None) -> Architecture:
    """The student's: the teacher's twin, or narrower with a layer that leads to its channels."""
    if width is None:
        return teacher
    return Architecture(
        rows=teacher.rows,
        columns=teacher.columns,
        width=width,
        depth=teacher.depth,
        heads=NARROW_HEADS,
        patch=teacher.patch,
        outputs=teacher.width,
        output_norm=teacher.output_norm,
    )


def transfer_pairs(others: Sequence[StudySet], seed: int) -> NDArray[np.uint8]:
    """Eq. 12's pairs: every defective test picture of other types, each with a normal one of its type.

    Returns:
        P×2×R×K×3 uint8, the defective picture first.
    """
    random = np.random.default_rng((seed, 3))
    pairs = []
    for other in others:
        defective, normal = other.test[other.defective], other.normal
        beside = random.integers(len(normal), size=len(defective))
        pairs.append(np.stack([defective, normal[beside]], axis=1))
    return np.concatenate(pairs)


@cache
def _teacher(teacher: Teacher, models: Path) -> FeatureNetwork:
    return load_teacher(teacher, models)


@lru_cache(maxsize=8)
def _known(teacher: Teacher, models: Path, on: StudySet) -> tuple[Tensor, Tensor]:
    """What a teacher says of a set's clean and test pictures; many cells ask the same."""
    network = _teacher(teacher, models)
    return _said(network, on.clean), _said(network, on.test)


def _said(network: FeatureNetwork, images: NDArray[np.uint8]) -> Tensor:
    """Feature maps n×C×h×w float32, on the GPU where there is one, kept on the CPU."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device)
    try:
        with torch.inference_mode():
            parts = torch.split(torch.from_numpy(images), _BATCH)
            return torch.cat([network(part.to(device)).cpu() for part in parts])
    finally:
        network.to("cpu")


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
    one = figures(hottest, labels, pictures, list(on.masks), never, never)
    # The image score changes nothing on the pixels, so the second time each picture is one pixel.
    dots = [np.array([[score]], np.float32) for score in mean]
    other = figures(mean, labels, dots, [np.array([[label]]) for label in labels], never, never)
    return {
        "pixel_auroc": one.pixel_auroc,
        "pixel_f1": one.pixel_f1_best,
        "au_pro": one.au_pro,
        "image_auroc_maximum": one.image_auroc,
        "image_f1_maximum": one.image_f1_best,
        "image_auroc_mean": other.image_auroc,
        "image_f1_mean": other.image_f1_best,
    }
