"""A colour is the same colour whatever format the camera sends it in."""

import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.vision import PixelError, demosaic
from inspector.vision.pixels import Raw, averaged, halvings, reduced

RED, GREEN, BLUE = 200, 120, 40


def flat_mosaic(bits: int) -> NDArray[np.uint16]:
    raw = np.empty((64, 96), np.uint16)
    raw[0::2, 0::2] = RED
    raw[0::2, 1::2] = raw[1::2, 0::2] = GREEN
    raw[1::2, 1::2] = BLUE
    return np.left_shift(raw, bits - 8, dtype=np.uint16)


@pytest.mark.parametrize(
    ("pixel_format", "bits"), [("BayerRG10", 10), ("BayerRG12", 12), ("BayerRG16", 16)]
)
def test_a_deep_mosaic_shows_the_colour_of_an_eight_bit_one(pixel_format: str, bits: int) -> None:
    assert (demosaic(flat_mosaic(bits), pixel_format) == (RED, GREEN, BLUE)).all()


def test_red_stays_red_in_an_eight_bit_mosaic() -> None:
    assert (demosaic(flat_mosaic(8).astype(np.uint8), "BayerRG8") == (RED, GREEN, BLUE)).all()


def test_the_brightest_deep_sample_stays_white() -> None:
    assert (demosaic(np.full((8, 8), 1023, np.uint16), "BayerRG10") == 255).all()


def test_mono_becomes_grey_and_rgb_stays_as_it_is() -> None:
    colour = np.full((6, 8, 3), (RED, GREEN, BLUE), np.uint8)
    with_alpha = np.dstack([colour, np.full((6, 8), 7, np.uint8)])
    assert (demosaic(np.full((6, 8), 99, np.uint8), "Mono8") == 99).all()
    assert np.array_equal(demosaic(colour, "RGB8"), colour)
    assert np.array_equal(demosaic(with_alpha, "RGBa8"), colour)


@pytest.mark.parametrize("pixel_format", ["BayerRG8", "BayerRG12"])
def test_the_reduced_picture_is_the_full_one_in_small(pixel_format: str) -> None:
    random = np.random.default_rng(0)
    blocks = random.integers(20, 230, (8, 12), dtype=np.uint8).repeat(12, 0).repeat(12, 1)
    deep = np.left_shift(blocks.astype(np.uint16), 4, dtype=np.uint16)
    raw: Raw = blocks if pixel_format == "BayerRG8" else deep
    small = reduced(raw, pixel_format, (12, 8))
    assert np.abs(small.astype(int) - blocks[::12, ::12, None]).max() <= 1


def test_the_reduced_mosaic_keeps_its_colours() -> None:
    small = reduced(flat_mosaic(8).astype(np.uint8)[:63, :95], "BayerRG8", (24, 16))
    assert (small == (RED, GREEN, BLUE)).all()


def test_an_unknown_format_is_named_with_those_that_work() -> None:
    with pytest.raises(PixelError, match=r"YUV422_8 is not supported; .*BayerRG8"):
        demosaic(np.zeros((4, 4), np.uint8), "YUV422_8")


@pytest.mark.parametrize(
    ("raw", "pixel_format"),
    [
        (np.zeros((4, 4), np.uint16), "BayerRG8"),
        (np.zeros((4, 4), np.uint8), "BayerRG12"),
        (np.zeros((4, 4), np.uint8), "RGB8"),
        (np.zeros((4, 4, 3), np.uint8), "Mono8"),
        (np.zeros((0, 4), np.uint8), "Mono8"),
    ],
)
def test_pixels_that_are_not_of_the_format_are_refused(
    raw: NDArray[np.uint8], pixel_format: str
) -> None:
    with pytest.raises(PixelError):
        demosaic(raw, pixel_format)


def test_a_picture_is_averaged_by_whole_squares_and_what_is_left_over_is_cut_off() -> None:
    picture = np.arange(7 * 9, dtype=np.uint8).reshape(7, 9)
    small = averaged(picture, 2)
    assert small.shape == (3, 4)
    assert small[0, 0] == pytest.approx(np.mean([0, 1, 9, 10]), abs=0.5)
    assert averaged(picture, 4).shape == (1, 2)
    assert averaged(picture, 1) is picture


@pytest.mark.parametrize(
    ("ratio", "times"), [(0.3, 1), (1.0, 1), (1.99, 1), (2.0, 2), (3.9, 2), (4.0, 4)]
)
def test_a_picture_is_halved_while_it_is_twice_as_long_as_needed(ratio: float, times: int) -> None:
    assert halvings(ratio) == times
