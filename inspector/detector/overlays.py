"""A sheet of the cases that tell most about a detector: what it missed, what it cried over, what it does."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import RecipeError
from inspector.core.files import write_atomically
from inspector.decision import Calibration
from inspector.detector.datasets import GOOD
from inspector.detector.evaluation import Judged

Picture = NDArray[np.uint8]
ROWS = (
    "Missed: defective, yet passed (lowest scores first)",
    "False alarms: clean, yet rejected (highest scores first)",
    "Median: the middle of the defective and of the clean",
    "Best: defective and rejected (highest scores first)",
)
_TILE, _GAP, _LINE, _MARGIN = 300, 6, 20, 16
_CASES_ACROSS = 4
_INK, _PAPER, _GREY, _RED, _GREEN = 40, 255, 150, (190, 30, 30), (20, 120, 40)
_OUTLINE = (255, 0, 255)
"""A colour that neither JET nor a cup has."""
_CLEARANCE = 4
"""Pixels between a defect and its outline, which would hide a small one."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SPELT_OUT = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"}
)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One picture of a sheet.

    Attributes:
        row: which of ``ROWS`` it stands in.
        judged: the picture, its truth and what was found.
        image_threshold: score above which it is rejected.
        pixel_threshold: heat above which a pixel is marked; the middle of the colours.
    """

    row: str
    judged: Judged
    image_threshold: float
    pixel_threshold: float


def telling_cases(
    judged: Sequence[Judged], calibration: Calibration, each: int = _CASES_ACROSS
) -> list[Case]:
    """The worst, median and best of an evaluation's pictures, at most ``each`` a row."""
    rising = sorted(judged, key=lambda one: float(np.nan_to_num(one.score, nan=np.inf)))
    bad = [one for one in rising if one.kind != GOOD]
    good = [one for one in rising if one.kind == GOOD]
    rows = (
        [one for one in bad if not one.rejected],
        [one for one in good[::-1] if one.rejected],
        [*_middle(bad, each - each // 2), *_middle(good, each // 2)],
        [one for one in bad[::-1] if one.rejected],
    )
    return [
        Case(title, one, calibration.image_threshold, calibration.pixel_threshold)
        for title, row in zip(ROWS, rows, strict=True)
        for one in row[:each]
    ]


def write_sheet(path: Path, cases: Sequence[Case]) -> None:
    """Write cases as one PNG: rows of picture and heat, the truth outlined in both.

    The heat is drawn in JET colours (§5) on one scale for all: blue is no heat, green the pixel
    threshold, red twice the threshold or more.

    Args:
        path: of the file.
        cases: of :func:`telling_cases`.

    Raises:
        RecipeError: the file cannot be written.
    """
    across = max([_CASES_ACROSS, *(sum(one.row == row for one in cases) for row in ROWS)])
    parts = [_legend(across)]
    for title in ROWS:
        row = [case for case in cases if case.row == title]
        parts += [_heading(title if row else f"{title}: none", across)]
        if row:
            blank = np.full_like(_cell(row[0]), _PAPER)
            cells = [_cell(case) for case in row] + [blank] * (across - len(row))
            parts.append(np.hstack(cells))
    body = np.vstack(parts)
    sheet = np.full((len(body) + 2 * _MARGIN, body.shape[1] + 2 * _MARGIN, 3), _PAPER, np.uint8)
    sheet[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = body
    _, encoded = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    try:
        write_atomically(path, encoded.tobytes())
    except OSError as error:
        raise RecipeError(
            f"cannot write {path}: {error.strerror}", "make room, or choose another folder"
        ) from error


def heat_colours(heat: NDArray[np.float32], pixel_threshold: float) -> Picture:
    """Normalised heat h×w in JET colours, h×w×3 RGB: blue at 0, green at the threshold."""
    span = pixel_threshold if pixel_threshold > 0 else 1.0
    level = np.clip(0.5 + 0.5 * (heat - pixel_threshold) / span, 0.0, 1.0)
    colours = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_JET)
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_BGR2RGB), np.uint8)


def _middle(rising: Sequence[Judged], count: int) -> Sequence[Judged]:
    first = max((len(rising) - count) // 2, 0)
    return rising[first : first + count]


def _cell(case: Case) -> Picture:
    """Picture and heat side by side, two lines below."""
    one = case.judged
    colours = heat_colours(one.heat, case.pixel_threshold)
    overlay = cv2.addWeighted(one.picture, 0.45, colours, 0.55, 0.0)
    pair = np.hstack([_tile(one.picture, one.mask), _tile(np.asarray(overlay), one.mask)])
    caption = np.full((2 * _LINE + _GAP, pair.shape[1], 3), _PAPER, np.uint8)
    right = one.rejected == (one.kind != GOOD)
    outcome = "rejected, above" if one.rejected else "passed, not above"
    _write(caption, one.name, 0, _INK)
    text = f"score {one.score:.3g}: {outcome} {case.image_threshold:.3g}"
    _write(caption, text, 1, _GREEN if right else _RED)
    return np.vstack([pair, caption])


def _tile(picture: Picture, mask: NDArray[np.bool_]) -> Picture:
    """A picture fitted into a square, its defects outlined."""
    rows, columns = picture.shape[:2]
    scale = _TILE / max(rows, columns)
    size = max(round(columns * scale), 1), max(round(rows * scale), 1)
    smaller = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    fitted = cv2.resize(picture, size, interpolation=smaller)
    # The nearest pixels alone would leave out a defect that lies between them.
    marked = (cv2.resize(mask.astype(np.float32), size, interpolation=smaller) > 0).astype(np.uint8)
    around = cv2.dilate(marked, np.ones((2 * _CLEARANCE + 1,) * 2, np.uint8))
    curves, _ = cv2.findContours(around, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(fitted, curves, -1, _OUTLINE, 1)
    tile = np.full((_TILE + _GAP, _TILE + _GAP, 3), _PAPER, np.uint8)
    top, left = (_TILE - size[1]) // 2, (_TILE - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = fitted
    return tile


def _legend(across: int) -> Picture:
    """What the colours mean."""
    bar = heat_colours(np.linspace(0, 2, 2 * _TILE, dtype=np.float32)[None], 1.0)
    strip = np.full((3 * _LINE, across * 2 * (_TILE + _GAP), 3), _PAPER, np.uint8)
    strip[: _LINE - _GAP, : 2 * _TILE] = bar
    _write(strip, "no heat", 1, _INK)
    _write(strip, "pixel threshold", 1, _INK, left=_TILE - 55)
    _write(strip, "twice it", 1, _INK, left=2 * _TILE - 55)
    left = 2 * (_TILE + _GAP) + _GAP
    cv2.rectangle(strip, (left, 0), (left + 20, _LINE - _GAP), _OUTLINE, 1)
    _write(
        strip,
        "true defect. Left the picture, right its heat. Red words: a wrong verdict",
        0,
        _INK,
        left + 30,
    )
    return strip


def _heading(text: str, across: int) -> Picture:
    strip = np.full((2 * _LINE, across * 2 * (_TILE + _GAP), 3), _PAPER, np.uint8)
    cv2.line(strip, (0, _GAP), (strip.shape[1] - _GAP, _GAP), (_GREY,) * 3, 1)
    cv2.putText(strip, text, (0, _LINE + _GAP), _FONT, 0.55, (_INK,) * 3, 1, cv2.LINE_AA)
    return strip


def _write(
    strip: Picture, text: str, line: int, colour: int | tuple[int, int, int], left: int = 0
) -> None:
    ink = (colour,) * 3 if isinstance(colour, int) else colour
    at = (left, (line + 1) * _LINE - _GAP)
    cv2.putText(strip, _drawable(text), at, _FONT, 0.45, ink, 1, cv2.LINE_AA)


def _drawable(text: str) -> str:
    """Text in ASCII, the only letters that OpenCV draws: umlauts spelt out, accents left out."""
    spelt = unicodedata.normalize("NFC", text).translate(_SPELT_OUT)
    plain = "".join(c for c in unicodedata.normalize("NFKD", spelt) if not unicodedata.combining(c))
    return plain.encode("ascii", "replace").decode("ascii")
