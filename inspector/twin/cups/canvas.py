"""The lit inner surface of one cup, with what is painted on it and the mask of its defects."""

from typing import Final

import numpy as np

from inspector.twin.cups.arrays import Coverage, Floats, Indices, Mask, Picture, floats
from inspector.twin.cups.camera import levels_of, linear_of
from inspector.twin.cups.pose import Turn
from inspector.twin.cups.surface import ANGLES, LIGHT_STEP, Surface, Window

_OUTSIDE_RIM: Final = slice(14, 22)
"""Rows beyond the silhouette that show the table beside the cup."""


class Canvas:
    """A surface that can be painted window by window in linear light.

    Windows lie in the cup's own columns, the arrays in the picture's: the lamps stand still.

    Attributes:
        surface: geometry of the cup type.
        turn: which way the cup is turned.
        lit: rows×(ANGLES + 1)×3 uint8 RGB sensor levels; the last column is there to repeat the first
            for the picture's interpolation.
        mask: rows×ANGLES uint8, 1 where a defect shows.
        broken_off: rows×ANGLES uint8, 1 where the cup's material is missing at the rim.
    """

    def __init__(self, surface: Surface, turn: Turn, lit: Picture) -> None:
        self.surface = surface
        self.turn = turn
        self.lit = lit
        self.mask = np.zeros((surface.rows, ANGLES), np.uint8)
        self.broken_off = np.zeros_like(self.mask)

    def copy(self) -> "Canvas":
        """A canvas of its own with the same light and no marks yet."""
        return Canvas(self.surface, self.turn, self.lit.copy())

    def light(self, window: Window) -> Floats:
        """The window's linear light, rows×columns×3 float32."""
        return linear_of(self.lit[window.rows][:, self._columns(window)])

    def replace_light(self, window: Window, light: Floats) -> None:
        """Puts linear light back into the window."""
        self.lit[window.rows, self._columns(window)] = levels_of(light)

    def paint(
        self,
        window: Window,
        factor: tuple[float, float, float] | Coverage,
        alpha: Coverage,
        sheen: Coverage | None = None,
    ) -> None:
        """Multiplies the diffuse light of a window; what the surface mirrors stays as it is.

        Args:
            window: where.
            factor: linear RGB factor of full paint, broadcast over the window.
            alpha: rows×columns, how much of the paint lies there, 0 to 1.
            sheen: rows×columns, a part of the diffuse light added (or taken away) on top.
        """
        light = self.light(window)
        column = self._columns(window) // LIGHT_STEP
        mirrored = light * self.surface.gloss[window.rows][:, column][..., None]
        diffuse = light - mirrored
        covered = floats(alpha)[..., None]
        change = 1 + covered * (floats(factor) - 1)
        if sheen is not None:
            change = change + floats(sheen)[..., None]
        self.replace_light(window, mirrored + diffuse * np.maximum(change, 0))

    def see_through(self, window: Window, alpha: Coverage, shade: float | Coverage) -> None:
        """Shows the table beside the cup through the window, darkened by ``shade``."""
        rim = int(self.surface.rim_row)
        rows = slice(rim + _OUTSIDE_RIM.start, rim + _OUTSIDE_RIM.stop)
        beside = self.lit[rows][:, self._columns(window)]
        table = linear_of(beside).mean(axis=0)[None]
        covered = floats(alpha)[..., None]
        shaded = table * floats(np.broadcast_to(shade, alpha.shape))[..., None]
        self.replace_light(window, self.light(window) * (1 - covered) + shaded * covered)

    def mark(self, window: Window, shown: Mask | Picture) -> None:
        """Adds to the defect mask."""
        columns = self._columns(window)
        self.mask[window.rows, columns] = self.mask[window.rows][:, columns] | shown.astype(
            np.uint8
        )

    def break_off(self, window: Window, gone: Mask | Picture) -> None:
        """Notes that the cup's material is missing there."""
        columns = self._columns(window)
        whole = self.broken_off[window.rows][:, columns]
        self.broken_off[window.rows, columns] = whole | gone.astype(np.uint8)

    def _columns(self, window: Window) -> Indices:
        """Where the window's columns lie in the picture."""
        return np.asarray((window.columns + self.turn.column) % ANGLES, np.intp)
