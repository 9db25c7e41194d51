"""Clean but wet: drops of water that bend the light of the surface below them."""

import cv2
import numpy as np

from inspector.twin.cups.arrays import floats
from inspector.twin.cups.canvas import Canvas
from inspector.twin.cups.places import anywhere
from inspector.twin.cups.surface import RADIANS_PER_COLUMN


def draw_droplets(canvas: Canvas, count: int, random: np.random.Generator) -> None:
    """Lays drops of 0.4 to 2.8 mm radius on the lit surface; a drop is not a defect."""
    for _ in range(count):
        _draw_droplet(canvas, random)


def _draw_droplet(canvas: Canvas, random: np.random.Generator) -> None:
    row, column = anywhere(canvas.surface, random)
    radius = float(np.clip(random.lognormal(np.log(0.10), 0.5), 0.04, 0.28))
    window = canvas.surface.window(row, column, radius * 1.3, radius * 1.3)
    height, width = window.shape
    along = window.along / random.uniform(0.9, 1.25)
    distance = np.hypot(window.around, along) / radius
    light = canvas.light(window)

    grid_y, grid_x = np.mgrid[:height, :width].astype(np.float32)
    bend = -0.66 * np.clip(1 - distance, 0, 1)
    refracted = cv2.remap(
        light,
        floats(grid_x + bend * (grid_x - width / 2)),
        floats(grid_y + bend * (grid_y - height / 2)),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    dark_edge = 0.30 * np.clip((distance - 0.55) / 0.45, 0, 1) ** 2
    bright_middle = 0.10 * np.clip(1 - 1.6 * distance, 0, 1)
    refracted *= floats(1 - dark_edge + bright_middle)[..., None]

    lab_angle = (column + canvas.turn.column) * RADIANS_PER_COLUMN
    toward_right = (along * np.cos(lab_angle) - window.around * np.sin(lab_angle)) / radius
    upward = np.sqrt(np.maximum(distance**2 - toward_right**2, 0))
    for lamp in (-1, 1):
        place, spread = random.uniform(0.45, 0.65), random.uniform(0.1, 0.2)
        glint = ((toward_right - lamp * place) / spread) ** 2 + (upward / 0.30) ** 2
        refracted += floats(random.uniform(0.02, 0.11) * np.exp(-glint))[..., None]

    inside = floats(np.clip((1 - distance) / 0.08, 0, 1))[..., None]
    contact = floats(1 - 0.16 * np.exp(-(((distance - 1.06) / 0.10) ** 2)))[..., None]
    canvas.replace_light(window, light * contact * (1 - inside) + refracted * inside)
