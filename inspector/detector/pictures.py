"""Picture files as the trade brings them → colour pictures, raw mosaics and masks, or one clear refusal.

A set of pictures is opened once, whole, before anything is made of it: so a bad file is named at once and
not after a quarter of an hour, and what only the set can say (bit depth, copies, odd shapes) is known.
After that each picture is read when it is needed and none is kept.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import RecipeError

_LOSSY = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".webp"})
SUFFIXES = _LOSSY | {".png", ".tif", ".tiff", ".bmp", ".pbm", ".pgm", ".ppm", ".pnm"}
_OTHERS = frozenset({".gif", ".avif", ".heic", ".heif", ".jxl", ".tga", ".exr", ".dng", ".raw"})
"""Pictures as well, which are not read: left out without a word, a set would be a part of itself."""
DEPTHS = (8, 10, 12, 16)
"""Bits a sample that cameras deliver in 16-bit files."""
MOST_UNALIKE = 0.10
"""How far a picture's width to height may be from the others' where all become one size."""
_MASK_UNALIKE = 0.02
_MOST_LABELS = 16
"""A mask with more values than this has soft edges; with fewer, its values are labels."""
_MOST_NAMED = 3

Samples = NDArray[np.uint8] | NDArray[np.uint16]
OnPicture = Callable[[], None]


@dataclass(frozen=True, slots=True)
class PictureSet:
    """Files that were all opened and hold pictures.

    Attributes:
        files: in the order given.
        bits: a sample of those stored with 16 bits; None where there are none.
        shapes: rows and columns of each.
        copies: (copy, original): pictures whose pixels are all the same.
    """

    files: tuple[Path, ...]
    bits: int | None
    shapes: tuple[tuple[int, int], ...]
    copies: tuple[tuple[Path, Path], ...]

    @property
    def aspect(self) -> float:
        """Width to height, their median."""
        return float(np.median([columns / rows for rows, columns in self.shapes]))

    def colour(self, path: Path) -> NDArray[np.uint8]:
        """A picture in colour, H×W×3 uint8 RGB; a grey one has three equal channels.

        Raises:
            RecipeError: the file has changed and holds no picture any more.
        """
        picture = _eight_bits(_decoded(path), self.bits)
        code = cv2.COLOR_GRAY2RGB if picture.ndim == 2 else cv2.COLOR_BGR2RGB
        return np.asarray(cv2.cvtColor(picture, code), np.uint8)

    def mosaic(self, path: Path) -> NDArray[np.uint8]:
        """A camera frame as the sensor's mosaic, H×W uint8 BayerRG8.

        A frame saved in colour is sampled back: demosaicing keeps the measured samples, so this is
        exactly the raw frame where the file lost nothing, and the networks learn from what the line
        will show them and not from something smoother. A frame of one channel is taken for raw.

        Raises:
            RecipeError: the file has changed and holds no picture any more.
        """
        picture = _eight_bits(_decoded(path), self.bits)
        if picture.ndim == 2:
            return picture
        blue, green, red = 0, 1, 2
        raw = np.ascontiguousarray(picture[..., green])
        raw[0::2, 0::2] = picture[0::2, 0::2, red]
        raw[1::2, 1::2] = picture[1::2, 1::2, blue]
        return raw


def picture_files(folder: Path) -> list[Path]:
    """The picture files below a folder, by name.

    Hidden ones and the shadows that macOS and file servers lay beside them are left out. Links to folders
    are followed: a part of the pictures that lies elsewhere is not left out.

    Raises:
        RecipeError: the folder or one below it is missing or cannot be read, or it holds no pictures, or
            some of a kind that is not read.
    """
    everything = sorted(_files(folder))
    other = next((path for path in everything if path.suffix.lower() in _OTHERS), None)
    if other is not None:
        raise RecipeError(f"{other} is of a kind that is not read", "save it as PNG, or remove it")
    files = [path for path in everything if path.suffix.lower() in SUFFIXES]
    if not files:
        what = "holds no pictures" if any(folder.iterdir()) else "is empty"
        raise RecipeError(
            f"{folder} {what}", f"give a folder of pictures ({', '.join(sorted(SUFFIXES))})"
        )
    return files


def survey(
    files: Sequence[Path], on_picture: OnPicture = lambda: None, bits: int | None = None
) -> PictureSet:
    """Open every picture once.

    Cameras put 10 or 12 bits into 16; which, no file says, so the brightest sample of the whole set decides.
    (Of one picture alone it would make a dark picture bright.) What is compared with another set must be
    read as that was: of itself it may say something else, and then all of it is four times as bright.

    Args:
        files: as :func:`picture_files` gives them.
        on_picture: called after each.
        bits: that another set said, if it had such pictures.

    Raises:
        RecipeError: some are empty, damaged, unreadable or no pictures; names them. Or one is brighter than
            the bits given allow.
    """
    brightest, brightest_path = -1, None
    shapes: list[tuple[int, int]] = []
    originals: dict[bytes, Path] = {}
    copies: list[tuple[Path, Path]] = []
    faults: list[RecipeError] = []
    for path in files:
        try:
            picture = _decoded(path)
        except RecipeError as error:
            faults.append(error)
            continue
        finally:
            on_picture()
        shapes.append((picture.shape[0], picture.shape[1]))
        if picture.dtype == np.uint16:
            most = int(picture.max())
            if most > brightest:
                brightest, brightest_path = most, path
        pixels = hashlib.sha256(repr((picture.shape, picture.dtype)).encode())
        pixels.update(np.ascontiguousarray(picture).data)
        original = originals.setdefault(pixels.digest(), path)
        if original is not path:
            copies.append((path, original))
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise RecipeError(
            f"{len(faults)} of {len(files)} pictures cannot be used: "
            + _some(error.what for error in faults),
            "of each: " + ", or ".join(dict.fromkeys(error.remedy for error in faults)),
        )
    if brightest_path is None:
        bits = None
    elif bits is None:
        bits = next(bits for bits in DEPTHS if brightest < 2**bits)
    elif brightest >= 2**bits:
        raise RecipeError(
            f"{brightest_path} has samples up to {brightest}, more than the {bits} bits that the clean "
            "pictures were taken for",
            "teach from clean pictures of the same camera, one of them as bright, or save all with 8 bits",
        )
    return PictureSet(tuple(files), bits, tuple(shapes), tuple(copies))


def check_alike(pictures: PictureSet, aspect: float | None = None) -> None:
    """Refuse pictures whose shape would be bent when all become one size.

    Args:
        pictures: these.
        aspect: width to height of the clean pictures that they are compared with; None: of their median.

    Raises:
        RecipeError: a picture's width to height is more than 10 % from that.
    """
    wanted = pictures.aspect if aspect is None else aspect
    ratios = [columns / rows for rows, columns in pictures.shapes]
    unlike = [
        f"{path} ({columns}×{rows})"
        for path, (rows, columns), ratio in zip(
            pictures.files, pictures.shapes, ratios, strict=True
        )
        if abs(ratio / wanted - 1.0) > MOST_UNALIKE
    ]
    if unlike:
        others, remedy = (
            ("the rest", "crop them like the others, or leave them out")
            if aspect is None
            else (
                "the clean ones",
                "crop them like these, or teach from clean pictures of their shape",
            )
        )
        raise RecipeError(
            f"{len(unlike)} of {len(ratios)} pictures have another shape than {others}, whose width is "
            f"{wanted:.2f} of their height: {_some(unlike)}",
            remedy,
        )


def read_mask(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where a picture is defective.

    Any value above nought counts in a mask of few values (0 and 1, 0 and 255, a number for each kind);
    a mask with soft edges or from a lossy file is cut at half of its greatest value.

    Args:
        path: the mask's file.
        shape: rows and columns of the picture it belongs to; a mask of another size but nearly the
            same shape (2 %) is brought to it.

    Returns:
        rows×columns, True where defective.

    Raises:
        RecipeError: the file holds no picture, or one of another shape.
    """
    mask = _decoded(path)
    if mask.ndim == 3:
        mask = mask.max(axis=2)
    lossy = path.suffix.lower() in _LOSSY
    values = np.count_nonzero(np.bincount(mask.ravel()))
    half = int(mask.max()) // 2 if lossy or values > _MOST_LABELS else 0
    marked = (mask > half).astype(np.uint8)
    rows, columns = shape
    if marked.shape != shape:
        ratio = (marked.shape[1] / marked.shape[0]) / (columns / rows)
        if abs(ratio - 1.0) > _MASK_UNALIKE:
            raise RecipeError(
                f"the mask {path} has {marked.shape[1]}×{marked.shape[0]} pixels, its picture "
                f"{columns}×{rows}",
                "give a mask of the picture's size",
            )
        marked = np.asarray(
            cv2.resize(marked, (columns, rows), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8
        )
    return marked > 0


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder that are not hidden."""

    def unreadable(error: OSError) -> None:
        raise RecipeError(
            f"the folder {error.filename} cannot be read: {error.strerror}",
            "check its path and its rights",
        ) from error

    for place, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        path = Path(place)
        # A link that leads back would be followed for ever.
        above = {each.resolve() for each in (path, *path.parents)}
        folders[:] = [
            name for name in folders if _shown(name) and (path / name).resolve() not in above
        ]
        yield from (path / name for name in names if _shown(name))


def _shown(name: str) -> bool:
    return not name.startswith(".") and name not in ("__MACOSX", "@eaDir")


def _decoded(path: Path) -> Samples:
    """A file's picture, H×W or H×W×3 BGR, uint8 or uint16: EXIF orientation applied, alpha dropped."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecipeError(
            f"{path} cannot be read: {error.strerror}", "check the file's rights, or remove it"
        ) from error
    if not content:
        raise RecipeError(f"{path} is empty", "copy it again, or remove it")
    try:
        # Of the bytes and not of the file: a truncated picture is then refused, not filled with grey.
        picture = cv2.imdecode(
            np.frombuffer(content, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
        )
    except cv2.error:
        picture = None
    if picture is None:
        begins_well = cv2.haveImageReader(str(path))
        what = "is truncated or damaged" if begins_well else "is not a picture"
        raise RecipeError(f"{path} {what}", "copy it again, or remove it")
    if picture.dtype not in (np.uint8, np.uint16):
        raise RecipeError(
            f"{path} holds {picture.dtype} samples", "save it with 8 or 16 bits a sample"
        )
    return np.asarray(picture)


def _eight_bits(picture: Samples, bits: int | None) -> NDArray[np.uint8]:
    """Rounded to 8 bits, as :func:`inspector.vision.demosaic` rounds what a camera sends."""
    if picture.dtype == np.uint8 or bits is None:
        return np.asarray(picture, np.uint8)
    return np.asarray(cv2.convertScaleAbs(picture, alpha=2.0 ** (8 - bits)), np.uint8)


def _some(names: Iterable[str]) -> str:
    """The first few, and how many more."""
    listed = list(names)
    more = len(listed) - _MOST_NAMED
    return ", ".join(listed[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
