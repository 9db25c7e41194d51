"""The contact sheet: every cup type clean and with each defect, for a person to look at."""

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np

from inspector.twin.cups.arrays import Picture, levels
from inspector.twin.cups.cup_types import CUP_TYPES, CupType
from inspector.twin.cups.defect_kinds import DefectKind
from inspector.twin.cups.picture import CupPicture, draw_cup

_CELL: Final = 400
_DETAIL: Final = 200
_HALF_FIELD_PX: Final = 820
_HALF_DETAIL_PX: Final = 110
_MASK_COLOUR: Final = (230, 60, 60)
_TEXT_COLOUR: Final = (30, 30, 30)


def contact_sheet(seed: int, severity: float) -> Iterator[Picture]:
    """Draws the sheet row by row, one row for each cup type.

    A cell holds the cup, beside it the defect at the frame's own resolution over its mask.

    Yields:
        H×W×3 uint8 RGB rows of one width; stacked they are the sheet.
    """
    for cup_type in CUP_TYPES.values():
        yield _row(cup_type, seed, severity)


def _row(cup_type: CupType, seed: int, severity: float) -> Picture:
    cells = []
    for number, kind in enumerate((None, *DefectKind)):
        picture = draw_cup(
            cup_type, seed + number, defect=kind, severity=severity, droplets=6 * (kind is None)
        )
        cells.append(np.hstack([_overview(picture, kind), _detail(picture)]))
    half = len(cells) // 2
    return np.vstack([np.hstack(cells[:half]), np.hstack(cells[half:])])


def _overview(picture: CupPicture, kind: DefectKind | None) -> Picture:
    height, width = picture.frame.shape[:2]
    field = _cut(picture.frame, width // 2, height // 2, _HALF_FIELD_PX)
    small = cv2.resize(field, (_CELL, _CELL), interpolation=cv2.INTER_AREA)
    text = f"{picture.truth.cup_type} {kind or 'clean, wet'}"
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(small, text, (10, 22), font, 0.5, _TEXT_COLOUR, 1, cv2.LINE_AA)
    return np.asarray(small, np.uint8)


def _detail(picture: CupPicture) -> Picture:
    """The defect (or the print of a clean cup) at full resolution, over its mask."""
    mask = picture.truth.defect_mask
    rows, columns = np.nonzero(mask)
    if len(rows):
        middle = np.argmin(np.hypot(rows - np.median(rows), columns - np.median(columns)))
        x, y = int(columns[middle]), int(rows[middle])
    else:
        angle = np.deg2rad(picture.truth.angle_deg)
        reach = 0.75 * picture.truth.rim_radius_px
        x = int(picture.truth.centre_xy[0] + reach * np.cos(angle))
        y = int(picture.truth.centre_xy[1] - reach * np.sin(angle))
    seen = cv2.resize(_cut(picture.frame, x, y, _HALF_DETAIL_PX), (_DETAIL, _DETAIL))
    shown = cv2.resize(_cut(mask, x, y, _HALF_DETAIL_PX), (_DETAIL, _DETAIL))
    coloured = shown[..., None] * levels(_MASK_COLOUR)
    return np.vstack([seen, coloured])


def _cut(picture: Picture, x: int, y: int, half: int) -> Picture:
    """A square of the picture around a point, moved inwards at the edges."""
    height, width = picture.shape[:2]
    left, top = np.clip((x - half, y - half), 0, (width - 2 * half, height - 2 * half))
    return picture[top : top + 2 * half, left : left + 2 * half]
