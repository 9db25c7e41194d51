"""The white cover below the cups: its light, its fibres and specks, and how it runs on."""

from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from inspector.twin.cups.arrays import Floats, Picture, floats
from inspector.twin.cups.camera import FRAME_HEIGHT, FRAME_WIDTH, Exposure
from inspector.twin.cups.cup_types import CUP_TYPES
from inspector.twin.cups.noise import smooth_noise
from inspector.twin.cups.surface import Surface, surface_of

_SCALE: Final = 8
"""The table's light is baked at one sample for this many pixels each way."""
_COVER_ZERO: Final = 32
"""Level of a cover that changes nothing: low, so that adding it cannot pass white."""
_COVER_LEVEL: Final = 190
"""Usual level of the cover; its specks are a part of this."""
_SUBPIXEL_BITS: Final = 4


def belt_beside_cup(
    surface: Surface, exposure: Exposure, shift_xy: tuple[float, float], random: np.random.Generator
) -> Picture:
    """The belt with the shadow of one cup, FRAME_HEIGHT×FRAME_WIDTH×3 uint8 RGB.

    Args:
        surface: of the cup that casts the shadow.
        exposure: lamps and gain of the picture.
        shift_xy: the cup's rim off the middle of the picture, in pixels.
        random: where the belt has run to.
    """
    move = floats(shift_xy) * floats(surface.table_move / _SCALE)
    return _belt(surface.table_left_lit, surface.table_right_lit, exposure, move, random)


def belt_alone(exposure: Exposure, random: np.random.Generator) -> Picture:
    """The belt without a cup, FRAME_HEIGHT×FRAME_WIDTH×3 uint8 RGB."""
    left_lit, right_lit = _bare_table()
    return _belt(left_lit, right_lit, exposure, np.zeros(2, np.float32), random)


def _belt(
    left_lit: Floats,
    right_lit: Floats,
    exposure: Exposure,
    move: Floats,
    random: np.random.Generator,
) -> Picture:
    small = exposure.levels(left_lit, right_lit)
    matrix = floats([[1, 0, move[0]], [0, 1, move[1]]])
    size = (small.shape[1], small.shape[0])
    small = cv2.warpAffine(small, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    rows = FRAME_HEIGHT / _SCALE
    small = cv2.subtract(small[: int(np.ceil(rows))], (_COVER_ZERO,) * 3 + (0,))
    frame: Picture = np.empty((FRAME_HEIGHT, FRAME_WIDTH, 3), np.uint8)
    cv2.resize(small, (FRAME_WIDTH, FRAME_HEIGHT), dst=frame, interpolation=cv2.INTER_LINEAR)
    run = int(random.integers(0, FRAME_WIDTH))
    for place, cover in (
        (slice(run, None), slice(None, FRAME_WIDTH - run)),
        (slice(None, run), slice(FRAME_WIDTH - run, None)),
    ):
        part = frame[:, place]
        if part.size:
            cv2.add(part, _cover()[:, cover], dst=part)
    return frame


@lru_cache(maxsize=1)
def _bare_table() -> tuple[Floats, Floats]:
    """The table's light without any cup: a smooth surface through what lies outside the shadow."""
    surface = surface_of(CUP_TYPES["type-03"])
    row, column = np.mgrid[:232, :360].astype(np.float32)
    x, y = (column - 179.5) / 180, (row - 115.5) / 116
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y, x**3, x * y * y], axis=-1)
    outside = np.hypot(x * 180, y * 116) * _SCALE > 1.3 * surface.rim_row
    weights, *_ = np.linalg.lstsq(terms[outside], surface.table_left_lit[outside], rcond=None)
    left_lit = floats(terms @ weights)
    return left_lit, np.ascontiguousarray(left_lit[:, ::-1])


@lru_cache(maxsize=1)
def _cover() -> Picture:
    """The cover's own pattern as levels around ``_COVER_ZERO``; its left and right edges meet."""
    random = np.random.default_rng(99)
    half = (FRAME_HEIGHT // 2, FRAME_WIDTH // 2)
    pattern = 0.0035 * smooth_noise(random, half, (7, 11), 4)
    pattern += 0.004 * smooth_noise(random, half, (FRAME_HEIGHT // 5, FRAME_WIDTH // 5), 1)
    pattern = cv2.resize(pattern, (FRAME_WIDTH, FRAME_HEIGHT), interpolation=cv2.INTER_LINEAR)
    marks = np.zeros_like(pattern)
    for _ in range(260):
        place = random.uniform(20, FRAME_WIDTH - 20), random.uniform(0, FRAME_HEIGHT)
        radius = random.gamma(2, 0.5) + 0.4
        cv2.circle(
            marks,
            _subpixel(place),
            _subpixel((radius, 0))[0],
            random.choice([-0.05, -0.03, 0.02]),
            -1,
            cv2.LINE_AA,
            _SUBPIXEL_BITS,
        )
    for _ in range(14):
        start = random.uniform((80, 0), (FRAME_WIDTH - 80, FRAME_HEIGHT))
        steps = random.normal(0, 6, (10, 2)) + random.normal(0, 5, 2)
        fibre = start + np.clip(np.cumsum(steps, axis=0), -75, 75)
        points = np.round(fibre * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        strength = random.choice([-0.06, 0.03])
        cv2.polylines(marks, [points], False, strength, 1, cv2.LINE_AA, _SUBPIXEL_BITS)
    pattern += cv2.GaussianBlur(marks, (0, 0), 0.8)
    levels = np.round(_COVER_ZERO + _COVER_LEVEL * pattern).clip(0, 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def _subpixel(point: tuple[float, float]) -> tuple[int, int]:
    scale = 1 << _SUBPIXEL_BITS
    return round(point[0] * scale), round(point[1] * scale)
