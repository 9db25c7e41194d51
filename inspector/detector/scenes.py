"""Scenes for the background network: clean cups at other places, on other belts, in other light.

The network must know a cup by itself and not by the belt it was photographed on, so half of the scenes
are cups cut out and laid on backgrounds that never were: plain, graded, striped, dirty, up to three
cups at once, touching, cut by the picture's edge, or none.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import RecipeError
from inspector.vision import INPUT_HEIGHT, INPUT_WIDTH

_KEPT = 2
"""Pictures are kept at this many times the network's resolution, so that warping does not blur."""

Colour = NDArray[np.float32]
Coverage = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Frames in small with their masks.

    Attributes:
        names: of the masks' files.
        frames: N×H×W×3 uint8 RGB.
        coverage: N×H×W float32, part of each pixel that is cup.
    """

    names: tuple[str, ...]
    frames: NDArray[np.uint8]
    coverage: Coverage


def read_pictures(
    folder: Path,
    part: str = "train",
    width: int = _KEPT * INPUT_WIDTH,
    height: int = _KEPT * INPUT_HEIGHT,
) -> Pictures:
    """Read every frame below a folder that has a cup mask.

    The layout is that of MVTec AD with cup masks beside it: for each ``cup_mask/PART/KIND/NAME_mask.png``
    anywhere below ``folder`` there is a frame ``PART/KIND/NAME.jpg`` (or ``.png``). A picture is made to
    fit the size given; what its shape leaves free below or beside it repeats its edge and is no cup.

    Args:
        folder: where the set, or the sets of several cup types, are.
        part: ``train`` for the clean cups, ``test`` for all kinds.
        width: columns to keep of each picture.
        height: rows to keep.

    Raises:
        RecipeError: there are no pictures, a frame is missing, or a file is no picture.
    """
    masks = sorted(folder.glob(f"**/cup_mask/{part}/*/*_mask.png"))
    if not masks:
        raise RecipeError(
            f"{folder} holds no cup masks of the part {part!r}",
            "draw some: python -m inspector.twin.cups images --help",
        )
    frames = np.zeros((len(masks), height, width, 3), np.uint8)
    coverage = np.zeros((len(masks), height, width), np.float32)
    names = []
    for index, path in enumerate(masks):
        frame = _read(_frame_of(path), cv2.IMREAD_COLOR_RGB)
        mask = _read(path, cv2.IMREAD_GRAYSCALE)
        scale = min(width / frame.shape[1], height / frame.shape[0])
        size = round(frame.shape[1] * scale), round(frame.shape[0] * scale)
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        frames[index] = cv2.copyMakeBorder(
            small, 0, height - size[1], 0, width - size[0], cv2.BORDER_REPLICATE
        )
        cup = (mask > 0).astype(np.float32)
        coverage[index, : size[1], : size[0]] = cv2.resize(cup, size, interpolation=cv2.INTER_AREA)
        names.append(str(path.relative_to(folder)))
    return Pictures(tuple(names), frames, coverage)


def _frame_of(mask: Path) -> Path:
    """The frame that belongs to a cup mask."""
    kind = mask.parent
    folder = kind.parents[2] / kind.parent.name / kind.name
    name = mask.stem.removesuffix("_mask")
    png = folder / f"{name}.png"
    return png if png.exists() else folder / f"{name}.jpg"


def _read(path: Path, flags: int) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), flags)
    if picture is None:
        raise RecipeError(f"{path} is missing or no picture", "draw the pictures anew")
    return np.asarray(picture, np.uint8)


def batch_of_scenes(
    pictures: Pictures, count: int, random: np.random.Generator
) -> tuple[NDArray[np.uint8], Coverage]:
    """Fresh scenes: count×160×240×3 uint8 RGB and count×160×240 coverage."""
    scenes = [_scene(pictures, random) for _ in range(count)]
    return np.stack([image for image, _ in scenes]), np.stack([cover for _, cover in scenes])


def _scene(pictures: Pictures, random: np.random.Generator) -> tuple[NDArray[np.uint8], Coverage]:
    if random.random() < 0.5:
        image, cover = _placed(pictures, random, random.random() < 0.3, cv2.BORDER_REPLICATE)
    else:
        image = _background(random)
        cover = np.zeros((INPUT_HEIGHT, INPUT_WIDTH), np.float32)
        for _ in range(int(random.choice(4, p=(0.15, 0.35, 0.3, 0.2)))):
            cup, alpha = _placed(pictures, random, True, cv2.BORDER_CONSTANT)
            if float((alpha * cover).sum()) > 40.0:
                continue  # cups stand side by side on a belt, never on top of one another
            gain = random.uniform(0.7, 1.3)
            image += alpha[..., None] * (cup * np.float32(gain) - image)
            cover = np.maximum(cover, alpha)
    return _exposed(image, random), cover


def _placed(
    pictures: Pictures, random: np.random.Generator, anywhere: bool, border: int
) -> tuple[Colour, Coverage]:
    """One picture, mirrored, scaled, moved; ``anywhere`` may move its cup half out of the picture."""
    index = int(random.integers(len(pictures.frames)))
    scale = random.uniform(0.7, 1.3) / _KEPT
    reach = (0.75, 0.6) if anywhere else (0.12, 0.1)
    move = random.uniform(-1.0, 1.0, 2) * reach * (INPUT_WIDTH, INPUT_HEIGHT)
    mirror_x, mirror_y = random.choice((-1.0, 1.0), 2)
    height, width = pictures.coverage.shape[1:]
    a, b = scale * mirror_x, scale * mirror_y
    matrix = np.array(
        [
            [a, 0.0, INPUT_WIDTH / 2 - 0.5 + move[0] - a * (width / 2 - 0.5)],
            [0.0, b, INPUT_HEIGHT / 2 - 0.5 + move[1] - b * (height / 2 - 0.5)],
        ]
    )
    size = (INPUT_WIDTH, INPUT_HEIGHT)
    image = cv2.warpAffine(pictures.frames[index], matrix, size, borderMode=border)
    cover = cv2.warpAffine(pictures.coverage[index], matrix, size)
    return image.astype(np.float32), np.asarray(cover, np.float32)


def _background(random: np.random.Generator) -> Colour:
    """A belt that never was."""
    shape = (INPUT_HEIGHT, INPUT_WIDTH)
    colour = random.uniform(20.0, 235.0) + random.normal(0.0, 18.0, 3)
    x = np.linspace(-1.0, 1.0, shape[1])[None, :, None]
    y = np.linspace(-1.0, 1.0, shape[0])[:, None, None]
    slope = random.normal(0.0, 0.08, 3)
    image = colour * (1.0 + slope[0] * x + slope[1] * y + slope[2] * (x * x + y * y))
    cells = int(random.integers(2, 40))
    mottled = cv2.resize(
        random.normal(0.0, random.uniform(0.0, 12.0), (cells, cells)).astype(np.float32),
        (shape[1], shape[0]),
        interpolation=cv2.INTER_CUBIC,
    )
    image = (image + mottled[..., None]).astype(np.float32)
    if random.random() < 0.3:
        period, direction = random.uniform(3.0, 60.0), random.uniform(0.0, np.pi)
        phase = (x * np.cos(direction) * 120.0 + y * np.sin(direction) * 80.0) / period
        image += (random.uniform(2.0, 20.0) * np.sign(np.sin(2 * np.pi * phase))).astype(np.float32)
    for _ in range(int(random.poisson(1.5))):
        tone = tuple(float(value) for value in np.clip(colour + random.normal(0, 60, 3), 0, 255))
        start, end = (
            (int(random.integers(-20, shape[1] + 20)), int(random.integers(-20, shape[0] + 20)))
            for _ in range(2)
        )
        if random.random() < 0.5:
            cv2.line(image, start, end, tone, int(random.integers(1, 10)), cv2.LINE_AA)
        else:
            axes = (int(random.integers(1, 9)), int(random.integers(1, 9)))
            cv2.ellipse(image, start, axes, 0.0, 0.0, 360.0, tone, -1, cv2.LINE_AA)
    return np.asarray(image, np.float32)


def _exposed(image: Colour, random: np.random.Generator) -> NDArray[np.uint8]:
    """Other exposure, white balance, contrast curve, sharpness and noise."""
    level = np.clip(image / 255.0, 0.0, 1.0) ** random.uniform(0.8, 1.25)
    gain = random.uniform(0.5, 1.35) * random.normal(1.0, 0.06, 3)
    level = level * gain + random.normal(0.0, 0.02)
    if random.random() < 0.2:
        level = cv2.GaussianBlur(level, (0, 0), random.uniform(0.3, 0.9))
    level = level + random.normal(0.0, random.uniform(0.0, 0.015), level.shape)
    return np.asarray(np.clip(level * 255.0 + 0.5, 0.0, 255.0), np.uint8)
