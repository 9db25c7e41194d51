"""The polar view shows the same place of every cup at the same place, and heat finds its way back."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.engine import load_network
from inspector.recipe.manifest import ViewEntry
from inspector.twin.cups import draw_cup
from inspector.vision import RIM_PX, SIZE, CupImage, OrientationReference, heat_on_cup, prepare
from inspector.vision.polar import INNER, OUTER, contrasted, folded, unrolled

PROJECT = Path(__file__).parents[2]
POLAR = ViewEntry(kind="polar", rows=224, columns=784)


def identity(points: NDArray[np.floating]) -> NDArray[np.float64]:
    return points.astype(np.float64)


def seen(angle_deg: float) -> CupImage:
    frame = draw_cup("type-01", 3, angle_deg=angle_deg, droplets=0).frame
    reference = OrientationReference.load(PROJECT / "calibration" / "type-01" / "orientation.npz")
    segment = load_network(PROJECT / "models" / "background.onnx").run
    cup = prepare(frame, "RGB8", segment, reference, view=POLAR)
    assert isinstance(cup, CupImage)
    return cup


def test_a_ring_becomes_a_row_and_a_ray_becomes_a_column() -> None:
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    middle = (SIZE - 1) / 2
    y, x = np.mgrid[:SIZE, :SIZE] - middle
    picture[np.abs(np.hypot(x, y) - 90) < 3, 0] = 255
    picture[(np.abs(x) < 3) & (y < -20), 1] = 255
    view = unrolled(picture, identity, RIM_PX, middle, (224, 784))
    row = (90 / RIM_PX - INNER) / (OUTER - INNER) * 224
    assert np.argmax(view[..., 0].sum(axis=1)) == pytest.approx(row, abs=2)
    # Straight up is a quarter turn from the right.
    assert np.argmax(view[..., 1].sum(axis=0)) == pytest.approx(784 / 4, abs=2)


def test_a_cup_looks_the_same_however_it_was_turned() -> None:
    views = [cv2.GaussianBlur(seen(angle).view, (0, 0), 2).astype(int) for angle in (20.0, 200.0)]
    # The lamps stand still while the cup turns: what is left is their light, not the print.
    difference = np.abs(views[0] - views[1])
    assert np.median(difference) <= 4
    assert views[0].shape == (224, 784, 3)


def test_contrast_deepens_a_faint_mark_and_leaves_rings_as_they_are() -> None:
    rings = np.repeat(np.arange(60, 188, 2).astype(np.uint8)[:, None, None], 100, axis=1).repeat(
        3, axis=2
    )
    marked = rings.copy()
    marked[20:24, 30:40] -= 5
    deeper = contrasted(marked, 3.0).astype(int)
    assert set(np.unique(deeper - rings)) == {-15, 0}
    assert np.all((deeper != rings) == (marked != rings))


def test_contrast_ends_at_black_and_white() -> None:
    view = np.full((4, 100, 3), 250, np.uint8)
    view[:, 10], view[:, 20] = 254, 100
    assert contrasted(view, 2.0)[0, [10, 20, 30], 0].tolist() == [255, 0, 250]


def test_a_contrast_of_one_changes_nothing() -> None:
    view = np.random.default_rng(1).integers(0, 256, (8, 50, 3), np.uint8)
    assert np.array_equal(contrasted(view, 1.0), view)


def test_heat_is_folded_back_to_where_it_came_from() -> None:
    cup = seen(75.0)
    marked = cup.image().astype(np.float32)
    folded_back = folded(cup.view.astype(np.float32)[..., 1], RIM_PX, SIZE)
    inside = np.hypot(*(np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2)) < 0.97 * RIM_PX
    assert np.median(np.abs(folded_back - marked[..., 1])[inside]) <= 2


def test_the_seam_of_the_view_leaves_no_seam_in_the_heat() -> None:
    around = np.cos(np.linspace(0, 2 * np.pi, 56, endpoint=False)).astype(np.float32)
    heat = heat_on_cup(np.tile(around, (16, 1)), POLAR)
    middle = SIZE // 2
    beside = heat[middle - 3 : middle + 3, middle + 100]
    assert np.ptp(beside) < 0.05
    assert beside.mean() == pytest.approx(1.0, abs=0.05)
