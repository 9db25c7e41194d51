"""Frames on disk are read as the camera sent them, or refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.core.errors import RecipeError
from inspector.detector.preparation import (
    PIXEL_FORMAT,
    frame_files,
    labelled_frames,
    read_frame,
    read_images,
)
from inspector.vision import UPRIGHT, demosaic


def test_a_frame_saved_in_colour_gives_back_the_camera_s_own_samples(tmp_path: Path) -> None:
    raw = np.random.default_rng(0).integers(0, 255, (60, 80), dtype=np.uint8)
    colour = demosaic(raw, PIXEL_FORMAT)
    cv2.imwrite(str(tmp_path / "frame.png"), colour[..., ::-1])
    read = read_frame(tmp_path / "frame.png")
    assert np.array_equal(read[1:-1, 1:-1], raw[1:-1, 1:-1])


def test_a_frame_saved_raw_is_taken_as_it_is(tmp_path: Path) -> None:
    raw = np.random.default_rng(0).integers(0, 255, (60, 80), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "frame.png"), raw)
    assert np.array_equal(read_frame(tmp_path / "frame.png"), raw)


@pytest.mark.parametrize("kind", ["text", "sixteen bits"])
def test_what_is_no_eight_bit_picture_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "frame.png"
    if kind == "text":
        path.write_text("no picture")
    else:
        cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint16))
    with pytest.raises(RecipeError, match=r"frame\.png is not an 8-bit picture"):
        read_frame(path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there are no pictures"):
        frame_files(tmp_path)


def test_a_cup_image_of_another_size_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "cup.png"), np.zeros((100, 100, 3), np.uint8))
    with pytest.raises(RecipeError, match="prepare the frames anew"):
        read_images(tmp_path, UPRIGHT)


def test_a_defective_test_picture_needs_its_mask(tmp_path: Path) -> None:
    for kind in ("good", "crack"):
        (tmp_path / "test" / kind).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "test" / kind / "1.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(RecipeError, match=r"crack.1_mask\.png is missing"):
        list(labelled_frames(tmp_path))
