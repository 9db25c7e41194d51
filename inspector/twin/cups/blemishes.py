"""Defects that lie on the surface: mould, stains, dried residue.

Each function paints one defect onto the canvas and marks it from the same alpha. Lengths are in
centimetres on the cup; ``severity`` in (0, 1] makes a defect larger and plainer.
"""

from typing import Final

import numpy as np

from inspector.twin.cups.arrays import Floats, floats
from inspector.twin.cups.canvas import Canvas
from inspector.twin.cups.noise import smooth_noise
from inspector.twin.cups.places import anywhere, on_wall
from inspector.twin.cups.surface import RADIANS_PER_COLUMN, Window

_MOULD_COLOURS: Final = ((0.13, 0.17, 0.11), (0.10, 0.11, 0.10), (0.22, 0.24, 0.13))
_LIGHT_BROWN: Final = (0.90, 0.80, 0.62)
_LIGHT_BLACK: Final = (0.80, 0.80, 0.80)
_RESIDUE_COLOUR: Final = (0.55, 0.45, 0.33)


def draw_mould(canvas: Canvas, severity: float, random: np.random.Generator) -> None:
    """A colony: soft dark greenish spots with fuzzy halos around a few larger ones."""
    row, column = anywhere(canvas.surface, random)
    extent = 0.18 + 0.40 * severity
    window = canvas.surface.window(row, column, extent * 2.2, extent * 2.2)
    ragged = smooth_noise(random, window.shape, (9, 11), 4)
    count = 3 + int(random.integers(6, 26) * severity)
    away, aside = random.normal(0, extent * 0.45, (2, count))
    radii = np.clip(random.lognormal(np.log(0.034 + 0.018 * severity), 0.55, count), 0.018, 0.16)
    clear = np.ones(window.shape, np.float32)
    for y, x, radius in zip(away, aside, radii, strict=True):
        distance = np.hypot(window.around - x, window.along - y) / radius
        rough = distance + 0.16 * ragged
        opacity = random.uniform(0.5, 0.95) * (0.55 + 0.45 * severity)
        clear *= 1 - opacity * np.clip(1.25 - rough, 0, 1) ** 1.2
        clear *= 1 - 0.12 * np.exp(-((distance / 2.2) ** 2))
    alpha = np.clip((1 - clear) * np.clip(1 + 0.12 * ragged, 0, 1.2), 0, 1)
    canvas.paint(window, _MOULD_COLOURS[random.integers(len(_MOULD_COLOURS))], alpha)
    canvas.mark(window, alpha > 0.20)


def draw_stain(canvas: Canvas, severity: float, random: np.random.Generator) -> None:
    """A light-brown or light-black patch of low contrast that a person hardly sees."""
    row, column = anywhere(canvas.surface, random)
    on_base = row < canvas.surface.base_row
    radius = random.uniform(0.45, 0.75) * (0.6 + 0.9 * severity) * (0.75 if on_base else 1.15)
    window = canvas.surface.window(row, column, radius * 1.8, radius * 1.8)
    outline = smooth_noise(random, window.shape, (4, 4), 4)
    grain = np.clip(smooth_noise(random, window.shape, (8, 8), 3), -2, 2)
    stretched = window.around / random.uniform(0.7, 1.3)
    distance = np.hypot(stretched, window.along) / radius + 0.20 * outline
    beyond = np.minimum((distance - 0.8) / 0.07, 80)
    alpha = np.clip((0.85 + 0.15 * grain) / (1 + np.exp(beyond)), 0, 1)
    colour = _LIGHT_BROWN if random.random() < 0.6 else _LIGHT_BLACK
    strength = 0.30 + 0.70 * severity
    canvas.paint(window, 1 - (1 - floats(colour)) * strength, alpha)
    canvas.mark(window, alpha > 0.40)


def draw_residue(canvas: Canvas, severity: float, random: np.random.Generator) -> None:
    """What dried in the cup: a drop's ring, or an arc of a tide line around the wall."""
    if random.random() < 0.3:
        _draw_tide_line(canvas, severity, random)
    else:
        _draw_dried_drop(canvas, severity, random)


def _draw_dried_drop(canvas: Canvas, severity: float, random: np.random.Generator) -> None:
    """An uneven dark edge, faint rings and a veil inside; marked as a whole."""
    row, column = anywhere(canvas.surface, random)
    radius = random.uniform(0.25, 0.45) * (0.7 + 0.9 * severity)
    window = canvas.surface.window(row, column, radius * 1.9, radius * 1.8)
    bent = smooth_noise(random, window.shape, (4, 4), 3)
    uneven = np.clip(0.6 + 0.4 * smooth_noise(random, window.shape, (6, 6), 3), 0, 1.1)
    veil = np.clip(0.6 + 0.5 * smooth_noise(random, window.shape, (12, 12), 3), 0, 1.2)
    stretched = window.along / random.uniform(0.8, 1.3)
    distance = np.hypot(window.around, stretched) / radius + 0.10 * bent
    edge = np.where(
        distance < 1, np.exp((distance - 1) / 0.10), np.exp(-(((distance - 1) / 0.03) ** 2))
    )
    inner = sum(
        0.45 * random.random() * np.exp(-(((distance - ring) / 0.035) ** 2))
        for ring in (0.78, 0.55)
    )
    alpha = np.clip((edge + inner) * uneven + 0.14 * (distance < 1) * veil, 0, 1)
    canvas.paint(window, _RESIDUE_COLOUR, alpha * (0.35 + 0.45 * severity))
    canvas.mark(window, distance < 1.05)


def _draw_tide_line(canvas: Canvas, severity: float, random: np.random.Generator) -> None:
    """The level at which a drink stood: a wavy line with a fading veil below."""
    surface = canvas.surface
    row, column = on_wall(surface, random)
    half = int(np.deg2rad(random.uniform(15, 30 + 60 * severity)) / RADIANS_PER_COLUMN)
    window = surface.window(row, column, 0.95, half * RADIANS_PER_COLUMN * surface.radius_cm[row])
    on_the_wall = max(window.rows.start, surface.base_row)
    cut = on_the_wall - window.rows.start
    window = Window(
        slice(on_the_wall, window.rows.stop),
        window.columns,
        window.along[cut:],
        window.around[cut:],
    )
    columns = window.shape[1]
    level = 0.10 * _strip(random, columns, (2, 9))
    broken = np.clip(0.55 + 0.35 * _strip(random, columns, (2, 30)), 0, 1)
    ends = np.clip((1 - np.abs(np.linspace(-1, 1, columns))) / 0.15, 0, 1)
    line = np.exp(-(((window.along - level) / 0.035) ** 2)) * broken
    below = (window.along < level) & (window.along > -0.9)
    veil = 0.16 * below * np.clip(1 + window.along / 0.9, 0, 1)
    alpha = np.clip((line + veil) * ends, 0, 1)
    canvas.paint(window, _RESIDUE_COLOUR, alpha * (0.40 + 0.45 * severity))
    canvas.mark(window, (alpha > 0.10) & (window.along > level - 0.35))


def _strip(random: np.random.Generator, columns: int, cells: tuple[int, int]) -> Floats:
    """One row of smooth noise."""
    return smooth_noise(random, (1, columns), cells, 4)
