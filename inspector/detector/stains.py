"""Stained-shape noise (§4.3): irregular ellipsoids of varied colour and size laid over a picture.

After Collin & De Vleeschouwer (2021), from the paper's words; where it gives no ranges, these are ours:
one to three stains a picture; half axes of 2 to 12 % of the picture's shorter side, the smaller at
least a third of the larger; an outline that waves by up to a third about the ellipse; any colour; an
opacity between one half and one.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

MOST = 3
HALF_AXIS = (0.02, 0.12)
NARROWEST = 1 / 3
WAVE = 1 / 3
OPACITY = (0.5, 1.0)
_ANGLES = np.linspace(0, 2 * np.pi, 90, endpoint=False)
_WAVES = np.arange(2, 7)[:, None]
"""Waves around an outline: fewer would only move or stretch it."""


@dataclass(frozen=True, slots=True, eq=False)
class Stain:
    """What is laid over a picture: ``picture + opacity · (colour - picture)``.

    Attributes:
        colour: R×K×3 float32, 0 … 255.
        opacity: R×K float32, 0 … 1; 0 where the picture stays as it is.
    """

    colour: NDArray[np.float32]
    opacity: NDArray[np.float32]


def stain(size: tuple[int, int], random: np.random.Generator) -> Stain:
    """One to three stains at random places of a picture with these rows and columns."""
    colour = np.zeros((*size, 3), np.float32)
    opacity = np.zeros(size, np.float32)
    for _ in range(random.integers(1, MOST + 1)):
        around = np.round(outline(size, random)).astype(np.int32)
        cv2.fillPoly(colour, [around], random.uniform(0, 255, 3).tolist())
        cv2.fillPoly(opacity, [around], random.uniform(*OPACITY))
    return Stain(colour, opacity)


def outline(
    size: tuple[int, int],
    random: np.random.Generator,
    half_axis: tuple[float, float] = HALF_AXIS,
) -> NDArray[np.float64]:
    """n×2 points (column, row) around an irregular ellipse whose middle lies in the picture.

    Args:
        size: rows and columns of the picture.
        random: which and where.
        half_axis: least and greatest larger half axis, in parts of the picture's shorter side.
    """
    larger = min(size) * random.uniform(*half_axis)
    axes = larger * np.array([1.0, random.uniform(NARROWEST, 1)])
    share = random.dirichlet(np.ones(len(_WAVES)))[:, None]
    phase = random.uniform(0, 2 * np.pi, (len(_WAVES), 1))
    radius = 1 + WAVE * (share * np.cos(_WAVES * _ANGLES + phase)).sum(axis=0)
    ellipse = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1) * axes * radius[:, None]
    turned = random.uniform(0, np.pi)
    turn = np.array([[np.cos(turned), np.sin(turned)], [-np.sin(turned), np.cos(turned)]])
    middle = random.uniform(0, [size[1] - 1, size[0] - 1])
    return np.asarray(ellipse @ turn + middle, np.float64)
