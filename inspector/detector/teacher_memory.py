"""The teacher is frozen: what it says of a picture that does not change is asked for once."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.detector.networks import FeatureNetwork

KEPT_BYTES = 2**30
"""Main memory for what the teacher said of the training pictures."""


class TeacherMemory:
    """What the teacher says of the training pictures as they are, each asked for once.

    Kept in main memory: in float32, or in float16 where that would be more than ``KEPT_BYTES`` (features
    of unit spread lose their fourth digit). Pictures beyond that are asked for each time. The teacher
    sees one picture at a time, so that what it says does not depend on which came together.

    Args:
        teacher: on the device.
        images: N×R×K×3 uint8, all training pictures.
        device: where answers go.
    """

    def __init__(
        self, teacher: FeatureNetwork, images: NDArray[np.uint8], device: torch.device
    ) -> None:
        self._teacher = teacher
        self._images = images
        self._device = device
        self._kept: dict[int, Tensor] = {}

    def __call__(self, chosen: Sequence[int]) -> Tensor:
        """The feature maps of B pictures by their numbers, B×C×h×w float32 on the device."""
        return torch.stack([self._one(index) for index in chosen])

    def _one(self, index: int) -> Tensor:
        if index in self._kept:
            return self._kept[index].to(self._device, torch.float32)
        picture = torch.from_numpy(self._images[index : index + 1]).to(self._device)
        with torch.no_grad():
            features: Tensor = self._teacher(picture)[0]
        if features.nbytes * len(self._images) > KEPT_BYTES:
            features = features.half()
        if features.nbytes * (len(self._kept) + 1) <= KEPT_BYTES:
            self._kept[index] = features.cpu()
        return features.float()
