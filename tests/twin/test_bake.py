"""The light that is committed belongs to the shapes that the bake renders."""

from importlib.resources import files

import numpy as np
import pytest

from inspector.twin.bake.seen import seen_profile
from inspector.twin.bake.shapes import SHAPES, profile, turned
from inspector.twin.cups import CUP_TYPES


def test_every_cup_type_of_the_twin_has_a_shape() -> None:
    assert SHAPES.keys() == CUP_TYPES.keys()


@pytest.mark.parametrize("name", SHAPES)
def test_the_committed_tables_are_those_of_the_shape(name: str) -> None:
    seen = seen_profile(SHAPES[name])
    stored = files("inspector.twin.cups") / "light" / name / "surface.npz"
    with stored.open("rb") as stream, np.load(stream) as tables:
        assert float(tables["rrim"]) == pytest.approx(seen.rim_row)
        assert int(tables["rb_px"]) == seen.base_row
        for table, values in (
            ("s", seen.arc_cm),
            ("rad", seen.radius_cm),
            ("z", seen.height_cm),
        ):
            np.testing.assert_allclose(tables[table], values, atol=1e-4)


@pytest.mark.parametrize("name", SHAPES)
def test_a_cup_is_turned_into_a_closed_ring_whose_inside_faces_in(name: str) -> None:
    points = profile(SHAPES[name])
    mesh = turned(points)
    assert points[0, 0] == 0
    widened = 0.09 * len(SHAPES[name].shoulders)
    assert points[:, 0].max() == pytest.approx(SHAPES[name].rim_radius + widened, abs=0.04)
    assert len(mesh.vertices) == len(mesh.normals) == len(points) * 721
    assert mesh.faces.max() == len(mesh.vertices) - 1
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-5)
    around = mesh.vertices.reshape(len(points), 721, 3)
    np.testing.assert_allclose(around[:, 0], around[:, -1], atol=1e-5)
    wall = len(points) // 2
    outward = around[wall, 0, :2] / np.linalg.norm(around[wall, 0, :2])
    assert mesh.normals.reshape(len(points), 721, 3)[wall, 0, :2] @ outward < -0.5
