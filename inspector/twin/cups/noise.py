"""Smooth random fields, the raw material of mottling, outlines and stains."""

import cv2
import numpy as np

from inspector.twin.cups.arrays import Floats


def smooth_noise(
    random: np.random.Generator,
    shape: tuple[int, int],
    cells: tuple[int, int],
    octaves: int,
) -> Floats:
    """Value noise of about zero mean and unit deviation; its columns close to a ring.

    Args:
        random: where the numbers come from.
        shape: rows, columns of the result.
        cells: coarsest random cells along rows and columns; each octave doubles both.
        octaves: how many layers; each adds 0.55 of the one before.

    Returns:
        float32 of ``shape``.
    """
    total = np.zeros(shape, np.float32)
    height, width = shape
    for octave in range(octaves):
        rows, columns = (max(2, count << octave) for count in cells)
        grid = random.standard_normal((rows, columns), dtype=np.float32)
        ring = np.hstack([grid, grid[:, :1]])
        total += cv2.resize(ring, (width, height), interpolation=cv2.INTER_CUBIC) * 0.55**octave
    deviation = float(total.std())
    return total / (deviation + 1e-6)
