"""A teacher in int8: what its recipe holds, where it runs, and when it is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from inspector.core.errors import EngineError, RecipeError
from inspector.decision import Calibration
from inspector.detector.bundle import wide_band
from inspector.detector.quantising import check_loss, narrow_band
from inspector.detector.teaching import ENOUGH, teach
from inspector.engine import (
    Backend,
    Compared,
    Detector,
    NetworkPool,
    choose_detector,
    load_network,
    open_detector,
    verify_golden,
)
from inspector.engine.half import halved
from inspector.engine.onnxruntime_network import NOT_OPTIMISED
from inspector.engine.tensorrt_builder import build_engine, open_library
from inspector.recipe import Recipe, load_recipe
from inspector.recipe.weights import file_sha256
from tests.detector.test_teaching import LESSON, clean_cups
from tests.engine.small import runnable

INT8 = replace(LESSON, precision="int8")
CALIBRATION = Calibration(q_a=-0.95, q_b=-0.9, image_threshold=4.0, pixel_threshold=4.0)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, list[str]]:
    folder = tmp_path_factory.mktemp("int8")
    told: list[str] = []
    found = teach(INT8, clean_cups(ENOUGH), folder / "type-09", folder / "models", tell=told.append)
    return found.recipe, told


@pytest.fixture
def recipe(taught: tuple[Recipe, list[str]]) -> Recipe:
    return taught[0]


def test_what_int8_loses_on_faint_stains_is_told(taught: tuple[Recipe, list[str]]) -> None:
    assert "in int8" in taught[1][0]
    assert "in float32" in taught[1][0]


def test_its_recipe_says_so_and_brings_the_teachers_graph(recipe: Recipe) -> None:
    assert recipe.manifest.precision == "int8"
    for graph, role in ((recipe.teacher_graph(), "teacher"), (recipe.bank, "bank")):
        assert graph is not None
        assert graph == recipe.models / f"type-09-int8-{file_sha256(graph)[:12]}-{role}.onnx"
    assert recipe.manifest.golden.band.map > wide_band(recipe.calibration).map


def test_every_product_with_weights_is_of_int8_but_the_first(recipe: Recipe) -> None:
    graph = onnx.load(recipe.teacher_graph()).graph
    weights = {tensor.name: tensor.data_type for tensor in graph.initializer}
    wide = [
        node.input[1]
        for node in graph.node
        if node.op_type == "MatMul" and weights.get(node.input[1]) == onnx.TensorProto.FLOAT
    ]
    assert wide == ["patch_embed.matrix"]
    matrices = [tensor.data_type for tensor in graph.initializer if len(tensor.dims) == 2]
    assert matrices.count(onnx.TensorProto.INT8) == 2 * 6


def test_onnx_runtime_multiplies_in_int8_what_is_written_so(recipe: Recipe, tmp_path: Path) -> None:
    """Two blocks of six products with weights and that of queries and keys; the rest is float32."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    for disabled, narrow in ((NOT_OPTIMISED, 2 * (6 + 1)), ([], 2 * (3 + 1))):
        onnxruntime.InferenceSession(
            str(recipe.teacher_graph()),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=disabled,
        )
        graph = onnx.load(tmp_path / "optimised.onnx").graph
        kinds = [node.op_type for node in graph.node]
        assert kinds.count("MatMulIntegerToFloat") == narrow


@pytest.mark.parametrize("backend", Backend)
def test_it_goes_live_in_every_engine(recipe: Recipe, backend: Backend) -> None:
    open_detector(recipe, backend=runnable(backend))


def test_another_network_in_its_place_does_not_go_live(recipe: Recipe, tmp_path: Path) -> None:
    """The teacher in float32, its features turned upside down: finite, plausible, wrong."""
    model = onnx.load(recipe.teacher_graph())
    last = model.graph.node[-1]
    last.input[0], before = "turned", last.input[0]
    model.graph.node.insert(-1, onnx.helper.make_node("Neg", [before], ["turned"]))
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(model.SerializeToString())
    assert recipe.bank is not None
    detector = Detector(Compared(load_network(wrong), bank=load_network(recipe.bank)))
    with pytest.raises(EngineError, match="disagree with golden image 1"):
        verify_golden(recipe, detector)


def test_the_engine_that_is_chosen_says_its_precision(recipe: Recipe) -> None:
    assert choose_detector(recipe, NetworkPool(), "onnxruntime").precision == "int8"


def test_tensorrt_builds_it_and_halves_only_what_is_wider(recipe: Recipe) -> None:
    path = recipe.teacher_graph()
    built = build_engine(open_library(), path, halved(path))
    assert built.taken.kind == "UINT8"
    assert built.products == {"HALF", "FLOAT"}


def test_without_its_graph_the_recipe_does_not_load(recipe: Recipe, tmp_path: Path) -> None:
    for file in (recipe.bank, recipe.teacher_graph()):
        assert file is not None
        (tmp_path / file.name).write_bytes(file.read_bytes())
    load_recipe(recipe.folder, tmp_path)
    graph = tmp_path / recipe.teacher_graph().name
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(RecipeError, match="damaged or not the file"):
        load_recipe(recipe.folder, tmp_path)
    graph.unlink()
    with pytest.raises(RecipeError, match="is missing; restore the models folder"):
        load_recipe(recipe.folder, tmp_path)


def test_from_too_few_pictures_nothing_can_be_shown_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="record 1 more"):
        teach(INT8, clean_cups(ENOUGH - 1), tmp_path / "type-09", tmp_path / "models")
    assert not (tmp_path / "type-09").exists()


def test_a_student_is_not_taught_in_int8() -> None:
    with pytest.raises(RecipeError, match="--scorer bank"):
        replace(INT8, scorer="auto")


def test_int8_that_loses_more_than_a_fifth_of_a_picture_is_refused() -> None:
    assert "0.985 in int8" in check_loss(0.99, 0.985, pictures=36)
    with pytest.raises(RecipeError, match="int8 loses too much"):
        check_loss(0.99, 0.984, pictures=36)
    assert "0.984 in int8" in check_loss(0.99, 0.984, pictures=5)


def flat(*heats: float) -> NDArray[np.float32]:
    """Distance maps whose normalised heat is the same everywhere."""
    span = CALIBRATION.q_b - CALIBRATION.q_a
    return np.stack(
        [np.full((2, 2), np.log(-(CALIBRATION.q_a + heat * span)), np.float32) for heat in heats]
    )


def test_the_band_is_twice_what_one_engine_differs() -> None:
    band = narrow_band(flat(1.0, 9.0), flat(1.2, 9.5), CALIBRATION)
    assert band.map == pytest.approx(1.0, abs=1e-3)
    assert band.score == pytest.approx(1.0, abs=1e-3)


def test_a_verdict_that_differs_is_refused_however_near() -> None:
    with pytest.raises(RecipeError, match="another verdict"):
        narrow_band(flat(3.9), flat(4.1), CALIBRATION)
