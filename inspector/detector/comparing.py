"""What the teacher is compared with, asked for distance maps; and which of two tells more of stains."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from inspector.decision import heat_map, image_score
from inspector.detector.loss import distance_map
from inspector.detector.memory_bank import MemoryBank
from inspector.detector.networks import FeatureNetwork, features
from inspector.detector.stains import stain

Maps = NDArray[np.float32]
See = Callable[[NDArray[np.uint8]], Tensor]
"""n×R×K×3 uint8 pictures in a teacher's size to its features, n×C×h×w."""
Comparison = Callable[[NDArray[np.uint8]], Maps]
"""n×R×K×3 uint8 pictures in the networks' size to n×h×w distance maps."""
_FAINT = (0.1, 0.4)
"""Opacity of the stains that student and bank are compared on: faint ones tell them apart."""
_COPIES = 3
"""Stained copies of each picture in that comparison."""


def against_bank(see: See, bank: MemoryBank) -> Comparison:
    """Distance maps of a bank."""

    def compare(pictures: NDArray[np.uint8]) -> Maps:
        return np.asarray(bank.distance_map(see(pictures)).numpy(), np.float32)

    return compare


def against_student(teacher: FeatureNetwork, student: FeatureNetwork) -> Comparison:
    """Distance maps of a student, Eq. 1 in float32."""

    def compare(pictures: NDArray[np.uint8]) -> Maps:
        maps = distance_map(features(student, pictures), features(teacher, pictures))
        return np.asarray(maps.numpy(), np.float32)

    return compare


def separation(
    compare: Comparison, clean: NDArray[np.uint8], scale: Maps, share: float, seed: int = 0
) -> float:
    """How well image scores tell stained copies of clean pictures from the pictures: AUROC.

    This is what bank and student are compared by, since no defect is known when a type is taught. The
    stains are those of the corruption of §4.3, fainter.
    """
    random = np.random.default_rng(seed)
    stained = np.concatenate([stained_copies(clean, random, _FAINT) for _ in range(_COPIES)])
    scores = [
        image_score(heat_map(one, scale), share)
        for part in (clean, stained)
        for one in compare(part)
    ]
    return float(roc_auc_score([0] * len(clean) + [1] * len(stained), scores))


def stained_copies(
    clean: NDArray[np.uint8], random: np.random.Generator, opacity: tuple[float, float]
) -> NDArray[np.uint8]:
    """Each picture with stains of an opacity between these laid over it, n×R×K×3 uint8."""
    copies = np.empty_like(clean)
    for copy, picture in zip(copies, clean, strict=True):
        laid = stain((picture.shape[0], picture.shape[1]), random)
        cover = (laid.opacity > 0) * np.float32(random.uniform(*opacity))
        copy[:] = np.round(picture + cover[..., None] * (laid.colour - picture))
    return copies
