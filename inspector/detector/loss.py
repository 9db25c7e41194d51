"""What the student is asked to make small, and what of it counts as heat (§4.1, §4.2)."""

import torch
from torch import Tensor
from torch.nn import functional


def distance_map(student: Tensor, teacher: Tensor) -> Tensor:
    """Eq. 1: D = -0.5/L·Σ(Fs-Ft)² over the L channels; B×C×h×w twice to B×h×w, in (-∞, 0]."""
    return -0.5 * (student - teacher).square().mean(dim=1)


def cosine_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Eq. 4: 1 - cos(Fs, Ft) at each position; B×C×h×w twice to B×h×w, in [0, 2]."""
    return 1 - functional.cosine_similarity(student, teacher, dim=1)


def hard_feature_loss(distance: Tensor, p_hard: float, minable: Tensor | None = None) -> Tensor:
    """Eq. 5, 6: the mean of the distances that are at least as large as their ``p_hard`` quantile.

    Args:
        distance: any shape.
        p_hard: share that is left out, 0 (the mean of all) to 1 (the largest alone).
        minable: bool of the same shape with at least one True; the others are as if they were not
            there. None for all.
    """
    values = distance.flatten() if minable is None else distance[minable]
    # 1 - 0.99 is a little more than a hundredth in floating point: of 450 it must still keep 4.
    kept = max(1, round(round(len(values) * (1 - p_hard), 6)))
    return torch.topk(values, kept).values.mean()
