"""Frame → cup image: find the cup, tell its angle, and cut it out upright in one warp."""

import time
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspector.core.verdict import Reason
from inspector.recipe.manifest import ViewEntry
from inspector.recipe.view import MIDDLE, RIM_PX, SIZE
from inspector.vision.background import Segment, cup_probability, network_input
from inspector.vision.lean import UPRIGHT_CUP, Lean
from inspector.vision.orientation import Orientation, OrientationReference, Spectrum, unwrapped
from inspector.vision.outline import CupOutline, find_cups
from inspector.vision.pixels import Raw, averaged, crop_box, demosaic, halvings
from inspector.vision.rim import off_centre
from inspector.vision.views import (
    UPRIGHT,
    fewer,
    pixels_a_radius,
    polar,
    upright,
    warped,
)


@dataclass(frozen=True, slots=True, eq=False)
class CupImage:
    """One cup, upright.

    Attributes:
        outline: where the cup is in the frame, its centre to about a tenth of a pixel.
        orientation: how it lay there; None for a type whose cups are not turned.
        to_frame: 2×3, takes (x, y, 1) of the cup image to (x, y) of the frame, both from the centre
            of the upper left pixel.
        stage_ns: time each stage took, in ns.
        view: what the networks compare, rows×columns×3 uint8 RGB: the cup upright, or its polar view.
        lean: that a polar view was unrolled with; :func:`heat_on_cup` takes its heat back by it.
        surroundings: the cup's part of the frame, H×W×3 uint8 RGB, in no more pixels than are needed.
        to_surroundings: as ``to_frame``, to there.
    """

    outline: CupOutline
    orientation: Orientation | None
    to_frame: NDArray[np.float64]
    stage_ns: dict[str, int]
    view: NDArray[np.uint8]
    lean: Lean
    surroundings: NDArray[np.uint8]
    to_surroundings: NDArray[np.float64]

    def image(self) -> NDArray[np.uint8]:
        """The cup image, made when it is asked for: of most cups nobody looks at it.

        Returns:
            384×384×3 uint8 RGB; the rim's centre in the middle, its radius 180 px, the print at the
            reference's angle 0, everything outside the rim grey.
        """
        return upright(self.surroundings, self.to_surroundings)


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
    """All cups whose middle is in a frame, whole ones first.

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
            detail = f"{'only part' if cups else 'not half'} of a cup is in the picture"
            return Refusal(
                Reason.NO_CUP, detail, cups[0] if cups else None, None, stages.elapsed_ns
            )
        outline = min(whole, key=lambda cup: np.hypot(cup.x - width / 2, cup.y - height / 2))
    around = _surroundings(raw, pixel_format, outline, pixels_a_radius(view))
    stages.ended("demosaic")
    outline = _recentred(outline, around)
    stages.ended("rim")
    orientation = None
    if reference is not None:
        orientation = reference.match(unwrapped(around.rgb, *around.circle(outline)))
        stages.ended("orientation")
        if not orientation.certain:
            detail = (
                f"the print is not recognised: likeness {orientation.confidence:.2f}, "
                f"needed {reference.threshold:.2f}"
            )
            return Refusal(Reason.NO_ORIENTATION, detail, outline, orientation, stages.elapsed_ns)
    to_frame = _to_frame(outline, orientation.angle_deg if orientation else 0.0)
    rgb, to_rgb = around.rgb, around.inside(to_frame)
    if view.kind == "polar":
        seen, lean = polar(rgb, to_rgb, (view.rows, view.columns), view.contrast)
        stages.ended("unroll")
    else:
        lean = UPRIGHT_CUP
        seen = upright(rgb, to_rgb, (view.rows, view.columns))
        stages.ended("warp")
    return CupImage(outline, orientation, to_frame, stages.elapsed_ns, seen, lean, rgb, to_rgb)


def centred_view(raw: Raw, pixel_format: str, outline: CupOutline) -> NDArray[np.uint8]:
    """The cup as a cup image, but as it lies: not turned, and its surroundings not filled.

    Returns:
        384×384×3 uint8 RGB.
    """
    around = _surroundings(raw, pixel_format, outline, RIM_PX)
    if outline.whole:
        outline = _recentred(outline, around)
    return warped(around.rgb, around.inside(_to_frame(outline, 0.0)), (SIZE, SIZE))


def spectrum(raw: Raw, pixel_format: str, outline: CupOutline) -> Spectrum:
    """A whole cup as it lies, unwrapped: what orientation is learned from."""
    around = _surroundings(raw, pixel_format, outline, RIM_PX)
    return unwrapped(around.rgb, *around.circle(_recentred(outline, around)))


def cut_out(picture: NDArray[np.uint8], cup: CupImage) -> NDArray[np.uint8]:
    """Another picture of the cup's frame, e.g. a mask, cut out and turned as the cup was.

    Args:
        picture: H×W or H×W×C uint8, pixel for pixel the frame.
        cup: what :func:`prepare` made of the frame.

    Returns:
        384×384, or 384×384×C.
    """
    return warped(picture, cup.to_frame, (SIZE, SIZE))


def _to_frame(outline: CupOutline, angle_deg: float) -> NDArray[np.float64]:
    """Cup image → frame, for a cup turned counter-clockwise by ``angle_deg``."""
    scale = outline.radius / RIM_PX
    cosine = scale * np.cos(np.radians(angle_deg))
    sine = scale * np.sin(np.radians(angle_deg))
    # Rows count downwards, so a counter-clockwise turn has its sine's signs exchanged.
    return np.array(
        [
            [cosine, sine, outline.x - (cosine + sine) * MIDDLE],
            [-sine, cosine, outline.y - (cosine - sine) * MIDDLE],
        ]
    )


class _Surroundings(NamedTuple):
    """The cup's part of the frame, in no more pixels than what is made of it needs.

    Attributes:
        rgb: H×W×3 uint8 RGB.
        left: of its first column, in the frame.
        top: of its first row.
        times: a pixel of it is so many by so many of the frame.
    """

    rgb: NDArray[np.uint8]
    left: int
    top: int
    times: int

    def inside(self, to_frame: NDArray[np.float64]) -> NDArray[np.float64]:
        """What leads to the frame's pixels, leading to these."""
        moved = to_frame.copy()
        moved[:, 2] -= (self.left, self.top)
        return fewer(moved, self.times)

    def circle(self, outline: CupOutline) -> tuple[float, float, float]:
        """The rim here: x and y of its centre, and its radius."""
        x, y = self.inside(_to_frame(outline, 0.0)) @ (MIDDLE, MIDDLE, 1.0)
        return float(x), float(y), outline.radius / self.times


def _surroundings(
    raw: Raw, pixel_format: str, outline: CupOutline, pixels_a_radius: float
) -> _Surroundings:
    """The cup's part of the frame in colour, halved while its radius keeps the pixels asked for."""
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
    times = halvings(outline.radius / pixels_a_radius)
    rgb = averaged(demosaic(raw[top:bottom, left:right], pixel_format), times)
    return _Surroundings(rgb, left, top, times)


def _recentred(outline: CupOutline, around: _Surroundings) -> CupOutline:
    """The outline with its centre moved to where the rim's rings are round."""
    right, down = off_centre(around.rgb, *around.circle(outline))
    return replace(outline, x=outline.x + right * around.times, y=outline.y + down * around.times)


class _Stages:
    """A stop watch with names."""

    def __init__(self) -> None:
        self.elapsed_ns: dict[str, int] = {}
        self._last_ns = time.perf_counter_ns()

    def ended(self, stage: str) -> None:
        now_ns = time.perf_counter_ns()
        self.elapsed_ns[stage] = now_ns - self._last_ns
        self._last_ns = now_ns
