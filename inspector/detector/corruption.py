"""Changed views of clean pictures to learn from, by name (§4.3). None knows what a defect looks like.

A strategy takes a picture and gives what the student and what the teacher shall see.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Strategy = Callable[[Tensor, np.random.Generator], tuple[Tensor, Tensor]]
"""B×R×K×3 float 0 … 255 to two such: the student's and the teacher's view."""


def brightness_contrast(images: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Eq. 10, 11: both see the picture up to ±10 % brighter and with up to ±10 % more contrast.

    The paper gives no ranges; these cover a lamp's ageing between two cleanings.
    """
    shape = (len(images), 1, 1, 1)
    contrast = torch.from_numpy(random.uniform(0.9, 1.1, shape)).float()
    shift = torch.from_numpy(random.uniform(-0.1, 0.1, shape)).float()
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    changed = ((images - mean) * contrast + mean * (1 + shift)).clamp(0, 255)
    return changed, changed


def rotation(images: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Eq. 7 to 9: both see the picture turned by up to ±3° (the paper: "a small degree")."""
    angle = torch.from_numpy(np.deg2rad(random.uniform(-3, 3, len(images)))).float()
    zero = torch.zeros_like(angle)
    turn = torch.stack(
        [
            torch.stack([angle.cos(), -angle.sin(), zero], dim=1),
            torch.stack([angle.sin(), angle.cos(), zero], dim=1),
        ],
        dim=1,
    )
    planes = images.permute(0, 3, 1, 2)
    grid = functional.affine_grid(turn, list(planes.shape), align_corners=False)
    turned = functional.grid_sample(planes, grid, padding_mode="border", align_corners=False)
    changed = turned.permute(0, 2, 3, 1)
    return changed, changed


def turn(images: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Rotation of a polar view: both see the unwrapped cup turned by up to ±3°."""
    reach = max(1, round(images.shape[2] * 3 / 360))
    changed = torch.roll(images, int(random.integers(-reach, reach + 1)), dims=2)
    return changed, changed


STRATEGIES: Mapping[str, Strategy] = {
    "brightness-contrast": brightness_contrast,
    "rotation": rotation,
    "turn": turn,
}
