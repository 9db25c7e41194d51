"""Where on a cup a defect or a drop sits."""

import numpy as np

from inspector.twin.cups.surface import ANGLES, Surface


def anywhere(surface: Surface, random: np.random.Generator) -> tuple[int, int]:
    """Row and column: two of three times on the wall, otherwise on the base."""
    return on_wall(surface, random) if random.random() < 0.65 else on_base(surface, random)


def on_wall(surface: Surface, random: np.random.Generator) -> tuple[int, int]:
    """Row and column on the wall, clear of the rolled rim."""
    row = random.integers(surface.base_row + 25, int(surface.rim_row) - 45)
    return int(row), int(random.integers(0, ANGLES))


def on_base(surface: Surface, random: np.random.Generator) -> tuple[int, int]:
    """Row and column on the base, evenly by area."""
    row = np.sqrt(random.uniform(0.02, 0.72)) * surface.base_row
    return int(row), int(random.integers(0, ANGLES))


def on_rim(surface: Surface, random: np.random.Generator) -> tuple[int, int]:
    """Row and column at the silhouette of the rim."""
    return int(surface.rim_row) - 1, int(random.integers(0, ANGLES))
