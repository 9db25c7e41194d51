"""Defects of the material: cracks, holes, chips at the rim, deep scratches.

Each function paints one defect onto the canvas and marks it from the same alpha. Lengths are in
centimetres on the cup; ``severity`` in (0, 1] makes a defect larger and plainer.
"""

from typing import Final

import cv2
import numpy as np

from inspector.twin.cups.arrays import Floats, levels
from inspector.twin.cups.canvas import Canvas
from inspector.twin.cups.noise import smooth_noise
from inspector.twin.cups.places import anywhere, on_base, on_rim, on_wall
from inspector.twin.cups.surface import ANGLES, RADIANS_PER_COLUMN, Surface, Window

_STEP_CM: Final = 0.03
_SUBPIXEL_BITS: Final = 4
_DARK: Final = (0.16, 0.16, 0.16)


def draw_crack(canvas: Canvas, severity: float, random: np.random.Generator) -> None:
    """A jagged branched line: dark where it gapes, whitened lips, one side a little out of plane.

    In a translucent cup some light leaks through its far end.
    """
    surface = canvas.surface
    place, heading, stretch = _crack_start(surface, random)
    row, column = place
    length = random.uniform(0.8, 1.3) * (0.5 + 1.9 * severity) * stretch
    window = surface.window(row, column, length * 1.15, length * 0.9)
    start = float(surface.arc_cm[row])
    core = np.zeros(window.shape, np.float32)
    width = 1.3 + 1.7 * severity
    for path in _crack_paths(surface, start, length, heading, width, random):
        _draw_path(core, window, path, start)
    core = cv2.GaussianBlur(core, (0, 0), 0.55)
    near = cv2.GaussianBlur(core, (0, 0), 3.0)
    one_side = np.clip(np.roll(core, 2, axis=1) - 0.8 * core, 0, 1)
    other_side = np.clip(np.roll(core, -3, axis=1) - 0.8 * core, 0, 1)
    sheen = 0.10 * np.clip(1.5 * near, 0, 1) * (1 - core) + 0.18 * one_side - 0.08 * other_side
    if surface.cup_type.translucent:
        sheen += 0.10 * near
    alpha = np.clip(core * 1.05, 0, 1) * (0.55 + 0.35 * severity)
    canvas.paint(window, _DARK, alpha, sheen * (0.5 + 0.5 * severity))
    canvas.mark(window, cv2.dilate(levels(core > 0.22), np.ones((3, 3), np.uint8)))


def _crack_start(
    surface: Surface, random: np.random.Generator
) -> tuple[tuple[int, int], float, float]:
    """Place, heading (0 leads towards the base) and a factor of length."""
    where = random.random()
    if where < 0.55:
        return on_rim(surface, random), random.normal(0, 0.25), 1.0
    if where < 0.85:
        down_or_up = random.choice([0.0, np.pi])
        return on_wall(surface, random), down_or_up + random.normal(0, 0.35), 1.3
    return on_base(surface, random), random.uniform(-np.pi, np.pi), 1.0


class _Path:
    """One branch of a crack: its points in arc length (cm) and columns, and its width in rows."""

    def __init__(self, arc: list[float], column: list[float], width: float) -> None:
        self.arc = np.array(arc)
        self.column = np.array(column)
        self.width = width


def _crack_paths(
    surface: Surface,
    start_arc: float,
    length: float,
    heading: float,
    width: float,
    random: np.random.Generator,
) -> list[_Path]:
    """Straight pieces with sharp kinks; a branch may leave at each kink, thinner than its stem."""
    paths: list[_Path] = []
    waiting = [(start_arc, 0.0, length, heading, width, 0)]
    while waiting:
        arc, column, left, heading, width, depth = waiting.pop()
        arcs, columns = [arc], [column]
        while left > 0:
            piece = min(left, random.gamma(1.4, 0.08) + 0.02)
            left -= piece
            turn = heading + random.normal(0, 0.62)
            for _ in range(max(1, int(piece / _STEP_CM))):
                arc = abs(arc - _STEP_CM * np.cos(turn))
                radius = max(float(np.interp(arc, surface.arc_cm, surface.radius_cm)), 0.3)
                column += _STEP_CM * np.sin(turn) / radius / RADIANS_PER_COLUMN
                column += random.normal(0, 0.5)
                arcs.append(arc)
                columns.append(column)
            if depth < 2 and left > 0.3 and random.random() < 0.22:
                off = heading + random.choice([-1, 1]) * random.uniform(0.4, 0.9)
                branch = left * random.uniform(0.2, 0.6)
                waiting.append((arc, column, branch, off, width * 0.6, depth + 1))
        paths.append(_Path(arcs, columns, width))
    return paths


def _draw_path(core: Floats, window: Window, path: _Path, start_arc: float) -> None:
    """Draws a branch that gets thinner and fainter towards its end."""
    height, width = core.shape
    row = np.interp(path.arc - start_arc, window.along[:, 0], np.arange(height))
    points = np.stack([path.column + width // 2, row], axis=1) * (1 << _SUBPIXEL_BITS)
    line = np.round(points).astype(np.int32)
    count = len(line)
    for first, last, strength, part in ((0, 0.3, 1, 1), (0.3, 0.7, 0.8, 0.6), (0.7, 1, 0.55, 0.3)):
        piece = line[int(first * count) : int(last * count) + 1]
        if len(piece) > 1:
            layer = np.zeros_like(core)
            thick = max(1, round(path.width * part))
            cv2.polylines(layer, [piece], False, strength, thick, cv2.LINE_AA, _SUBPIXEL_BITS)
            np.maximum(core, layer, out=core)


def draw_hole(canvas: Canvas, severity: float, random: np.random.Generator) -> None:
    """A hole through which the shaded table shows, with the wall's thickness on one side."""
    row, column = anywhere(canvas.surface, random)
    radius = random.uniform(0.09, 0.14) * (0.6 + 1.2 * severity)
    window = canvas.surface.window(row, column, radius * 2.8, radius * 2.6)
    ragged = smooth_noise(random, window.shape, (3, 3), 3)
    distance = np.hypot(window.around, window.along) / radius + 0.10 * ragged
    alpha = np.clip((1 - distance) / 0.08 + 0.5, 0, 1)
    angle = np.arctan2(window.along, window.around)
    lip = np.exp(-(((distance - 1.12) / 0.07) ** 2)) * (0.5 + 0.5 * np.sin(angle + 1.2))
    dent = np.exp(-(((distance - 1.35) / 0.15) ** 2))
    canvas.paint(window, (1.0, 1.0, 1.0), alpha, 0.20 * lip - 0.10 * dent)
    shade = 0.14 + 0.30 * np.clip((window.along / radius + 1) / 2, 0, 1)
    canvas.see_through(window, alpha, shade)
    canvas.mark(window, alpha > 0.5)


def draw_scratch(canvas: Canvas, severity: float, random: np.random.Generator) -> None:
    """One to three deep grooves side by side, dark with a bright ridge."""
    surface = canvas.surface
    row, column = anywhere(surface, random)
    length = random.uniform(0.8, 1.2) * (0.5 + 1.6 * severity)
    window = surface.window(row, column, length * 0.6, length * 0.6)
    # Where the wall is seen almost edge-on a groove is still as wide as the lens shows it.
    row_cm = np.gradient(surface.arc_cm)[window.rows, None]
    heading = random.uniform(0, np.pi)
    groove = np.zeros(window.shape, np.float32)
    for number in range(int(random.integers(1, 4))):
        turn = heading + random.normal(0, 0.06)
        offset, bend, slip = random.normal(0, 0.06), random.normal(0, 0.06), random.normal(0, 0.2)
        along = window.around * np.cos(turn) + window.along * np.sin(turn)
        aside = window.along * np.cos(turn) - window.around * np.sin(turn)
        aside = aside - offset - bend * along**2
        width = np.maximum(0.010 + 0.004 * number, 0.85 * row_cm)
        ends = np.clip((length / 2 - np.abs(along + slip)) / 0.15, 0, 1)
        pressure = np.clip(0.75 + 0.25 * np.sin(9 * along + number), 0, 1)
        groove = np.maximum(groove, np.exp(-((aside / width) ** 2)) * ends * pressure)
    ridge = np.roll(groove, 2, axis=0)
    depth = 0.5 + 0.5 * severity
    canvas.paint(window, (0.55, 0.55, 0.55), groove * depth, 0.18 * ridge * depth)
    canvas.mark(window, groove > 0.30)


def draw_chip(canvas: Canvas, severity: float, random: np.random.Generator) -> None:
    """A piece broken out of the rim: the table shows, the broken edge is light."""
    surface = canvas.surface
    _, column = on_rim(surface, random)
    rim = surface.rim_row
    depth = random.uniform(7, 12) * (0.6 + 1.5 * severity)
    half_cm = random.uniform(0.3, 0.5) * (0.6 + 1.4 * severity)
    half = int(half_cm / float(surface.radius_cm[int(rim)]) / RADIANS_PER_COLUMN) + 1
    across = np.linspace(-1, 1, 2 * half + 1)
    profile = depth * np.clip(1 - np.abs(across) ** random.uniform(1.5, 3), 0, 1)
    profile *= 1 + 0.25 * smooth_noise(random, (1, 2 * half + 1), (2, 5), 4)[0]
    profile += 0.8 * smooth_noise(random, (1, 2 * half + 1), (2, 24), 2)[0]
    rows = slice(int(rim - depth * 1.8) - 8, int(rim) + 12)
    columns = (column + np.arange(-half, half + 1)) % ANGLES
    row = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
    window = Window(rows, columns, row, np.zeros((len(row), len(columns)), np.float32))
    broken = profile > 0.5
    beyond = row - (rim - np.maximum(profile, 0))[None]
    gone = np.clip(beyond + 0.5, 0, 1) * broken
    edge = np.exp(-(((beyond + 2.2) / 1.6) ** 2)) * broken
    inner = np.exp(-(((beyond + 6.0) / 2.5) ** 2)) * broken
    nothing = np.zeros(window.shape, np.float32)
    canvas.paint(window, (1.0, 1.0, 1.0), nothing, 0.16 * edge - 0.14 * inner)
    canvas.see_through(window, gone, 1.0)
    missing = (gone > 0.5) & (row <= rim)
    canvas.mark(window, missing)
    canvas.break_off(window, missing)
