"""What makes one clean cup differ from the next: mottling, flow lines, permitted wear, dust."""

from typing import Final

import cv2
import numpy as np

from inspector.twin.cups.arrays import Coverage, Picture, floats
from inspector.twin.cups.artwork import print_of, relief_of
from inspector.twin.cups.noise import smooth_noise
from inspector.twin.cups.pose import Pose
from inspector.twin.cups.surface import ANGLES, RADIANS_PER_COLUMN, Surface

UNTOUCHED: Final = 200
"""Level of a texture that leaves the light as it is."""
_LEVELS_PER_PART: Final = UNTOUCHED / 2.2
"""A change by 1 in linear light is about this many texture levels (the tone curve's power)."""
_SUBPIXEL_BITS: Final = 4
_SCUFF_ZERO: Final = 128


def clean_texture(
    surface: Surface, pose: Pose, wear: float, random: np.random.Generator
) -> Picture:
    """The texture of one clean cup without its print.

    Args:
        surface: of its type.
        pose: the raised marks on the base catch the lamps according to the cup's angle.
        wear: how used it is; 1 is usual, 0 is new.
        random: where the cup's own marks come from.

    Returns:
        rows×ANGLES uint8 in the cup's frame; ``UNTOUCHED`` changes nothing.
    """
    texture = _material(surface, random)
    scuffs = np.full(texture.shape, _SCUFF_ZERO, np.uint8)
    _draw_scuffs(scuffs, surface, wear, random)
    _draw_hairlines(scuffs, surface, wear, random)
    cv2.addWeighted(texture, 1.0, scuffs, 1.0, -_SCUFF_ZERO, dst=texture)
    _emboss(texture, surface, pose)
    _lay_dust(texture, surface, wear, random)
    return texture


def apply_print(lit: Picture, surface: Surface) -> None:
    """Multiplies the print onto the lit surface (rows×≥ANGLES×3 uint8), in place."""
    printed = print_of(surface)
    patch = lit[printed.rows, printed.columns]
    cv2.multiply(patch, printed.factor, dst=patch, scale=1 / 255)


def _material(surface: Surface, random: np.random.Generator) -> Picture:
    """Uneven thickness, flow lines of the melt, turning marks of the mould's base."""
    rows = surface.rows
    coarse = (rows // 4 + 1, ANGLES // 4)
    outward = np.clip(np.linspace(0, rows / surface.base_row, coarse[0]) - 0.25, 0, 1)
    change = 0.010 * smooth_noise(random, coarse, (5, 24), 4)
    change += 0.005 * smooth_noise(random, coarse, (2, 180), 2) * floats(outward)[:, None]
    change = cv2.resize(change, (ANGLES // 2, rows), interpolation=cv2.INTER_LINEAR)
    change += 0.004 * smooth_noise(random, (rows, ANGLES // 2), (rows // 6, ANGLES // 10), 1)
    knots = np.arange(0, surface.base_row + 3, 3)
    turned = np.interp(np.arange(surface.base_row), knots, random.standard_normal(len(knots)))
    change[: surface.base_row] += floats(0.008 * turned)[:, None]
    half = np.clip(np.round(UNTOUCHED + _LEVELS_PER_PART * change), 0, 255).astype(np.uint8)
    full: Picture = cv2.resize(half, (ANGLES, rows), interpolation=cv2.INTER_LINEAR)
    return full


def _draw_scuffs(
    layer: Picture, surface: Surface, wear: float, random: np.random.Generator
) -> None:
    """Faint arcs that cups leave in each other when they are stacked."""
    for _ in range(int(random.poisson(70 * wear))):
        row = random.integers(surface.base_row + 10, int(surface.rim_row) - 2)
        column, length = random.integers(0, ANGLES), random.gamma(2, 90)
        way = np.linspace(0, length, 8)
        wander = random.normal(0, 0.03) * way + np.cumsum(random.normal(0, 0.6, 8))
        _draw_line(layer, column + way, row + wander, random.normal(0.03, 0.045))


def _draw_hairlines(
    layer: Picture, surface: Surface, wear: float, random: np.random.Generator
) -> None:
    """Fine straight lines on the base, as cutlery and brushes leave them."""
    for _ in range(int(random.poisson(40 * wear))):
        row, angle = random.integers(20, surface.base_row), random.uniform(0, 2 * np.pi)
        heading, way = random.uniform(0, 2 * np.pi), np.linspace(0, random.gamma(2, 30), 12)
        x = row * np.cos(angle) + way * np.cos(heading)
        y = row * np.sin(angle) + way * np.sin(heading)
        column = np.unwrap(np.arctan2(y, x)) / RADIANS_PER_COLUMN
        column -= ANGLES * np.floor(column.min() / ANGLES)
        _draw_line(layer, column, np.hypot(x, y), random.normal(0.025, 0.045))


def _draw_line(layer: Picture, columns: Coverage, rows: Coverage, strength: float) -> None:
    """One line of a width of one pixel, drawn again one turn back where it passes the seam."""
    level = int(np.clip(round(_SCUFF_ZERO + _LEVELS_PER_PART * strength), 0, 255))
    for turn in (0, ANGLES) if columns.max() >= ANGLES else (0,):
        points = np.stack([columns - turn, rows], axis=1) * (1 << _SUBPIXEL_BITS)
        line = np.round(points).astype(np.int32)
        cv2.polylines(layer, [line], False, level, 1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _emboss(texture: Picture, surface: Surface, pose: Pose) -> None:
    """Raised marks under two lamps at the sides: bright and dark flanks across the long axis."""
    relief = relief_of(surface)
    column = np.arange(ANGLES) + pose.light_column
    toward_lamps = floats(np.cos(column * RADIANS_PER_COLUMN))[None]
    slope = relief.slope * toward_lamps
    change = 0.75 * np.abs(slope) + 0.35 * slope - 0.07 * relief.height
    embossed = texture[relief.rows] + _LEVELS_PER_PART * change
    texture[relief.rows] = np.clip(np.round(embossed), 0, 255)


def _lay_dust(texture: Picture, surface: Surface, wear: float, random: np.random.Generator) -> None:
    """Specks of a few pixels, mostly dark."""
    for _ in range(int(random.poisson(18 * wear))):
        row = random.integers(30, int(surface.rim_row) - 45)
        window = surface.window(int(row), int(random.integers(0, ANGLES)), 0.08, 0.08)
        spread = random.uniform(0.008, 0.02)
        speck = np.exp(-(window.along**2 + window.around**2) / spread**2)
        change = random.choice([-0.16, -0.10, 0.10]) * _LEVELS_PER_PART * speck
        patch = texture[window.rows, window.columns] + change
        texture[window.rows, window.columns] = np.clip(np.round(patch), 0, 255)
