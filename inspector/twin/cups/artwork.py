"""What the maker put on a cup: the print on its wall and the raised marks under its base."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.twin.cups.arrays import Floats, Picture, floats, levels
from inspector.twin.cups.cup_types import Emblem, PrintArtwork
from inspector.twin.cups.pose import PRINT_COLUMN
from inspector.twin.cups.surface import ANGLES, RADIANS_PER_COLUMN, Surface

_SHEET_WIDTH: Final = 1640
_SHEET_HEIGHT: Final = 520
_PRINT_MIDDLE: Final = 0.52
"""Height of the print's middle line, as a part of the wall's length."""
_PRINT_HEIGHT: Final = 0.42
_INK_ENCODING: Final = 1 / 2.4
"""Ink is applied to tone-mapped levels; this power is the tone curve's."""


@dataclass(frozen=True, slots=True, eq=False)
class PrintOnWall:
    """The print, ready to multiply onto lit levels.

    Attributes:
        rows: its rows on the surface.
        columns: its columns in the cup's frame; they do not wrap.
        factor: rows×columns×3 uint8, 255 where there is no ink.
    """

    rows: slice
    columns: slice
    factor: Picture


@dataclass(frozen=True, slots=True, eq=False)
class ReliefOnBase:
    """Raised marks on the base, as heights and slopes.

    Attributes:
        rows: its rows on the surface; all columns.
        height: rows×ANGLES float32, 0 to 1.
        slope: height's change per row.
    """

    rows: slice
    height: Floats
    slope: Floats


@lru_cache(maxsize=8)
def print_of(surface: Surface) -> PrintOnWall:
    """The print of a cup type, drawn flat in centimetres and laid on the wall."""
    artwork = surface.cup_type.artwork
    sheet = _drawn_sheet(artwork)[:, ::-1]  # printed outside, seen from inside
    foot, top = float(surface.arc_cm[surface.base_row]), float(surface.arc_cm[-1])
    middle = foot + (top - foot) * _PRINT_MIDDLE
    height_cm = (top - foot) * _PRINT_HEIGHT
    cm_per_pixel = height_cm / _SHEET_HEIGHT
    radius = float(np.interp(middle, surface.arc_cm, surface.radius_cm))
    half = int(_SHEET_WIDTH / 2 * cm_per_pixel / radius / RADIANS_PER_COLUMN) + 2
    first, last = np.searchsorted(surface.arc_cm, [middle - height_cm / 2, middle + height_cm / 2])
    rows, columns = slice(int(first), int(last)), slice(PRINT_COLUMN - half, PRINT_COLUMN + half)
    across = np.arange(-half, half, dtype=np.float32) * (RADIANS_PER_COLUMN * radius)
    down = (middle + height_cm / 2 - surface.arc_cm[rows]) / cm_per_pixel
    map_x = np.tile(across / cm_per_pixel + _SHEET_WIDTH / 2, (len(down), 1))
    map_y = np.repeat(floats(down)[:, None], 2 * half, axis=1)
    ink = cv2.remap(np.ascontiguousarray(sheet), floats(map_x), map_y, cv2.INTER_LINEAR)
    ink = cv2.GaussianBlur(floats(ink) / 255, (0, 0), 1.6) * artwork.coverage
    colour = 1 - ink[..., None] * (1 - floats(artwork.ink))
    return PrintOnWall(rows, columns, levels(np.round(255 * colour**_INK_ENCODING)))


@lru_cache(maxsize=8)
def relief_of(surface: Surface) -> ReliefOnBase:
    """The raised marks of a cup type's base: recycling triangle, material and mould number."""
    flat = _drawn_base(surface.base_row, surface.cup_type.number)
    middle = surface.base_row - 0.5
    angle = np.arange(ANGLES, dtype=np.float32) * RADIANS_PER_COLUMN
    row = np.arange(surface.base_row, dtype=np.float32)[:, None]
    map_x, map_y = middle + row * np.cos(angle), middle - row * np.sin(angle)
    height = cv2.remap(flat, map_x, map_y, cv2.INTER_LINEAR, borderValue=0)
    used = np.flatnonzero(height.max(axis=1) > 0.01)
    rows = slice(int(used[0]), int(used[-1]) + 1)
    slope = np.gradient(height, axis=0)
    return ReliefOnBase(rows, np.ascontiguousarray(height[rows]), np.ascontiguousarray(slope[rows]))


def _drawn_sheet(artwork: PrintArtwork) -> Picture:
    """The flat print, white ink on black, as read from outside."""
    sheet = np.zeros((_SHEET_HEIGHT, _SHEET_WIDTH), np.uint8)
    font, left = cv2.FONT_HERSHEY_DUPLEX, 400
    (width, _), _ = cv2.getTextSize(artwork.name, font, 6, 26)
    room = _SHEET_WIDTH - left - 60
    scale = min(6.0, 6.0 * room / width)
    cv2.putText(sheet, artwork.name, (left, 300), font, scale, 255, 26, cv2.LINE_AA)
    cv2.putText(sheet, artwork.note, (left + 30, 430), font, 2.4, 255, 9, cv2.LINE_AA)
    cv2.line(sheet, (left, 475), (left + min(width, room), 475), 255, 8, cv2.LINE_AA)
    _EMBLEMS[artwork.emblem](sheet, (200, 270), 150)
    inked = np.flatnonzero(sheet.any(axis=0))
    return np.roll(sheet, (_SHEET_WIDTH - int(inked[0]) - int(inked[-1])) // 2, axis=1)


def _draw_loop(sheet: Picture, centre: tuple[int, int], size: int) -> None:
    """Two thirds of a ring with an arrow head."""
    cv2.ellipse(sheet, centre, (size - 20, size - 20), 0, -60, 200, 255, 38, cv2.LINE_AA)
    turn = np.deg2rad(-60)
    tip = np.array(centre) + (size - 20) * np.array([np.cos(turn), np.sin(turn)])
    ahead = np.array([np.sin(turn), -np.cos(turn)]) * 110
    aside = np.array([np.cos(turn), np.sin(turn)]) * 62
    head = np.round([tip + ahead, tip - aside, tip + aside]).astype(np.int32)
    cv2.fillPoly(sheet, [head], 255, cv2.LINE_AA)


def _draw_leaf(sheet: Picture, centre: tuple[int, int], size: int) -> None:
    """A leaf with its vein, leaning to the right."""
    turn = np.linspace(0, 2 * np.pi, 120)
    along, across = np.cos(turn), 0.45 * np.sin(turn) * (1 - 0.35 * np.cos(turn))
    lean = np.deg2rad(-55)
    x = centre[0] + size * (along * np.cos(lean) - across * np.sin(lean))
    y = centre[1] + size * (along * np.sin(lean) + across * np.cos(lean))
    cv2.fillPoly(sheet, [np.round(np.stack([x, y], 1)).astype(np.int32)], 255, cv2.LINE_AA)
    foot = (
        int(centre[0] - 1.25 * size * np.cos(lean)),
        int(centre[1] - 1.25 * size * np.sin(lean)),
    )
    tip = (int(centre[0] + 0.6 * size * np.cos(lean)), int(centre[1] + 0.6 * size * np.sin(lean)))
    cv2.line(sheet, centre, tip, 0, 14, cv2.LINE_AA)
    cv2.line(sheet, foot, centre, 0, 30, cv2.LINE_AA)
    cv2.line(sheet, foot, centre, 255, 14, cv2.LINE_AA)


def _draw_drop(sheet: Picture, centre: tuple[int, int], size: int) -> None:
    """A drop over two waves."""
    turn = np.linspace(0, 2 * np.pi, 120)
    x = centre[0] + 0.62 * size * np.sin(turn) * np.sin(turn / 2)
    y = centre[1] - 0.15 * size - 0.85 * size * np.cos(turn)
    cv2.fillPoly(sheet, [np.round(np.stack([x, y], 1)).astype(np.int32)], 255, cv2.LINE_AA)
    for below in (0.95, 1.2):
        wave_x = np.linspace(-size, size, 60)
        wave_y = below * size + 0.1 * size * np.sin(wave_x / size * 6)
        wave = np.round(np.stack([centre[0] + wave_x, centre[1] + wave_y], 1)).astype(np.int32)
        cv2.polylines(sheet, [wave], False, 255, 18, cv2.LINE_AA)


def _draw_bean(sheet: Picture, centre: tuple[int, int], size: int) -> None:
    """A coffee bean with its furrow and a wisp of steam."""
    bean = (centre[0], centre[1] + size // 3)
    cv2.ellipse(sheet, bean, (size, int(0.66 * size)), -20, 0, 360, 255, -1, cv2.LINE_AA)
    along = np.linspace(-1, 1, 60)
    furrow_x = bean[0] + size * along
    furrow_y = bean[1] - size * (0.36 * along - 0.16 * np.sin(np.pi * along))
    furrow = np.round(np.stack([furrow_x, furrow_y], 1)).astype(np.int32)
    cv2.polylines(sheet, [furrow], False, 0, 22, cv2.LINE_AA)
    rise = np.linspace(0, 1, 40)
    steam_x = centre[0] + 0.4 * size + 0.13 * size * np.sin(rise * 7)
    steam = np.stack([steam_x, centre[1] - size * (0.55 + 0.75 * rise)], 1)
    cv2.polylines(sheet, [np.round(steam).astype(np.int32)], False, 255, 18, cv2.LINE_AA)


_EMBLEMS: Final = {
    Emblem.LOOP: _draw_loop,
    Emblem.LEAF: _draw_leaf,
    Emblem.DROP: _draw_drop,
    Emblem.BEAN: _draw_bean,
}


def _drawn_base(radius: int, mould_number: int) -> Floats:
    """The base's raised marks as a (2·radius)² height picture, 0 to 1."""
    base = np.zeros((2 * radius, 2 * radius), np.uint8)
    side, below = 0.20 * radius, 0.30 * radius
    middle = np.array([radius, radius + below])
    turns = np.deg2rad([0.0, 120.0, 240.0])
    corners = middle + side * np.stack([np.sin(turns), -np.cos(turns)], axis=1)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        way = (end - start) / np.linalg.norm(end - start)
        aside = np.array([-way[1], way[0]])
        tail, tip = start + 0.12 * (end - start), start + 0.80 * (end - start)
        for a, b in (
            (tail, tip),
            (tip, tip - 14 * way + 10 * aside),
            (tip, tip - 14 * way - 10 * aside),
        ):
            cv2.line(base, _pixel(a), _pixel(b), 255, 5, cv2.LINE_AA)
    font = cv2.FONT_HERSHEY_SIMPLEX
    texts = (
        ("5", (radius - 9, int(radius + below) + 14), 0.9),
        ("PP", (radius - 20, int(radius + below + side) + 34), 0.9),
        (f"{6 + mould_number}-B", (radius - int(0.45 * radius), radius - int(0.25 * radius)), 0.8),
    )
    for text, place, scale in texts:
        cv2.putText(base, text, place, font, scale, 255, 3, cv2.LINE_AA)
    return floats(cv2.GaussianBlur(floats(base) / 255, (0, 0), 1.7))


def _pixel(point: NDArray[np.floating]) -> tuple[int, int]:
    return int(point[0]), int(point[1])
