"""What makes one clean cup differ from the next: mottling, flow lines, permitted wear, dust."""

from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from inspector.twin.cups.arrays import Coverage, Picture, floats, strips
from inspector.twin.cups.artwork import print_of, relief_of
from inspector.twin.cups.noise import smooth_noise
from inspector.twin.cups.pose import Turn
from inspector.twin.cups.surface import ANGLES, RADIANS_PER_COLUMN, Surface

UNTOUCHED: Final = 200
"""Level of a texture that leaves the light as it is."""
_LEVELS_PER_PART: Final = UNTOUCHED / 2.2
"""A change by 1 in linear light is about this many texture levels (the tone curve's power)."""
_MELTS: Final = 6
_SUBPIXEL_BITS: Final = 4
_SCUFF_ZERO: Final = 128


def clean_texture(surface: Surface, turn: Turn, random: np.random.Generator) -> Picture:
    """The texture of one clean cup without its print.

    Args:
        surface: of its type.
        turn: the raised marks on the base catch the lamps according to it.
        random: where the cup's own marks come from.

    Returns:
        rows×ANGLES uint8 in the cup's own columns; ``UNTOUCHED`` changes nothing.
    """
    texture = _material(surface, random)
    scuffs = np.full(texture.shape, _SCUFF_ZERO, np.uint8)
    _draw_scuffs(scuffs, surface, random)
    _draw_hairlines(scuffs, surface, random)
    cv2.addWeighted(texture, 1.0, scuffs, 1.0, -_SCUFF_ZERO, dst=texture)
    _emboss(texture, surface, turn)
    _lay_dust(texture, surface, random)
    return texture


def apply_print(lit: Picture, surface: Surface, turn: Turn) -> None:
    """Multiplies the print onto the lit surface (rows×≥ANGLES×3 uint8, picture columns), in place."""
    printed = print_of(surface)
    first = (printed.columns.start + turn.column) % ANGLES
    width = printed.factor.shape[1]
    before_seam = min(width, ANGLES - first)
    for columns, part in (
        (slice(first, first + before_seam), slice(0, before_seam)),
        (slice(0, width - before_seam), slice(before_seam, width)),
    ):
        if part.stop > part.start:
            patch = lit[printed.rows, columns]
            cv2.multiply(patch, printed.factor[:, part], dst=patch, scale=1 / 255)


def _material(surface: Surface, random: np.random.Generator) -> Picture:
    """Uneven thickness, flow lines and turning marks: two of the type's melts, turned and mixed."""
    one, other = (_melt(surface, int(number)) for number in random.choice(_MELTS, 2, replace=False))
    turn, other_turn = random.integers(ANGLES, size=2).tolist()
    share = random.uniform(0, np.pi / 2)
    first, second = float(np.cos(share)), float(np.sin(share))
    rest = UNTOUCHED * (1 - first - second)
    mixed = np.empty_like(one)
    for rows in strips(surface.rows):
        turned, beside = np.roll(one[rows], turn, axis=1), np.roll(other[rows], other_turn, axis=1)
        cv2.addWeighted(turned, first, beside, second, rest, dst=mixed[rows])
    return mixed


@lru_cache(maxsize=4 * _MELTS)
def _melt(surface: Surface, number: int) -> Picture:
    """One way in which the plastic of a type may have flowed into its mould; drawing it takes long."""
    random = np.random.default_rng((surface.cup_type.number, number))
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


def _draw_scuffs(layer: Picture, surface: Surface, random: np.random.Generator) -> None:
    """Faint arcs that cups leave in each other when they are stacked."""
    count = int(random.poisson(70))
    row = random.integers(surface.base_row + 10, int(surface.rim_row) - 2, (count, 1))
    way = random.gamma(2, 90, (count, 1)) * np.linspace(0, 1, 8)
    wander = random.normal(0, 0.03, (count, 1)) * way
    wander += np.cumsum(random.normal(0, 0.6, (count, 8)), axis=1)
    columns = random.integers(0, ANGLES, (count, 1)) + way
    _draw_lines(layer, columns, row + wander, random.normal(0.03, 0.045, count))


def _draw_hairlines(layer: Picture, surface: Surface, random: np.random.Generator) -> None:
    """Fine straight lines on the base, as cutlery and brushes leave them."""
    count = int(random.poisson(40))
    row = random.integers(20, surface.base_row, (count, 1))
    angle, heading = random.uniform(0, 2 * np.pi, (2, count, 1))
    way = random.gamma(2, 30, (count, 1)) * np.linspace(0, 1, 12)
    x = row * np.cos(angle) + way * np.cos(heading)
    y = row * np.sin(angle) + way * np.sin(heading)
    columns = np.unwrap(np.arctan2(y, x), axis=1) / RADIANS_PER_COLUMN
    columns -= ANGLES * np.floor(columns.min(axis=1, keepdims=True, initial=0.0) / ANGLES)
    _draw_lines(layer, columns, np.hypot(x, y), random.normal(0.025, 0.045, count))


def _draw_lines(layer: Picture, columns: Coverage, rows: Coverage, strengths: Coverage) -> None:
    """Lines (count×points) one pixel wide, drawn again one turn back where they pass the seam."""
    levels = np.clip(np.round(_SCUFF_ZERO + _LEVELS_PER_PART * strengths), 0, 255).tolist()
    scale = 1 << _SUBPIXEL_BITS
    lines = np.round(np.stack([columns, rows], axis=2) * scale).astype(np.int32)
    one_turn = np.array([ANGLES * scale, 0], np.int32)
    passes_seam = (columns.max(axis=1, initial=0.0) >= ANGLES).tolist()
    for line, level, again in zip(lines, levels, passes_seam, strict=True):
        for points in (line, line - one_turn) if again else (line,):
            cv2.polylines(layer, [points], False, level, 1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _emboss(texture: Picture, surface: Surface, turn: Turn) -> None:
    """Raised marks under two lamps at the sides: bright and dark flanks across the long axis."""
    relief = relief_of(surface)
    column = np.arange(ANGLES) + turn.column
    toward_lamps = floats(np.cos(column * RADIANS_PER_COLUMN))[None]
    base = texture[relief.rows]
    for rows in strips(len(base)):
        slope = relief.slope[rows] * toward_lamps
        change = 0.75 * np.abs(slope) + 0.35 * slope - 0.07 * relief.height[rows]
        base[rows] = np.clip(np.round(base[rows] + _LEVELS_PER_PART * change), 0, 255)


def _lay_dust(texture: Picture, surface: Surface, random: np.random.Generator) -> None:
    """Specks of a few pixels, mostly dark."""
    for _ in range(int(random.poisson(18))):
        row = random.integers(30, int(surface.rim_row) - 45)
        window = surface.window(int(row), int(random.integers(0, ANGLES)), 0.08, 0.08)
        spread = random.uniform(0.008, 0.02)
        speck = np.exp(-(window.along**2 + window.around**2) / spread**2)
        change = random.choice([-0.16, -0.10, 0.10]) * _LEVELS_PER_PART * speck
        patch = texture[window.rows, window.columns] + change
        texture[window.rows, window.columns] = np.clip(np.round(patch), 0, 255)
