"""Whole camera frames become cup images that all lie alike, and what shows no cup is left out."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.core.errors import RecipeError
from inspector.detector.preparation import ORIENTATION, Prepared, prepare_frames, read_images
from inspector.engine import load_network
from inspector.twin.cups import draw_cup, empty_belt
from inspector.vision import UPRIGHT, OrientationReference

BACKGROUND = Path(__file__).parents[2] / "models" / "background.onnx"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frames")


@pytest.fixture(scope="module")
def prepared(folder: Path) -> Prepared:
    """Ten clean cups at angles all around, and one empty belt."""
    frames = [draw_cup("type-01", seed, angle_deg=36.0 * seed).frame for seed in range(10)]
    files = []
    for number, frame in enumerate([*frames, empty_belt(0)]):
        files.append(folder / f"{number}.jpg")
        cv2.imwrite(str(files[-1]), frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    return prepare_frames(files, folder / "out", load_network(BACKGROUND).run, UPRIGHT)


def test_every_cup_becomes_an_image_and_the_empty_belt_is_left_out(prepared: Prepared) -> None:
    assert len(prepared.images) == 10
    assert [(path.name, why) for path, why in prepared.refused] == [
        ("10.jpg", "not exactly one whole cup in the picture")
    ]


def test_all_lie_alike_however_they_came(prepared: Prepared, folder: Path) -> None:
    images = read_images(folder / "out" / "images", UPRIGHT).astype(np.float32)
    row, column = np.mgrid[:384, :384]
    distance = np.hypot(row - 191.5, column - 191.5)
    printed_ring = np.where((distance > 100) & (distance < 150), 1, 0)
    green = (images[..., 1] - images[..., 0]) * printed_ring
    green_print = np.where(printed_ring, green - np.median(green[:, printed_ring > 0]), 0)
    expected = green_print.mean(axis=0)
    for one in green_print:
        likeness = float(np.corrcoef(one.ravel(), expected.ravel())[0, 1])
        turned = float(np.corrcoef(np.rot90(one).ravel(), expected.ravel())[0, 1])
        assert likeness > 0.8 > turned
    OrientationReference.load(folder / "out" / ORIENTATION)


def test_without_any_cup_nothing_is_learned(folder: Path, prepared: Prepared) -> None:
    belt = folder / "10.jpg"
    with pytest.raises(RecipeError, match="too few to learn a print from"):
        prepare_frames([belt], folder / "none", load_network(BACKGROUND).run, UPRIGHT)
    assert not (folder / "none").exists()
