"""The recipe that comes with the project: whole, and reproduced by every backend on this machine."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.config import EngineName
from inspector.core.errors import EngineError
from inspector.decision import judge
from inspector.engine import (
    Backend,
    Detector,
    How,
    Network,
    NetworkPool,
    choose_detector,
    load_network,
    open_detector,
    verify_golden,
)
from inspector.engine.detector import load_detector
from inspector.engine.network import MOST
from inspector.recipe import Recipe, load_recipe
from inspector.vision import heat_on_cup
from tests.engine.small import broken_library, runnable

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(ROOT / "calibration" / "type-01", ROOT / "models")


@pytest.fixture(scope="module", params=Backend)
def detector(recipe: Recipe, request: pytest.FixtureRequest) -> Detector:
    return open_detector(recipe, backend=runnable(request.param))


@pytest.mark.parametrize("backend", Backend)
def test_its_engine_is_within_a_tenth_of_its_band(recipe: Recipe, backend: Backend) -> None:
    detector = open_detector(recipe, backend=runnable(backend))
    narrow = backend.precision == "float16"
    assert (
        verify_golden(recipe, detector) < (1 if narrow else 0.1) * recipe.manifest.golden.band.map
    )


def test_its_clean_golden_cup_passes_and_the_stained_ones_do_not(
    recipe: Recipe, detector: Detector
) -> None:
    clean, *stained = detector.distances(recipe.golden_images)
    assert not judge(clean, recipe.calibration).defective
    assert all(judge(distance, recipe.calibration).defective for distance in stained)


def test_a_cup_with_a_dark_blot_is_rejected_where_the_blot_is(
    recipe: Recipe, detector: Detector
) -> None:
    view = recipe.manifest.view
    cup = recipe.golden_images[0].copy()
    row, column = int(0.65 * view.rows), int(0.6 * view.columns)
    cup[row : row + 25, column : column + 25] //= 3
    blot = np.zeros((view.rows, view.columns), np.float32)
    blot[row : row + 25, column : column + 25] = 1
    judgement = judge(
        detector.distances([cup])[0], recipe.calibration, lambda heat: heat_on_cup(heat, view)
    )
    assert judgement.defective
    hottest = judgement.regions[0]
    y, x = np.argwhere(heat_on_cup(blot, view) > 0.5).mean(axis=0)
    assert hottest.x <= x <= hottest.x + hottest.width
    assert hottest.y <= y <= hottest.y + hottest.height


def test_every_backend_can_be_configured_and_nothing_else() -> None:
    assert get_args(EngineName) == ("auto", *Backend)


def test_auto_takes_a_backend_that_agrees_and_says_why(recipe: Recipe) -> None:
    choice = choose_detector(recipe, NetworkPool(), "auto")
    assert choice.why.startswith("fastest here: ")
    assert all(f"{backend} " in choice.why for backend in Backend if backend.installed)
    assert choice.how is How.FASTEST
    assert choice.golden_error < choice.band
    assert choice.proof.startswith(f"{choice.backend} in {choice.precision} is within ")


def test_a_machine_without_any_engine_says_so(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.engine.network.find_spec", lambda _name: None)
    with pytest.raises(EngineError, match="no engine is installed"):
        choose_detector(recipe, NetworkPool(), "auto")


def test_a_broken_library_does_not_stop_a_line_that_another_engine_can_run(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_library("openvino", ImportError, tmp_path, monkeypatch)
    choice = choose_detector(recipe, NetworkPool(), "auto")
    assert choice.backend is Backend.ONNXRUNTIME
    assert "openvino refused: openvino cannot be loaded: libbroken.so" in choice.why


@pytest.mark.parametrize("backend", Backend)
def test_an_engine_is_proven_for_as_many_pictures_as_a_line_gives_it_at_once(
    recipe: Recipe, backend: Backend
) -> None:
    class Pool(NetworkPool):
        """A CPU in each engine's place."""

        def load(self, path: Path, sha256: str | None, backend: Backend, **how: Any) -> Network:
            if (other := how.get("compared")) is not None:
                return load_network(other[0])
            return load_network(path, sha256)

    detector = load_detector(recipe, Pool(), backend)
    assert detector.most == (MOST if backend.gains_by_batches else 1)


def test_in_a_hurry_the_first_that_agrees_is_taken_unmeasured(recipe: Recipe) -> None:
    choice = choose_detector(recipe, NetworkPool(), "auto", hurried=True)
    assert choice.how is How.FIRST
    assert choice.why.startswith("the first that agrees, in a hurry")


def test_an_engine_that_failed_while_it_ran_is_not_taken_again(recipe: Recipe) -> None:
    gone = {Backend.ONNXRUNTIME: EngineError("teacher.onnx failed: no memory", "restart the line")}
    choice = choose_detector(recipe, NetworkPool(), "auto", hurried=True, failed=gone)
    assert choice.backend is not Backend.ONNXRUNTIME
    assert "onnxruntime refused: teacher.onnx failed: no memory" in choice.why


def test_an_engine_that_agrees_and_fails_in_the_race_leaves_the_line_to_another(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short_lived(recipe: Recipe, pool: NetworkPool, backend: Backend) -> Detector:
        detector = load_detector(recipe, pool, backend)
        whole, proofs = detector.distances, iter(recipe.golden_images)

        def distances(images: NDArray[np.uint8]) -> NDArray[np.float32]:
            if next(proofs, None) is None:
                raise EngineError("teacher.onnx failed: no memory", "restart the line")
            return whole(images)

        if backend is Backend.OPENVINO:
            monkeypatch.setattr(detector, "distances", distances)
        return detector

    monkeypatch.setattr("inspector.engine.choice.load_detector", short_lived)
    choice = choose_detector(recipe, NetworkPool(), "auto")
    assert (choice.backend, choice.how) == (Backend.ONNXRUNTIME, How.ONLY)
    assert "openvino refused: teacher.onnx failed: no memory" in choice.why


def test_a_backend_that_disagrees_with_the_golden_images_is_not_taken(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disagree(recipe: Recipe, pool: NetworkPool, backend: Backend) -> Detector:
        if backend is not Backend.ONNXRUNTIME:
            raise EngineError("the networks disagree with golden image 1", "check CPU and backend")
        return load_detector(recipe, pool, backend)

    monkeypatch.setattr("inspector.engine.choice.load_detector", disagree)
    choice = choose_detector(recipe, NetworkPool(), "auto")
    assert choice.backend is Backend.ONNXRUNTIME
    assert "openvino refused: the networks disagree with golden image 1" in choice.why
    with pytest.raises(EngineError, match="disagree"):
        choose_detector(recipe, NetworkPool(), "openvino")
