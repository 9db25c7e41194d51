"""Draws one cup as the camera sees it, together with the truth about it."""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final, NamedTuple

import cv2
import numpy as np

from inspector.core.errors import InspectorError
from inspector.twin.cups.arrays import Picture, strips
from inspector.twin.cups.belt import belt_alone, belt_beside_cup
from inspector.twin.cups.camera import Exposure, add_sensor_noise
from inspector.twin.cups.canvas import Canvas
from inspector.twin.cups.cup_types import CupType, cup_type_named
from inspector.twin.cups.defect_kinds import DefectKind
from inspector.twin.cups.defects import draw_defect
from inspector.twin.cups.droplets import draw_droplets
from inspector.twin.cups.pose import Projection, Stance, Turn, projection_of
from inspector.twin.cups.surface import ANGLES, LIGHT_STEP, Surface, surface_of
from inspector.twin.cups.truth import CupTruth, DrawnDefect, MaskPatch
from inspector.twin.cups.wear import UNTOUCHED, apply_print, clean_texture

_SMALLEST_DEFECT_PX: Final = 60
"""A defect that covers less of the frame is drawn anew: about four pixels of a cup image."""
_ATTEMPTS: Final = 12
WET_SHARE: Final = 0.25
"""One cup in four carries drops."""


class CupPicture(NamedTuple):
    """A frame and the truth about it.

    Attributes:
        frame: 1860×2880×3 uint8 RGB.
        truth: what it shows.
    """

    frame: Picture
    truth: CupTruth


class SeverityError(InspectorError):
    """The severity of a defect is outside (0, 1], or too slight to be seen."""


class _Purpose(IntEnum):
    """Random numbers are drawn per purpose, so that a cup and its clean twin differ in one only.

    Wear and defect are the cup's own; all else is drawn anew for each photograph of it.
    """

    STANCE = 1
    EXPOSURE = 2
    WEAR = 3
    DROPLETS = 4
    BELT = 5
    SENSOR = 6
    DEFECT = 7
    TURN = 8


def draw_cup(
    cup_type: CupType | str,
    seed: int,
    *,
    take: int = 0,
    defect: DefectKind | None = None,
    severity: float = 0.6,
    angle_deg: float | None = None,
    stance: Stance | None = None,
    droplets: int | None = None,
    wet_share: float = WET_SHARE,
) -> CupPicture:
    """Draws one cup; the same arguments give the same bytes.

    Pictures of one type and seed differ only in what the other arguments change: without
    ``defect`` it is the clean twin of the same cup, pixel for pixel outside the defect.

    Args:
        cup_type: one of ``CUP_TYPES`` or its name.
        seed: 0 or more; everything that is not given is drawn from it.
        take: 0 or more; another one is another photograph of the same cup: its wear and defect stay,
            its stance, turn, exposure, drops, belt and sensor noise are drawn anew.
        defect: what is wrong with the cup; None for a clean one.
        severity: size and contrast of the defect, in (0, 1].
        angle_deg: the print's angle as in ``CupTruth``, met within 0.05°; any angle if None.
        stance: how the cup stands; as ``Stance.drawn`` if None.
        droplets: drops of water; if None, some cups have 1 to 19.
        wet_share: how many of them have, 0 … 1.

    Raises:
        UnknownCupTypeError: there is no cup type of that name.
        SeverityError: the severity is outside (0, 1], or too slight to be seen.
    """
    cup_type = cup_type_named(cup_type)
    if not 0 < severity <= 1:
        raise SeverityError(f"severity is {severity}", "give a number above 0 and up to 1")
    surface = surface_of(cup_type)

    def random(purpose: _Purpose, number: int = 0) -> np.random.Generator:
        return np.random.default_rng((seed, cup_type.number, purpose, number))

    stance = stance or Stance.drawn(random(_Purpose.STANCE, take))
    turn = Turn.drawn(random(_Purpose.TURN, take)) if angle_deg is None else Turn.to(angle_deg)
    projection = projection_of(surface, stance)
    exposure = Exposure.drawn(random(_Purpose.EXPOSURE, take))
    texture = clean_texture(surface, turn, random(_Purpose.WEAR))
    canvas = Canvas(surface, turn, _lit(surface, turn, exposure, texture))
    apply_print(canvas.lit, surface, turn)
    wet = random(_Purpose.DROPLETS, take)
    usual_drops = int(wet.integers(1, 20)) if wet.random() < wet_share else 0

    shown: MaskPatch | None = None
    defects: tuple[DrawnDefect, ...] = ()
    if defect is not None:
        attempts = (random(_Purpose.DEFECT, attempt) for attempt in range(_ATTEMPTS))
        canvas, shown, area = _spoiled(canvas, projection, defect, severity, attempts)
        defects = (DrawnDefect(defect, severity, area),)
    draw_droplets(canvas, usual_drops if droplets is None else droplets, wet)

    frame = belt_beside_cup(surface, exposure, stance.shift_xy, random(_Purpose.BELT, take))
    canvas.lit[:, ANGLES] = canvas.lit[:, 0]
    projection.lay(canvas.lit, frame)
    add_sensor_noise(frame, random(_Purpose.SENSOR, take))
    truth = CupTruth(
        cup_type=cup_type.name,
        seed=seed,
        take=take,
        angle_deg=turn.angle_deg,
        stance=stance,
        rim_radius_px=surface.rim_row,
        outline=projection.outline(),
        defects=defects,
        defect_patch=shown,
        missing_patch=_in_frame(projection, canvas.broken_off),
    )
    return CupPicture(frame, truth)


def empty_belt(seed: int) -> Picture:
    """The belt with no cup on it, 1860×2880×3 uint8 RGB; the same seed gives the same bytes."""
    exposure = Exposure.drawn(np.random.default_rng((seed, 0, _Purpose.EXPOSURE)))
    frame = belt_alone(exposure, np.random.default_rng((seed, 0, _Purpose.BELT)))
    add_sensor_noise(frame, np.random.default_rng((seed, 0, _Purpose.SENSOR)))
    return frame


def _lit(surface: Surface, turn: Turn, exposure: Exposure, texture: Picture) -> Picture:
    """Levels of the surface: the lamps stand still, the texture is turned."""
    light = exposure.levels(surface.left_lit, surface.right_lit)
    width = ANGLES + 2 * LIGHT_STEP
    lit: Picture = np.empty((surface.rows, ANGLES + 1, 3), np.uint8)
    for rows in strips(surface.rows):
        height = rows.stop - rows.start
        fine = cv2.resize(light[rows], (width, height), interpolation=cv2.INTER_LINEAR)
        coloured = cv2.cvtColor(np.roll(texture[rows], turn.column, axis=1), cv2.COLOR_GRAY2RGB)
        cv2.multiply(
            fine[:, LIGHT_STEP:-LIGHT_STEP], coloured, dst=lit[rows, :ANGLES], scale=1 / UNTOUCHED
        )
    return lit


def _spoiled(
    clean: Canvas,
    projection: Projection,
    kind: DefectKind,
    severity: float,
    attempts: Iterable[np.random.Generator],
) -> tuple[Canvas, MaskPatch, int]:
    """The canvas with one defect, the defect's mask and its area in the frame.

    A defect may land where the camera sees the wall almost edge-on: then it is drawn elsewhere.
    """
    for random in attempts:
        canvas = clean.copy()
        draw_defect(canvas, kind, severity, random)
        shown = _in_frame(projection, canvas.mask)
        if shown is not None:
            area = int(np.count_nonzero(shown.patch))
            if area >= _SMALLEST_DEFECT_PX:
                return canvas, shown, area
    raise SeverityError(f"a {kind} of severity {severity} cannot be seen", "give a larger severity")


def _in_frame(projection: Projection, polar: Picture) -> MaskPatch | None:
    """A mask of the surface as a patch of the frame; None where it is empty."""
    rows = np.flatnonzero(polar.any(axis=1))
    if not len(rows):
        return None
    used = np.flatnonzero(polar.any(axis=0))
    gaps = np.diff(used, append=used[0] + ANGLES)
    widest = int(np.argmax(gaps))
    first = int(used[(widest + 1) % len(used)])
    end = first + ANGLES - int(gaps[widest]) + 1
    (left, top), patch = projection.flatten(polar, (int(rows[0]), int(rows[-1]) + 1), (first, end))
    return MaskPatch(left, top, patch)
