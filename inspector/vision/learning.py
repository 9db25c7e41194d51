"""Learning a cup type's orientation reference from clean pictures, without being told any angle."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import RecipeError
from inspector.vision.orientation import (
    HARMONICS,
    OrientationReference,
    Spectrum,
    best_angle,
    turned,
)

_MOST_ROUNDS = 12
_STILL = 1e-3
"""Radians: when no picture turns further than this, the rounds end."""
_STARTS = 4
_FOLDS = 8
Separation = tuple[Spectrum, Spectrum, NDArray[np.float32]]
"""Light, print, noise."""

FEWEST = 8
"""Clean pictures below which light and print cannot be told apart reliably."""


def learn_orientation(pictures: Sequence[Spectrum]) -> OrientationReference:
    """Tell light, print and noise apart in clean pictures of one cup type at unknown angles.

    Starting from one picture's own appearance, every picture is turned to fit the print that the
    others show, and light, print and noise are estimated anew from all of them; after some rounds
    nothing moves any more. Several starts guard against a bad one. Angle 0 is where the print's
    weight points upwards, so that learning anew from other pictures gives nearly the same upright.

    The threshold comes from pictures that each were kept out of the learning: it lies a third of
    the way from what they would show with their print taken away to what they do show. (A
    defective cup resembles its type less than a clean one, but a blank one hardly at all.)

    Args:
        pictures: of :func:`inspector.vision.spectrum`, at least 8, at angles that differ.

    Raises:
        RecipeError: too few pictures, or no print stands out in them.
    """
    if len(pictures) < FEWEST:
        raise RecipeError(
            f"{len(pictures)} clean pictures are too few to learn a print from",
            f"take at least {FEWEST}, better 30, at different angles, or teach without turning the cups",
        )
    stack = np.stack(pictures)
    threshold = _threshold(stack)
    light, ink, noise = _separated(stack)
    upright = _weight_angle(ink) - np.pi / 2
    return OrientationReference(light, turned(ink, -upright), noise, threshold)


def _separated(stack: NDArray[np.complex64]) -> Separation:
    """Light, print and noise, from the start that explains the pictures best."""
    fits = [_separated_from(stack, start) for start in range(min(_STARTS, len(stack)))]
    return min(fits, key=lambda fit: float(np.log(fit[2]).sum()))


def _separated_from(stack: NDArray[np.complex64], start: int) -> Separation:
    """Light, print and noise, the print first guessed from one picture."""
    count = len(stack)
    light = stack.mean(0)
    noise = _smoothed((np.abs(stack - light) ** 2).mean(0))
    ink = stack[start] - light
    angles = np.array([best_angle(one - light, ink, noise)[0] for one in stack])
    for _ in range(_MOST_ROUNDS):
        upright = turned(stack - light, -angles)
        # A picture must not be held where it is by its own part in the mean.
        others = upright.sum(0) - upright
        before, angles = (
            angles,
            np.array(
                [
                    best_angle(one - light, print_of_others, noise)[0]
                    for one, print_of_others in zip(stack, others, strict=True)
                ]
            ),
        )
        for _ in range(3):
            ink = turned(stack - light, -angles).mean(0)
            light = (stack - turned(ink, angles)).mean(0)
        rest = stack - light - turned(ink, angles)
        # Two of the pictures' degrees of freedom went into light and print.
        noise = _smoothed((np.abs(rest) ** 2).mean(0) * (count / (count - 2)))
        if np.abs(np.exp(1j * before) - np.exp(1j * angles)).max() < _STILL:
            break
    return light, ink, noise


def _smoothed(power: NDArray[np.floating]) -> NDArray[np.float32]:
    """Neighbouring radii and frequencies averaged: few pictures say little of each one."""
    blurred = cv2.blur(power.astype(np.float32), (9, 3), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(np.maximum(blurred, 1e-3 * blurred.mean()), np.float32)


def _threshold(stack: NDArray[np.complex64]) -> float:
    """A third of the way from the greatest likeness without the print to the least with it."""
    printed, blank = [], []
    number = np.arange(len(stack))
    folds = min(_FOLDS, len(stack))
    for fold in range(folds):
        kept_out = number % folds == fold
        light, ink, noise = _separated(stack[~kept_out])
        for one in stack[kept_out]:
            angle, likeness = best_angle(one - light, ink, noise)
            printed.append(likeness)
            blank.append(best_angle(one - light - turned(ink, angle), ink, noise)[1])
    if min(printed) < 2.0 * max(blank):
        raise RecipeError(
            "the clean pictures show no print or relief that tells how a cup is turned",
            "check that all show this cup type, clean, each at another angle; more of them help, "
            "or teach without turning the cups",
        )
    return max(blank) + (min(printed) - max(blank)) / 3.0


def _weight_angle(ink: Spectrum) -> float:
    """Direction in which most of the print lies, in radians."""
    half = np.zeros((len(ink), 2 * HARMONICS + 1), np.complex64)
    half[:, 1 : HARMONICS + 1] = ink
    ink_at = np.fft.irfft(half, axis=1)
    weight = (ink_at**2).sum(0)
    direction = np.exp(1j * np.arange(len(weight)) * (2.0 * np.pi / len(weight)))
    return float(np.angle((weight * direction).sum()))
