"""Frame → cup image: find the cup, tell its angle, and cut it out upright in one warp."""

import time
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.verdict import Reason
from inspector.recipe.manifest import ViewEntry
from inspector.vision.background import Segment, cup_probability, network_input
from inspector.vision.orientation import Orientation, OrientationReference, unwrapped
from inspector.vision.outline import CupOutline, find_cups
from inspector.vision.pixels import Raw, crop_box, demosaic
from inspector.vision.polar import folded, unrolled
from inspector.vision.rim import recentred

SIZE = 384
"""Edge of the cup image in pixels."""
RIM_PX = 180.0
"""Radius of the rim in the cup image: 0.47 of its edge."""
UPRIGHT = ViewEntry()
"""The published view: the networks compare the cup image."""
GREY = 128
"""What lies outside the rim is filled with this, in all three colours."""
_OVERSAMPLING = 2
"""The warp goes to twice the size and is averaged down; straight to 384 it would alias."""

_grid = np.arange(SIZE) - (SIZE - 1) / 2.0
_inside = np.hypot(_grid[None, :], _grid[:, None])[..., None].repeat(3, 2) <= RIM_PX + 1.0
_KEEP = np.where(_inside, 255, 0).astype(np.uint8)
_FILL = np.where(_inside, 0, GREY).astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class CupImage:
    """One cup, upright.

    Attributes:
        image: 384×384×3 uint8 RGB; the rim's centre in the middle, its radius 180 px, the print at
            the reference's angle 0, everything outside the rim grey.
        outline: where the cup is in the frame, its centre to about a tenth of a pixel.
        orientation: how it lay there; None for a type whose cups are not turned.
        to_frame: 2×3, takes (x, y, 1) of the cup image to (x, y) of the frame, both from the centre
            of the upper left pixel.
        stage_ns: time each stage took, in ns.
        view: what the networks compare, rows×columns×3 uint8 RGB: the cup image itself, or its polar view.
    """

    image: NDArray[np.uint8]
    outline: CupOutline
    orientation: Orientation | None
    to_frame: NDArray[np.float64]
    stage_ns: dict[str, int]
    view: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Refusal:
    """No cup image, and why.

    Attributes:
        reason: ``Reason.NO_CUP`` or ``Reason.NO_ORIENTATION``.
        detail: the same in words, for the log.
        outline: the cup, where one was found.
        orientation: the angle that was not believed, where it came to that.
        stage_ns: time each stage took, in ns.
    """

    reason: Reason
    detail: str
    outline: CupOutline | None
    orientation: Orientation | None
    stage_ns: dict[str, int]


def locate(raw: Raw, pixel_format: str, segment: Segment) -> tuple[CupOutline, ...]:
    """All cups in a frame, whole ones first.

    Args:
        raw: the frame as :func:`inspector.vision.pixels.demosaic` takes it.
        pixel_format: PFNC name.
        segment: the background network.

    Raises:
        PixelError: the pixel format is unknown, or ``raw`` does not fit it.
    """
    probability = cup_probability(raw, pixel_format, segment)
    return find_cups(probability, (raw.shape[1], raw.shape[0]))


def prepare(
    raw: Raw,
    pixel_format: str,
    segment: Segment,
    reference: OrientationReference | None,
    outline: CupOutline | None = None,
    view: ViewEntry = UPRIGHT,
) -> CupImage | Refusal:
    """The cup image of the whole cup nearest to the picture's middle, or why there is none.

    Args:
        raw: the frame as :func:`inspector.vision.pixels.demosaic` takes it.
        pixel_format: PFNC name.
        segment: the background network.
        reference: the cup type's light and print; None for a type whose cups need no turning.
        outline: the cup meant, where :func:`locate` has found it already.
        view: what the networks compare.

    Raises:
        PixelError: the pixel format is unknown, or ``raw`` does not fit it.
    """
    stages = _Stages()
    if outline is None:
        height, width = raw.shape[:2]
        picture, (small_width, small_height) = network_input(raw, pixel_format)
        stages.ended("reduce")
        probability = segment(picture[None])[0, :small_height, :small_width]
        stages.ended("segment")
        cups = find_cups(probability, (width, height))
        stages.ended("outline")
        whole = [cup for cup in cups if cup.whole]
        if not whole:
            detail = "only part of a cup is in the picture" if cups else "no cup is in the picture"
            return Refusal(
                Reason.NO_CUP, detail, cups[0] if cups else None, None, stages.elapsed_ns
            )
        outline = min(whole, key=lambda cup: np.hypot(cup.x - width / 2, cup.y - height / 2))
    rgb, left, top = _surroundings(raw, pixel_format, outline)
    stages.ended("demosaic")
    outline = recentred(outline, rgb, left, top)
    stages.ended("rim")
    orientation = None
    if reference is not None:
        centred = _warped(rgb, _to_frame(outline, 0.0), left, top)
        orientation = reference.match(unwrapped(centred, RIM_PX))
        stages.ended("orientation")
        if not orientation.certain:
            detail = (
                f"the print is not recognised: likeness {orientation.confidence:.2f}, "
                f"needed {reference.threshold:.2f}"
            )
            return Refusal(Reason.NO_ORIENTATION, detail, outline, orientation, stages.elapsed_ns)
    to_frame = _to_frame(outline, orientation.angle_deg if orientation else 0.0)
    image = _warped(rgb, to_frame, left, top)
    image = cv2.bitwise_or(cv2.bitwise_and(image, _KEEP), _FILL)
    stages.ended("warp")
    seen = np.asarray(image, np.uint8)
    if view.kind == "polar":
        seen = _polar(rgb, to_frame, left, top, view)
        stages.ended("unroll")
    return CupImage(
        np.asarray(image, np.uint8), outline, orientation, to_frame, stages.elapsed_ns, seen
    )


def heat_on_cup(heat: NDArray[np.float32], view: ViewEntry) -> NDArray[np.float32]:
    """A heat map of a view, h×w, as one of the cup image, 384×384 float32."""
    if view.kind == "polar":
        return folded(heat, RIM_PX, SIZE)
    return np.asarray(cv2.resize(heat, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), np.float32)


def _polar(
    rgb: NDArray[np.uint8], to_frame: NDArray[np.float64], left: int, top: int, view: ViewEntry
) -> NDArray[np.uint8]:
    def points_in(points: NDArray[np.floating]) -> NDArray[np.float64]:
        return points @ to_frame[:, :2].T + to_frame[:, 2] - (left, top)

    return unrolled(rgb, points_in, RIM_PX, (SIZE - 1) / 2.0, (view.rows, view.columns))


def centred_view(raw: Raw, pixel_format: str, outline: CupOutline) -> NDArray[np.uint8]:
    """The cup as a cup image, but as it lies: not turned, and its surroundings not filled.

    Returns:
        384×384×3 uint8 RGB; what orientation is learned from.
    """
    rgb, left, top = _surroundings(raw, pixel_format, outline)
    if outline.whole:
        outline = recentred(outline, rgb, left, top)
    return _warped(rgb, _to_frame(outline, 0.0), left, top)


def in_frame(cup: CupImage, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Points of the cup image, n×2 (x, y), where they lie in the frame."""
    return points @ cup.to_frame[:, :2].T + cup.to_frame[:, 2]


def _to_frame(outline: CupOutline, angle_deg: float) -> NDArray[np.float64]:
    """Cup image → frame, for a cup turned counter-clockwise by ``angle_deg``."""
    scale = outline.radius / RIM_PX
    cosine = scale * np.cos(np.radians(angle_deg))
    sine = scale * np.sin(np.radians(angle_deg))
    middle = (SIZE - 1) / 2.0
    # Rows count downwards, so a counter-clockwise turn has its sine's signs exchanged.
    return np.array(
        [
            [cosine, sine, outline.x - (cosine + sine) * middle],
            [-sine, cosine, outline.y - (cosine - sine) * middle],
        ]
    )


def _surroundings(
    raw: Raw, pixel_format: str, outline: CupOutline
) -> tuple[NDArray[np.uint8], int, int]:
    """The cup's part of the frame in colour, and its left and top in the frame."""
    reach = outline.radius * (SIZE / 2 / RIM_PX) + 4.0
    left, top, right, bottom = crop_box(
        (
            int(outline.x - reach),
            int(outline.y - reach),
            int(outline.x + reach) + 1,
            int(outline.y + reach) + 1,
        ),
        raw.shape,
    )
    return demosaic(raw[top:bottom, left:right], pixel_format), left, top


def _warped(
    rgb: NDArray[np.uint8], to_frame: NDArray[np.float64], left: int, top: int
) -> NDArray[np.uint8]:
    """Crop, rotation and scale in one warp, then the average of 2×2."""
    fine = SIZE * _OVERSAMPLING
    matrix = to_frame.copy()
    matrix[:, :2] /= _OVERSAMPLING
    # Pixel centres: fine pixel (0, 0) lies a quarter of a pixel before that of the cup image.
    matrix[:, 2] += to_frame[:, :2].sum(1) * (0.5 / _OVERSAMPLING - 0.5)
    matrix[:, 2] -= (left, top)
    warped = cv2.warpAffine(
        rgb,
        matrix,
        (fine, fine),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(cv2.resize(warped, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)


class _Stages:
    """A stop watch with names."""

    def __init__(self) -> None:
        self.elapsed_ns: dict[str, int] = {}
        self._last_ns = time.perf_counter_ns()

    def ended(self, stage: str) -> None:
        now_ns = time.perf_counter_ns()
        self.elapsed_ns[stage] = now_ns - self._last_ns
        self._last_ns = now_ns
