"""Half frames → the pictures and tables that the twin draws from (see ``cups/light/README.md``)."""

import io
from typing import Final

import cv2
import numpy as np
import pyoidn
from numpy.typing import NDArray

from inspector.twin.bake.seen import seen_profile
from inspector.twin.bake.shapes import CupShape
from inspector.twin.cups.arrays import Floats, floats
from inspector.twin.cups.camera import FRAME_HEIGHT, FRAME_WIDTH
from inspector.twin.cups.surface import FULL_SCALE

_HALF_TURN: Final = 181
"""Columns of a polar picture, one a degree."""
_TABLE_SCALE: Final = 8
_TABLE_MARGIN_PX: Final = 40


def baked(shape: CupShape, lit: Floats, gloss: Floats) -> dict[str, bytes]:
    """The files of one cup type, by name.

    Args:
        shape: of the cup.
        lit: half a frame of the cup, FRAME_HEIGHT/2×FRAME_WIDTH×3 radiance.
        gloss: the same of a black cup.
    """
    seen = seen_profile(shape)
    whole, mirrored = (_denoised(np.vstack([half, half[::-1]])) for half in (lit, gloss))
    outside = 1 / (1 + np.exp((np.arange(len(seen.arc_cm)) - seen.rim_row) / 0.8))
    around = _polar(whole, len(seen.arc_cm))
    specular = np.maximum(_polar(mirrored, len(seen.arc_cm)), 0) * floats(outside)[:, None, None]
    specular = np.minimum(specular, around * 0.95)
    tables = io.BytesIO()
    np.savez_compressed(
        tables,
        rrim=seen.rim_row,
        rb_px=seen.base_row,
        sc=FULL_SCALE,
        s=seen.arc_cm,
        rad=seen.radius_cm,
        z=seen.height_cm,
    )
    return {
        "diffuse.png": _encoded(np.maximum(around - specular, 0)),
        "specular.png": _encoded(specular),
        "table.png": _encoded(_table(whole, seen.rim_row)),
        "surface.npz": tables.getvalue(),
    }


def _denoised(frame: Floats) -> Floats:
    clean = floats(pyoidn.denoise(np.ascontiguousarray(np.maximum(frame, 0)), hdr=True))
    return 0.5 * (clean + clean[::-1])


def _polar(frame: Floats, rows: int) -> Floats:
    """Rows are pixels from the picture's centre, columns degrees counter-clockwise from the right."""
    angle = np.linspace(0, np.pi, _HALF_TURN)[None]
    radius = np.arange(rows)[:, None]
    x = (FRAME_WIDTH - 1) / 2 + radius * np.cos(angle)
    y = (FRAME_HEIGHT - 1) / 2 - radius * np.sin(angle)
    polar = cv2.remap(frame, floats(x), floats(y), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return floats(polar)


def _table(frame: Floats, rim_row: float) -> Floats:
    """The upper half of the table; where the cup stood, a smooth average of what is around it."""
    width, height = FRAME_WIDTH // _TABLE_SCALE, -(-FRAME_HEIGHT // _TABLE_SCALE)
    small = floats(cv2.resize(frame, (width, height - 1), interpolation=cv2.INTER_AREA))
    row, column = np.mgrid[: height - 1, :width]
    distance = np.hypot(column - (width - 1) / 2, row - (height - 2) / 2) * _TABLE_SCALE
    beside: NDArray[np.bool_] = distance >= rim_row + _TABLE_MARGIN_PX
    weight = floats(beside)
    around = cv2.GaussianBlur(small * weight[..., None], (0, 0), 14)
    share = np.maximum(cv2.GaussianBlur(weight, (0, 0), 14), 1e-4)
    filled = np.where(beside[..., None], small, around / share[..., None])
    return floats(filled[: (height - 1) // 2])


def _encoded(radiance: Floats) -> bytes:
    """A 16-bit PNG of the radiance's root."""
    root = np.sqrt(np.clip(radiance / FULL_SCALE, 0, 1))
    levels = np.round(65535 * root).astype(np.uint16)[..., ::-1]
    options = [cv2.IMWRITE_PNG_COMPRESSION, 9]
    return cv2.imencode(".png", np.ascontiguousarray(levels), options)[1].tobytes()
