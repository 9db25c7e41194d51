"""The polar view shows the same place of every cup at the same place, and heat finds its way back."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.engine import load_network
from inspector.recipe.manifest import ViewEntry
from inspector.twin.cups import draw_cup
from inspector.vision import (
    RIM_PX,
    SIZE,
    UPRIGHT_CUP,
    CupImage,
    Lean,
    OrientationReference,
    heat_on_cup,
    prepare,
)
from inspector.vision.polar import INNER, OUTER, contrasted, folded, unrolled

PROJECT = Path(__file__).parents[2]
AS_IT_IS = np.eye(2, 3)
"""Leads from a cup image to itself."""
POLAR = ViewEntry(kind="polar", rows=224, columns=784)


def seen(angle_deg: float) -> CupImage:
    frame = draw_cup("type-01", 3, angle_deg=angle_deg, droplets=0).frame
    reference = OrientationReference.load(PROJECT / "calibration" / "type-01" / "orientation.npz")
    segment = load_network(PROJECT / "models" / "background.onnx").run
    cup = prepare(frame, "RGB8", segment, reference, view=POLAR)
    assert isinstance(cup, CupImage)
    return cup


def middle_of(bright: NDArray[np.integer]) -> float:
    """Where the brightest places of a row or a column have their middle."""
    return float(np.flatnonzero(bright > bright.max() / 2).mean())


def test_a_ring_becomes_a_row_and_a_ray_becomes_a_column() -> None:
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    middle = (SIZE - 1) / 2
    y, x = np.mgrid[:SIZE, :SIZE] - middle
    picture[np.abs(np.hypot(x, y) - 90) < 3, 0] = 255
    picture[(np.abs(x) < 3) & (y < -20), 1] = 255
    view = unrolled(picture, AS_IT_IS, (224, 784))
    row = (90 / RIM_PX - INNER) / (OUTER - INNER) * 224
    assert middle_of(view[..., 0].sum(axis=1)) == pytest.approx(row, abs=1)
    # Straight up is a quarter turn from the right.
    assert middle_of(view[..., 1].sum(axis=0)) == pytest.approx(784 / 4, abs=1)


def test_a_view_shows_what_the_whole_frame_shows() -> None:
    frame = draw_cup("type-01", 3).frame
    segment = load_network(PROJECT / "models" / "background.onnx").run
    cup = prepare(frame, "RGB8", segment, None, view=POLAR)
    assert isinstance(cup, CupImage)
    # A frame has more pixels than the view; what is not needed is not looked at.
    assert cup.surroundings.shape[0] == pytest.approx(cup.outline.radius * SIZE / RIM_PX / 2, abs=8)
    finest = unrolled(frame, cup.to_frame, (4 * 224, 4 * 784), cup.lean)
    reduced = cv2.resize(finest, (784, 224), interpolation=cv2.INTER_AREA)
    apart = cv2.absdiff(contrasted(reduced, 1.0), cup.view)
    assert np.median(apart) <= 1
    assert np.percentile(apart, 99) <= 8


def test_a_cup_looks_the_same_however_it_was_turned() -> None:
    views = [cv2.GaussianBlur(seen(angle).view, (0, 0), 2).astype(int) for angle in (20.0, 200.0)]
    # The lamps stand still while the cup turns: what is left is their light, not the print.
    difference = np.abs(views[0] - views[1])
    assert np.median(difference) <= 4
    assert views[0].shape == (224, 784, 3)


def rings(columns: int = 784) -> NDArray[np.uint8]:
    """A polar view of nothing but rings, each of another grey."""
    greys = (120 + 50 * np.sin(np.arange(224) / 4)).astype(np.uint8)
    return np.broadcast_to(greys[:, None, None], (224, columns, 3)).copy()


def test_contrast_deepens_a_faint_mark_and_leaves_rings_as_they_are() -> None:
    marked = rings()
    marked[20:24, 300:340] -= 5
    deeper = contrasted(marked, 4.0).astype(int) - rings()
    assert set(np.unique(deeper)) == {-20, 0}
    assert np.all((deeper != 0) == (marked != rings()))


@pytest.mark.parametrize("columns", [784, 592, 518])
def test_light_from_one_side_is_evened_out_and_the_cups_own_colour_stays(columns: int) -> None:
    angle = 2 * np.pi * np.arange(columns) / columns
    lit = rings(columns) + 30 * np.cos(angle)[:, None] + 10 * np.sin(2 * angle)[:, None]
    even = contrasted(np.round(lit).astype(np.uint8), 1.0).astype(int)
    assert np.abs(even - rings(columns)).max() <= 6
    assert np.abs(even - rings(columns)).mean() < 1.5


def test_contrast_ends_at_black_and_white() -> None:
    view = np.full((4, 784, 3), 250, np.uint8)
    view[:, 100:110], view[:, 300:310] = 254, 100
    assert contrasted(view, 2.0)[0, [105, 305, 500], 0].tolist() == [255, 0, 250]


@pytest.mark.parametrize("lean", [UPRIGHT_CUP, Lean(0.05, -0.02)])
def test_heat_is_folded_back_to_where_it_came_from(lean: Lean) -> None:
    picture = seen(75.0).image()
    view = unrolled(picture, AS_IT_IS, (224, 784), lean)
    folded_back = folded(view.astype(np.float32)[..., 1], lean)
    inside = np.hypot(*(np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2)) < 0.97 * RIM_PX
    assert np.median(np.abs(folded_back - picture[..., 1])[inside]) <= 1
    assert np.abs(folded_back - picture[..., 1])[inside].mean() < 2


def test_the_seam_of_the_view_leaves_no_seam_in_the_heat() -> None:
    around = np.cos(np.linspace(0, 2 * np.pi, 56, endpoint=False)).astype(np.float32)
    heat = heat_on_cup(np.tile(around, (16, 1)), POLAR)
    middle = SIZE // 2
    beside = heat[middle - 3 : middle + 3, middle + 100]
    assert np.ptp(beside) < 0.05
    assert beside.mean() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("columns", [16, 40, 160, 320, 592, 784])
def test_an_evenly_lit_cup_stays_as_it_is_in_a_view_of_any_width(columns: int) -> None:
    rings = np.arange(60, 156, 3, dtype=np.uint8)[:, None, None]
    view = np.broadcast_to(rings, (32, columns, 3)).copy()
    assert np.array_equal(contrasted(view, 3.0), view)
