"""Where cups are: background probability → circles of their rims, in frame pixels.

A rim is fitted in two steps. RANSAC over the mask's contour finds circles that many of its points
agree on, however many cups there are and wherever they are cut. Then each circle is measured along
rays, and a Tukey-weighted fit leaves out the rays that a chip has moved.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.vision.circle_fit import COSINE, RAYS, SINE, circle_shift

_FITS = 2
_HALF_RAY = 5.0
"""How far from the first circle a ray looks for the rim, in mask pixels."""
_RAY_STEP = 0.25
_TRIALS = 96
_SMALLEST_RADIUS = 12.0
"""Below this, in mask pixels, a blob is dirt on the belt and no cup."""
_LEAST_ARC = 0.12
"""Part of a circle that the contour must show before the circle is looked at."""
_LEAST_SEEN = 1 / 3
"""Part of the rim that must be seen: a half is in the picture when the middle is, less what chips hide."""
_WHOLE_ARC = 0.7
_LEAST_OF_WHOLE = 0.5
"""A cut circle with less than this part of a whole one's radius beside it is no cup."""
_MOST_CUPS = 8


@dataclass(frozen=True, slots=True)
class CupOutline:
    """A cup's rim in the frame.

    Attributes:
        x: centre, in frame pixels from the centre of the leftmost column.
        y: centre, in frame pixels from the centre of the top row.
        radius: mean radius of the rim in frame pixels.
        whole: the whole rim is inside the picture, and most of it was seen.
        seen: part of the rim, 0 to 1, where the mask ends on the circle.
    """

    x: float
    y: float
    radius: float
    whole: bool
    seen: float


def find_cups(
    probability: NDArray[np.float32], frame_size: tuple[int, int]
) -> tuple[CupOutline, ...]:
    """All cups whose middle is in the picture, whole or cut, whole ones first and then by their arc.

    Of a cup that is less than half in the picture the arc is too short: the circle is a guess, off by up to
    its radius, and whatever makes an edge along the picture's margin passes for one.

    Args:
        probability: height×width, 0 (belt) to 1 (cup), covering exactly the frame.
        frame_size: width and height of the frame in pixels.

    Returns:
        One outline a cup; empty where the picture shows none.
    """
    height, width = probability.shape
    contour = _contour(probability)
    circles: list[tuple[float, float, float]] = []
    generator = np.random.default_rng(0)
    while len(contour) >= 8 and len(circles) < _MOST_CUPS:
        found = _consensus(contour, generator)
        if found is None:
            break
        x, y, radius = found
        off = np.hypot(contour[:, 0] - x, contour[:, 1] - y) - radius
        circles.append(found)
        # A chip or a torn mask edge inside this circle is this cup's, not another's.
        contour = contour[(off > 2.0) & ~((off > -0.5 * radius) & (off < 2.0))]
    across, down = frame_size[0] / width, frame_size[1] / height
    outlines = [
        outline
        for circle in circles
        if (outline := _measured(probability, circle, across, down)) is not None
    ]
    # Cups of one belt are of about one size; a small one would be whole before and after this frame.
    least = _LEAST_OF_WHOLE * max((cup.radius for cup in outlines if cup.whole), default=0.0)
    outlines = [cup for cup in outlines if cup.whole or cup.radius >= least]
    apart: list[CupOutline] = []
    for cup in sorted(outlines, key=lambda cup: (cup.whole, cup.seen), reverse=True):
        # Cups stand beside each other: a circle whose middle is inside another is that cup seen again.
        if all(
            np.hypot(cup.x - other.x, cup.y - other.y) >= max(cup.radius, other.radius)
            for other in apart
        ):
            apart.append(cup)
    return tuple(apart)


def _contour(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Points of the mask's edge, n×2 (x, y), those on the picture's border left out."""
    height, width = probability.shape
    mask = np.asarray(probability > 0.5, np.uint8)
    curves, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not curves:
        return np.empty((0, 2), np.float32)
    points = np.concatenate([curve[:, 0] for curve in curves]).astype(np.float32)
    x, y = points[:, 0], points[:, 1]
    inside = (x > 0) & (y > 0) & (x < width - 1) & (y < height - 1)
    return np.asarray(points[inside], np.float32)


def _consensus(
    points: NDArray[np.float32], generator: np.random.Generator
) -> tuple[float, float, float] | None:
    """The circle through three contour points that most others lie on; None if there is none."""
    picks = generator.integers(len(points), size=(_TRIALS, 3))
    a, b, c = (points[picks[:, corner]].astype(np.float64) for corner in range(3))
    ab, ac = b - a, c - a
    twice_area = 2.0 * (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])
    ok = np.abs(twice_area) > 1.0
    if not ok.any():
        return None
    a, ab, ac, twice_area = a[ok], ab[ok], ac[ok], twice_area[ok]
    ab2, ac2 = (ab**2).sum(1), (ac**2).sum(1)
    ux = (ac[:, 1] * ab2 - ab[:, 1] * ac2) / twice_area
    uy = (ab[:, 0] * ac2 - ac[:, 0] * ab2) / twice_area
    radius = np.hypot(ux, uy)
    x, y = a[:, 0] + ux, a[:, 1] + uy
    across, down, reach = (value.astype(np.float32)[:, None] for value in (x, y, radius))
    distance = np.sqrt(np.square(points[:, 0] - across) + np.square(points[:, 1] - down))
    near = np.count_nonzero(np.abs(distance - reach) < 1.0, axis=1)
    votes = near / np.maximum(2.0 * np.pi * radius, 1.0)
    # Short arcs fit huge or tiny circles well; a cup is neither.
    extent = np.ptp(points, axis=0).max() + 1.0
    votes[(radius < _SMALLEST_RADIUS) | (radius > extent)] = 0.0
    best = int((votes * np.sqrt(radius)).argmax())
    if votes[best] < _LEAST_ARC:
        return None
    return float(x[best]), float(y[best]), float(radius[best])


def _measured(
    probability: NDArray[np.float32],
    circle: tuple[float, float, float],
    across: float,
    down: float,
) -> CupOutline | None:
    """The circle fitted to the rim as the rays see it, in frame pixels; None if no cup is there."""
    height, width = probability.shape
    offsets = np.arange(-_HALF_RAY, _HALF_RAY + _RAY_STEP / 2, _RAY_STEP)
    x, y, radius = circle
    for _ in range(_FITS):
        column = (x + np.multiply.outer(COSINE, radius + offsets)).astype(np.float32)
        row = (y + np.multiply.outer(SINE, radius + offsets)).astype(np.float32)
        profile = cv2.remap(
            probability, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        # What is cup along the ray, as a length, places the edge finer than the mask's own pixels.
        edge = profile.mean(1, dtype=np.float64) * (2.0 * _HALF_RAY) - _HALF_RAY
        end_x, end_y = column[:, -1], row[:, -1]
        on_picture = (end_x > 0) & (end_y > 0) & (end_x < width - 1) & (end_y < height - 1)
        seen = on_picture & (profile[:, :4].mean(1) > 0.5) & (profile[:, -4:].mean(1) < 0.5)
        if seen.sum() < _LEAST_ARC * RAYS:
            return None
        shift = circle_shift(edge, seen)
        radius, x, y = radius + shift.radius, x + shift.x, y + shift.y
    share = float((shift.weights > 0).mean())
    in_picture = -0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5
    if not in_picture or share < _LEAST_SEEN or radius < _SMALLEST_RADIUS:
        return None
    margin = radius + 1.0
    inside = (
        x >= margin - 0.5
        and y >= margin - 0.5
        and x <= width - 0.5 - margin
        and y <= height - 0.5 - margin
    )
    return CupOutline(
        x=(x + 0.5) * across - 0.5,
        y=(y + 0.5) * down - 0.5,
        radius=radius * 0.5 * (across + down),
        whole=bool(inside and share >= _WHOLE_ARC),
        seen=share,
    )
