"""The plain alternative that a student must be measured against: nearest clean patch, no training."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


class MemoryBank:
    """Patches of clean pictures; a patch is as hot as it is far from the nearest of them."""

    def __init__(self, features: Tensor, patches: int = 10_000, seed: int = 0) -> None:
        """Keep a random choice of patches.

        Args:
            features: N×C×h×w of clean pictures.
            patches: how many to keep.
            seed: of the choice.
        """
        flat = functional.normalize(features.permute(0, 2, 3, 1).flatten(0, 2), dim=1)
        kept = np.random.default_rng(seed).permutation(len(flat))[:patches]
        self._bank = flat[torch.from_numpy(kept)]

    def distance_map(self, features: Tensor) -> Tensor:
        """B×C×h×w to B×h×w: cosine similarity to the nearest patch, minus 1 (as D, in [-2, 0])."""
        flat = functional.normalize(features.permute(0, 2, 3, 1).flatten(0, 2), dim=1)
        nearest = torch.cat([(part @ self._bank.T).amax(dim=1) for part in torch.split(flat, 2000)])
        return nearest.view(len(features), *features.shape[2:]) - 1
