"""What vision makes of one rendered frame: single pixels of each view, kept with the numbers of the formats.

    python -m tests.vision.views_seen

writes them anew, once the numbers are higher than those that they were kept for.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.detector import study_sets
from inspector.recipe.manifest import FORMAT, ViewEntry
from inspector.twin.cups import draw_cup
from inspector.vision import CupImage, demosaic, locate, orientation, prepare, spectrum, whole
from tests.vision.bench import FORMAT as PIXELS
from tests.vision.bench import mosaic, segment

KEPT = Path(__file__).with_name("views_seen.npz")
VIEWS = {
    "upright": ViewEntry(),
    "polar": ViewEntry(kind="polar", rows=224, columns=784),
    "coarse": ViewEntry(kind="polar", rows=192, columns=592, contrast=4.0),
    "small": ViewEntry(kind="polar", rows=64, columns=160, contrast=4.0),
}


def formats() -> list[int]:
    """Of recipes, of a study's kept views and of orientation references."""
    return [FORMAT, study_sets._KEPT_FORMAT, orientation._VERSION]


def seen() -> dict[str, NDArray[np.float32]]:
    """Pixels of each view, and the logarithm of some of the waves that cups are turned by."""
    raw = mosaic(draw_cup("type-01", 3).frame)
    found: dict[str, NDArray[np.float32]] = {}
    for name, view in VIEWS.items():
        cup = prepare(raw, PIXELS, segment(), None, view=view)
        assert isinstance(cup, CupImage)
        # Single pixels, not means of them: a view that is sampled otherwise has the same means.
        found[name] = cup.view[::5, ::7].astype(np.float32)
    found["whole"] = whole(demosaic(raw, PIXELS), (280, 280))[::5, ::7].astype(np.float32)
    waves = spectrum(raw, PIXELS, locate(raw, PIXELS, segment())[0])
    found["waves"] = np.log(np.abs(waves[::7, ::5]))
    return found


def apart(kept: dict[str, NDArray[np.float32]]) -> dict[str, float]:
    """Mean difference of today's views from others, in grey levels; of the waves' logarithms."""
    return {name: float(np.abs(now - kept[name]).mean()) for name, now in seen().items()}


def read() -> tuple[list[int], dict[str, NDArray[np.float32]]]:
    """The numbers and the pixels that were kept for them."""
    with np.load(KEPT) as file:
        kept = {name: file[name].astype(np.float32) for name in file.files}
    return [int(number) for number in kept.pop("formats")], kept


def write() -> None:
    """Keep what is seen today.

    Raises:
        SystemExit: the numbers are still those that other views were kept for.
    """
    if KEPT.exists() and read()[0] == formats():
        raise SystemExit("raise the numbers of the formats first: see tests/vision/test_views.py")
    pixels = {n: v.astype(np.float32 if n == "waves" else np.uint8) for n, v in seen().items()}
    np.savez_compressed(KEPT, formats=np.array(formats()), **pixels)  # type: ignore[arg-type]


if __name__ == "__main__":
    cv2.setNumThreads(1)
    write()
