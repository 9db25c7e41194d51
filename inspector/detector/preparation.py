"""Clean pictures → views to teach from, by the line's own way of seeing."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import RecipeError
from inspector.detector.pictures import DEPTHS, PictureSet, check_alike, survey
from inspector.recipe.manifest import ViewEntry
from inspector.vision import (
    CupOutline,
    OrientationReference,
    Refusal,
    Segment,
    learn_orientation,
    locate,
    prepare,
    spectrum,
    whole,
)

PIXEL_FORMAT = "BayerRG8"
ORIENTATION = "orientation.npz"
FEWEST_CLEAN = 2
"""One picture to learn from and one to set the threshold by."""

OnProgress = Callable[[int, int], None]
"""Steps done, and of how many."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What became of a set of clean pictures.

    Attributes:
        views: n×R×K×3 uint8 RGB.
        files: where each view came from.
        refused: pictures that show not one whole cup, or no readable angle, with the reason in words.
        rejected: how many of these the line would refuse as well, clean or not: all but those that show
            several cups, of which it would look at one.
        orientation: content of the orientation reference learned from them, None if none was.
        notes: what a person should know before relying on them, a sentence each.
        bits: see ``PictureSet``; test pictures are read likewise.
        aspect: likewise, where pictures are compared whole; else None.
    """

    views: NDArray[np.uint8]
    files: tuple[Path, ...]
    refused: tuple[tuple[Path, str], ...]
    rejected: int
    orientation: bytes | None
    notes: tuple[str, ...]
    bits: int | None = None
    aspect: float | None = None


def prepare_frames(
    files: Sequence[Path],
    segment: Segment,
    view: ViewEntry,
    *,
    orientation: Literal["learn"] | OrientationReference | None,
    on_progress: OnProgress = lambda _done, _of: None,
    bits: int | None = None,
) -> Prepared:
    """Clean camera frames of one cup type → views of their cups, as the line will see them.

    Args:
        files: frames, for ``learn`` at different angles.
        segment: the background network.
        view: upright, round or polar.
        orientation: ``learn`` what upright is from these frames, turn the cups by a reference that is
            there, or leave them as they lie.
        on_progress: called after every picture of each of the three passes.
        bits: of a sample in those stored with 16, where more than these files say it, see :func:`survey`.

    Raises:
        RecipeError: a file is no picture; too few whole cups; or no print that tells an angle.
    """
    progress = Steps(3 * len(files), on_progress)
    pictures = survey(files, progress, bits)
    outlines: dict[Path, CupOutline] = {}
    spectra = []
    several: dict[Path, str] = {}
    for path in files:
        raw = pictures.mosaic(path)
        cups = [cup for cup in locate(raw, PIXEL_FORMAT, segment) if cup.whole]
        if len(cups) == 1:
            outlines[path] = cups[0]
            if orientation == "learn":
                spectra.append(spectrum(raw, PIXEL_FORMAT, cups[0]))
        elif cups:
            several[path] = f"{len(cups)} whole cups in the picture"
        progress()
    if not outlines:
        raise RecipeError(
            f"none of {len(files)} pictures shows exactly one whole cup, e.g. {files[0]}",
            "give whole camera frames; things that are no cups are taught whole (--no-background)",
        )
    reference = learn_orientation(spectra) if orientation == "learn" else orientation
    views = np.empty((len(outlines), view.rows, view.columns, 3), np.uint8)
    shown: list[Path] = []
    rejected: list[tuple[Path, str]] = []
    for path in files:
        if path in outlines:
            raw = pictures.mosaic(path)
            seen = prepare(raw, PIXEL_FORMAT, segment, reference, outlines[path], view)
            if isinstance(seen, Refusal):
                rejected.append((path, seen.detail))
            else:
                views[len(shown)] = seen.view
                shown.append(path)
        elif path not in several:
            rejected.append((path, "no whole cup in the picture"))
        progress()
    _enough(len(shown), len(files))
    learned = io.BytesIO()
    if orientation == "learn" and reference is not None:
        reference.save(learned)
    notes = _copies(pictures) + _deep(pictures)
    return Prepared(
        views[: len(shown)],
        tuple(shown),
        (*several.items(), *rejected),
        len(rejected),
        learned.getvalue() or None,
        notes,
        pictures.bits,
    )


def views_of(
    files: Sequence[Path],
    view: ViewEntry,
    on_progress: OnProgress = lambda _done, _of: None,
) -> Prepared:
    """Clean pictures of things that are no cups → each picture whole, in the view's size.

    Args:
        files: of any size, but all of nearly one shape.
        view: whole.
        on_progress: called after every picture of each of the two passes.

    Raises:
        RecipeError: a file is no picture, or of another shape than the rest; or there are too few.
    """
    progress = Steps(2 * len(files), on_progress)
    pictures = survey(files, progress)
    _enough(len(files), len(files))
    check_alike(pictures)
    views = np.empty((len(files), view.rows, view.columns, 3), np.uint8)
    for number, path in enumerate(files):
        views[number] = whole(pictures.colour(path), (view.rows, view.columns))
        progress()
    notes = _copies(pictures) + _sizes(pictures) + _deep(pictures)
    return Prepared(views, tuple(files), (), 0, None, notes, pictures.bits, pictures.aspect)


def chosen(count: int, training: int, seed: int) -> tuple[list[int], list[int]]:
    """Which pictures train, and which are held out for the thresholds, at random under a seed.

    Raises:
        RecipeError: nothing would be left to hold out, or nothing to train on.
    """
    if not 0 < training < count:
        raise RecipeError(
            f"{count} clean pictures cannot give {training} for training and any for the thresholds",
            "record more clean cups, or train on fewer",
        )
    order: Sequence[int] = np.random.default_rng(seed).permutation(count).tolist()
    return sorted(order[:training]), sorted(order[training:])


class Steps:
    """Counts steps of several passes as one way."""

    def __init__(self, of: int, report: OnProgress) -> None:
        self._done, self._of, self._report = 0, of, report

    def __call__(self) -> None:
        """One more is done."""
        self._done += 1
        self._report(self._done, self._of)


def _enough(count: int, of: int) -> None:
    if count < FEWEST_CLEAN:
        raise RecipeError(
            f"{count} of {of} clean pictures can be learned from, at least {FEWEST_CLEAN} are needed",
            "record more: five make a start, a hundred are good",
        )


def _copies(pictures: PictureSet) -> tuple[str, ...]:
    if not pictures.copies:
        return ()
    copy, original = pictures.copies[0]
    return (
        f"{len(pictures.copies)} of {len(pictures.files)} pictures are exact copies of others (first: "
        f"{copy} of {original}): the thresholds promise more than they keep until these are removed",
    )


def _deep(pictures: PictureSet) -> tuple[str, ...]:
    if pictures.bits in (None, DEPTHS[-1]):
        return ()
    return (
        f"16-bit pictures are read as {pictures.bits}-bit samples, which hold the brightest of them: if the "
        "camera sends more bits, add a picture with bright spots, or save all with 8 bits",
    )


def _sizes(pictures: PictureSet) -> tuple[str, ...]:
    sizes = sorted(set(pictures.shapes))
    if len(sizes) < 2:
        return ()
    least, most = sizes[0], sizes[-1]
    return (
        f"the pictures have {len(sizes)} sizes, from {least[1]}×{least[0]} to {most[1]}×{most[0]} pixels: "
        "each is brought to the view's size",
    )
