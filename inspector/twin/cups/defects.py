"""Which function draws which defect."""

from collections.abc import Callable
from typing import Final

import numpy as np

from inspector.twin.cups.blemishes import draw_mould, draw_residue, draw_stain
from inspector.twin.cups.canvas import Canvas
from inspector.twin.cups.damage import draw_chip, draw_crack, draw_hole, draw_scratch
from inspector.twin.cups.defect_kinds import DefectKind

_PAINTERS: Final[dict[DefectKind, Callable[[Canvas, float, np.random.Generator], None]]] = {
    DefectKind.MOULD: draw_mould,
    DefectKind.CRACK: draw_crack,
    DefectKind.HOLE: draw_hole,
    DefectKind.CHIP: draw_chip,
    DefectKind.RESIDUE: draw_residue,
    DefectKind.SCRATCH: draw_scratch,
    DefectKind.STAIN: draw_stain,
}


def draw_defect(
    canvas: Canvas, kind: DefectKind, severity: float, random: np.random.Generator
) -> None:
    """Draws one defect at a random place of the canvas and marks it there."""
    _PAINTERS[kind](canvas, severity, random)
