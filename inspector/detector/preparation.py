"""Clean frames as a camera saved them → cup images to teach from, by the line's own way of seeing."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import RecipeError
from inspector.recipe.files import write_atomically
from inspector.recipe.manifest import ViewEntry
from inspector.recipe.recipe import picture_bytes
from inspector.vision import (
    RIM_PX,
    Refusal,
    Segment,
    centred_view,
    learn_orientation,
    locate,
    prepare,
    unwrapped,
)

PIXEL_FORMAT = "BayerRG8"
ORIENTATION = "orientation.npz"
_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What became of a folder of frames.

    Attributes:
        images: cup images written.
        refused: frames that show no whole cup or no readable angle, with the reason in words.
    """

    images: tuple[Path, ...]
    refused: tuple[tuple[Path, str], ...]


def frame_files(folder: Path) -> list[Path]:
    """The pictures below a folder, by name.

    Raises:
        RecipeError: there are none.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not files:
        raise RecipeError(
            f"there are no pictures in {folder}", "give a folder of .png, .jpg or .tif frames"
        )
    return files


def read_frame(path: Path) -> NDArray[np.uint8]:
    """A saved frame as the camera's mosaic, H×W uint8 BayerRG8.

    A picture saved in colour is sampled back: demosaicing keeps the measured samples, so this is
    exactly the raw frame where the file lost nothing, and the networks learn from what the line will
    show them and not from something smoother. A grey picture is taken for a raw mosaic.

    Raises:
        RecipeError: the file is no 8-bit picture, or damaged.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if picture is None or picture.dtype != np.uint8:
        raise RecipeError(f"{path} is not an 8-bit picture", "save the frame anew, or remove it")
    if picture.ndim == 2:
        return np.asarray(picture, np.uint8)
    blue, green, red = 0, 1, 2
    mosaic = np.ascontiguousarray(picture[..., green])
    mosaic[0::2, 0::2] = picture[0::2, 0::2, red]
    mosaic[1::2, 1::2] = picture[1::2, 1::2, blue]
    return mosaic


def prepare_frames(
    frames: Sequence[Path],
    out: Path,
    segment: Segment,
    view: ViewEntry,
    on_frame: Callable[[int], None] = lambda _count: None,
) -> Prepared:
    """Learn what upright is from clean frames and write every frame's cup image.

    Writes ``out/images/NUMBER.png`` and ``out/orientation.npz``.

    Args:
        frames: files of clean frames of one cup type, at different angles.
        out: folder to write to.
        segment: the background network.
        view: what the networks are to compare.
        on_frame: called with 1 after each frame of each of the two passes.

    Raises:
        RecipeError: too few whole cups, or no print that tells an angle.
    """
    outlines, spectra = {}, []
    for path in frames:
        raw = read_frame(path)
        whole = [cup for cup in locate(raw, PIXEL_FORMAT, segment) if cup.whole]
        if len(whole) == 1:
            outlines[path] = whole[0]
            spectra.append(unwrapped(centred_view(raw, PIXEL_FORMAT, whole[0]), RIM_PX))
        on_frame(1)
    reference = learn_orientation(spectra)
    with tempfile.TemporaryDirectory() as scratch:
        reference.save(Path(scratch) / ORIENTATION)
        write_atomically(out / ORIENTATION, (Path(scratch) / ORIENTATION).read_bytes())
    images, refused = [], []
    for number, path in enumerate(frames):
        if path not in outlines:
            refused.append((path, "not exactly one whole cup in the picture"))
            on_frame(1)
            continue
        seen = prepare(read_frame(path), PIXEL_FORMAT, segment, reference, outlines[path], view)
        if isinstance(seen, Refusal):
            refused.append((path, seen.detail))
        else:
            image = out / "images" / f"{number:05d}.png"
            write_atomically(image, picture_bytes(seen.view))
            images.append(image)
        on_frame(1)
    return Prepared(tuple(images), tuple(refused))


def read_images(folder: Path, view: ViewEntry) -> NDArray[np.uint8]:
    """All prepared views of a folder by name, n×R×K×3 uint8 RGB.

    Raises:
        RecipeError: there are none, or one is not a colour picture of the view's size.
    """
    return np.stack([_image(path, view) for path in frame_files(folder)])


def _image(path: Path, view: ViewEntry) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None or picture.shape != (view.rows, view.columns, 3):
        raise RecipeError(
            f"{path} is not a view of {view.rows}×{view.columns} pixels", "prepare the frames anew"
        )
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


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


LabelledFrame = tuple[str, Path, Path | None]
"""Kind (``good`` or a defect), frame, and mask of the defect."""


def labelled_frames(folder: Path) -> Iterator[LabelledFrame]:
    """Every picture below ``folder/test`` (MVTec AD's layout).

    Raises:
        RecipeError: there are no pictures, or a mask is missing.
    """
    for path in frame_files(folder / "test"):
        kind = path.parent.name
        if kind == "good":
            yield kind, path, None
            continue
        mask = folder / "ground_truth" / kind / f"{path.stem}_mask.png"
        if not mask.is_file():
            raise RecipeError(f"{mask} is missing", "every defective picture needs its mask")
        yield kind, path, mask
