"""A training watched in a terminal: how far it is, its loss, and where the student still disagrees."""

import time
from collections import deque
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

COLUMNS = 56
"""Of a thumbnail at most, in characters: a polar map is wide."""
ROWS = 14
"""Of a thumbnail at most; each character shows two pixels, one above the other."""
QUIET = 0.05
"""Heat that spans less than this is coloured as if it spanned it: agreement looks cold, not patchy."""
PLAIN_SECONDS = 30.0
"""Between two lines where the output is no terminal."""
_RECENT = 50
"""Steps whose losses are averaged: one step's jumps with its strategies."""


def thumbnail(heat: NDArray[np.float32]) -> Text:
    """A heat map in JET colours (§5), blue where it is coldest, red where it is hottest.

    Args:
        heat: h×w of any size, larger is hotter; a square one becomes 28×14 characters.
    """
    small = _fitted(heat)
    level = (small - small.min()) / max(float(np.ptp(small)), QUIET)
    colours = cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_JET)
    return half_blocks(np.asarray(cv2.cvtColor(colours, cv2.COLOR_BGR2RGB), np.uint8))


def half_blocks(picture: NDArray[np.uint8]) -> Text:
    """A picture, h×w×3 uint8 RGB, in characters: upper pixel on the ground of the lower one."""
    pixels = _fitted(picture)
    text = Text(no_wrap=True)
    for above, below in zip(pixels[0::2], pixels[1::2], strict=True):
        for (r, g, b), (red, green, blue) in zip(above, below, strict=True):
            text.append("▀", f"rgb({r},{g},{b}) on rgb({red},{green},{blue})")
        text.append("\n")
    text.right_crop()
    return text


def _fitted(picture: NDArray[Any]) -> NDArray[Any]:
    """Resized to the size of a thumbnail, in as many rows as characters have halves."""
    height, width = picture.shape[:2]
    scale = min(2 * ROWS / height, COLUMNS / width)
    size = (max(1, round(width * scale)), 2 * max(1, round(height * scale / 2)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=way))


class TrainingProgress:
    """Bar, loss, time left and a live heat map; where there is no terminal, a line now and then.

    Give its :meth:`on_step` and :meth:`on_look` to ``inspector.detector.training.train``.

    Args:
        steps: of the whole training.
        console: where to; standard output by default.
    """

    def __init__(self, steps: int, console: Console | None = None) -> None:
        self._console = console or Console()
        self._losses = deque[float](maxlen=_RECENT)
        self._told = -np.inf
        self._bar = Progress(BarColumn(11), TimeRemainingColumn())
        self._task = self._bar.add_task("", total=steps)
        self._looked = Table.grid()
        self._live = Live(console=self._console, get_renderable=self._shown, refresh_per_second=2)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def on_step(self, step: int, loss: float) -> None:
        """After each step, with its number from 1 and its loss."""
        self._losses.append(loss)
        self._bar.update(self._task, completed=step)
        left = self._bar.tasks[0].time_remaining
        overdue = time.monotonic() - self._told >= PLAIN_SECONDS
        if not self._console.is_terminal and (overdue or self._bar.finished):
            self._told = time.monotonic()
            time_left = "" if left is None else f", {left:.0f} s left"
            self._console.print(f"{', '.join(self._words())}{time_left}", highlight=False)

    def on_look(self, step: int, heat: NDArray[np.float32], picture: NDArray[np.uint8]) -> None:
        """Now and then: a heat map, h×w, and the picture that the student saw, R×K×3 RGB."""
        shown = [
            Group(thumbnail(heat), f"heat at step {step}"),
            Group(half_blocks(picture), "what the student saw"),
        ]
        square = heat.shape[1] < 2 * heat.shape[0]
        self._looked = Table.grid(padding=(0, 2, 0, 0))
        for row in [shown] if square else [[one] for one in shown]:
            self._looked.add_row(*row)

    def _words(self) -> tuple[str, str]:
        task = self._bar.tasks[0]
        recent = sum(self._losses) / max(1, len(self._losses))
        return f"step {task.completed:.0f} of {task.total:.0f}", f"loss {recent:.4f}"

    def _shown(self) -> Table:
        """At most 78 characters wide."""
        beside = Table.grid(padding=(0, 2, 0, 0))
        beside.add_row(Group(*self._words(), self._bar), self._looked)
        return beside
