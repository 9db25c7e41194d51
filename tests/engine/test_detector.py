"""Teacher and student together, and the gate of golden images in front of the line."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.core.errors import EngineError
from inspector.decision import Calibration, judge
from inspector.engine import Compared, Detector, load_network, verify_golden
from inspector.engine.network import MOST, Network
from inspector.recipe import Recipe, load_recipe, network_view
from inspector.recipe.bank_graph import bank_graph
from tests.engine.small import SIZE, pictures, small_graph
from tests.recipe.conftest import OnDisk, small_recipe

__all__ = ["small_recipe"]


@pytest.fixture
def detector(tmp_path: Path) -> Detector:
    return _detector(tmp_path, student=2)


def _detector(folder: Path, student: int) -> Detector:
    both = Compared(
        load_network(small_graph(folder / "teacher.onnx", 1)),
        student=load_network(small_graph(folder / f"student-{student}.onnx", student)),
    )
    return Detector(both)


@pytest.fixture
def recipe(small_recipe: OnDisk, detector: Detector) -> Recipe:
    """A recipe whose golden maps are this detector's."""
    plain = load_recipe(small_recipe.folder, small_recipe.models)
    maps = detector.distances(plain.golden_images)
    heat = -np.exp(maps)
    calibration = Calibration(float(heat.min()), float(heat.max()), 2.0, 2.0, 0.01)
    return replace(plain, golden_distances=maps, calibration=calibration)


def test_distances_are_those_of_equation_one(tmp_path: Path) -> None:
    detector = _detector(tmp_path, student=2)
    teacher, student = (load_network(tmp_path / f"{n}.onnx") for n in ("teacher", "student-2"))
    images = pictures(2)
    found = detector.distances(images)
    assert found.shape == (2, *detector.map_shape) == (2, 4, 4)
    views = np.stack([network_view(image, SIZE, SIZE) for image in images])
    difference = student.run(views) - teacher.run(views)
    assert found == pytest.approx(-0.5 / 24 * (difference**2).sum(axis=1), abs=1e-5)


def test_a_student_that_is_its_teacher_finds_nothing(tmp_path: Path) -> None:
    assert _detector(tmp_path, student=1).distances(pictures(1)) == pytest.approx(0)


def test_networks_of_different_channels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="same channels and positions"):
        Compared(
            load_network(small_graph(tmp_path / "teacher.onnx", 1)),
            student=load_network(small_graph(tmp_path / "student.onnx", 2, outputs=20)),
        )


def test_a_bank_of_the_patches_it_is_shown_finds_nothing_and_what_is_new_is_hot(
    tmp_path: Path,
) -> None:
    teacher = load_network(small_graph(tmp_path / "teacher.onnx", 1))
    known = pictures(2)
    views = np.stack([network_view(image, SIZE, SIZE) for image in known])
    patches = teacher.run(views).transpose(0, 2, 3, 1).reshape(1, -1, 24)
    patches /= np.linalg.norm(patches, axis=-1, keepdims=True)
    (tmp_path / "bank.onnx").write_bytes(bank_graph(patches, 0, (4, 4)))
    detector = Detector(Compared(teacher, bank=load_network(tmp_path / "bank.onnx")))
    assert detector.map_shape == (4, 4)
    assert detector.distances(known) == pytest.approx(0, abs=2e-3)
    strange = np.zeros_like(known[:1])
    assert detector.distances(strange).min() < -0.05


def test_a_bank_of_other_channels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bank.onnx").write_bytes(bank_graph(np.ones((1, 3, 20), np.float32), 0, (4, 4)))
    with pytest.raises(EngineError, match="same channels and positions"):
        Compared(
            load_network(small_graph(tmp_path / "teacher.onnx", 1)),
            bank=load_network(tmp_path / "bank.onnx"),
        )


def test_the_networks_a_recipe_was_made_with_go_live(recipe: Recipe, detector: Detector) -> None:
    assert verify_golden(recipe, detector) <= recipe.manifest.golden.band.map


def test_another_student_does_not_go_live(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="disagree with golden image 1 of type-09 v1"):
        verify_golden(recipe, _detector(tmp_path, student=3))


def test_a_small_change_within_the_band_goes_live_and_beyond_it_does_not(
    recipe: Recipe, detector: Detector
) -> None:
    span = recipe.calibration.q_b - recipe.calibration.q_a
    steepness = np.exp(recipe.golden_distances).max()
    step = recipe.manifest.golden.band.map * span / steepness
    assert verify_golden(_moved(recipe, 0.2 * step), detector) > 0
    with pytest.raises(EngineError, match="disagree"):
        verify_golden(_moved(recipe, 5 * step), detector)


def _moved(recipe: Recipe, by: float) -> Recipe:
    return replace(recipe, golden_distances=(recipe.golden_distances - by).astype(np.float32))


def test_a_verdict_that_flips_does_not_go_live_whatever_the_band(
    recipe: Recipe, detector: Detector
) -> None:
    """The threshold between two engines' scores of one golden image: they judge differently."""
    moved = _moved(recipe, 1e-4)
    ours, theirs = (judge(r.golden_distances[0], r.calibration).score for r in (recipe, moved))
    between = replace(recipe.calibration, image_threshold=(ours + theirs) / 2)
    assert verify_golden(moved, detector) < recipe.manifest.golden.band.map
    with pytest.raises(EngineError, match="disagree"):
        verify_golden(replace(moved, calibration=between), detector)


class WrongAtOneSize:
    """A network whose kernels are wrong for one number of pictures at once."""

    def __init__(self, network: Network, size: int) -> None:
        self._network, self._size = network, size
        self.input_shape, self.output_shape = network.input_shape, network.output_shape
        self.sizes: list[int] = []

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.sizes.append(len(batch))
        result = self._network.run(batch)
        if len(batch) == self._size:
            result[-1] *= 0.5
        return result


def _wrong_at(folder: Path, size: int, most: int) -> tuple[Detector, list[int]]:
    teacher = WrongAtOneSize(load_network(folder / "teacher.onnx"), size)
    student = load_network(folder / "student-2.onnx")
    return Detector(Compared(teacher, student=student), most=most), teacher.sizes


def test_an_engine_that_is_wrong_about_one_picture_alone_does_not_go_live(
    recipe: Recipe, tmp_path: Path
) -> None:
    wrong, _ = _wrong_at(tmp_path, size=1, most=1)
    with pytest.raises(EngineError, match="disagree with golden image 1 of type-09 v1"):
        verify_golden(recipe, wrong)


@pytest.mark.parametrize("size", range(2, MOST + 1))
def test_an_engine_that_is_wrong_about_so_many_at_once_as_lanes_give_it_does_not_go_live(
    recipe: Recipe, tmp_path: Path, size: int
) -> None:
    wrong, _ = _wrong_at(tmp_path, size, most=MOST)
    with pytest.raises(EngineError, match=f"disagree with golden image . of .*, {size} at once"):
        verify_golden(recipe, wrong)


def test_an_engine_that_is_given_one_picture_at_a_time_looks_at_each_golden_image_once(
    recipe: Recipe, tmp_path: Path
) -> None:
    """A line without a GPU starts no later."""
    right, sizes = _wrong_at(tmp_path, size=2, most=1)
    verify_golden(recipe, right)
    assert sizes == [1] * len(recipe.golden_images)


def test_maps_of_another_size_do_not_go_live(recipe: Recipe, detector: Detector) -> None:
    cut = np.ascontiguousarray(recipe.golden_distances[:, :3])
    with pytest.raises(EngineError, match="teach the type again"):
        verify_golden(replace(recipe, golden_distances=cut), detector)
