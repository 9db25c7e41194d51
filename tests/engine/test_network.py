"""The contract that every backend keeps."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from inspector.core.errors import EngineError
from inspector.engine import Backend, Network, load_network
from inspector.recipe.weights import file_sha256
from tests.engine.small import SIZE, broken_library, round_graph, runnable, small_graph, views


@pytest.fixture(params=Backend)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each in turn."""
    return runnable(request.param)


@pytest.fixture
def network(tmp_path: Path, backend: Backend) -> Network:
    return load_network(small_graph(tmp_path / "small.onnx", 1), backend=backend)


def test_it_says_what_it_takes_and_gives(network: Network) -> None:
    assert network.input_shape == (SIZE, SIZE, 3)
    assert network.output_shape == (24, 4, 4)
    result = network.run(views(3))
    assert result.shape == (3, 24, 4, 4)
    assert result.dtype == np.float32


def test_a_picture_gets_the_same_result_alone_and_in_company(network: Network) -> None:
    batch = views(5)
    alone = np.concatenate([network.run(batch[i : i + 1]) for i in range(5)])
    assert np.abs(network.run(batch) - alone).max() < 1e-5


def test_what_is_beside_a_cup_is_left_out(tmp_path: Path, backend: Backend) -> None:
    network = load_network(round_graph(tmp_path / "round.onnx", 1, prefix=2), backend=backend)
    views = np.random.default_rng(0).integers(0, 255, (2, 112, 112, 3), dtype=np.uint8)
    views[1] = views[0]
    views[1, :14, :14] = 0
    one, other = network.run(views)
    assert np.abs(one - other).max() < 1e-5
    assert (one[:, 0, 0] == 1).all()
    assert np.abs(one[:, 0, 1].mean()) < 1e-5


def test_each_position_is_normalised_over_its_channels(network: Network) -> None:
    result = network.run(views(2))
    assert np.abs(result.mean(axis=1)).max() < 1e-5
    assert np.abs(np.square(result).mean(axis=1) - 1).max() < 1e-3


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((1, SIZE, SIZE, 3), np.float32),
        np.zeros((1, SIZE, SIZE + 1, 3), np.uint8),
        np.zeros((0, SIZE, SIZE, 3), np.uint8),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(
    network: Network, batch: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> None:
    with pytest.raises(EngineError, match="it takes uint8 of n×56×56×3"):
        network.run(batch)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"none\.onnx is missing; restore"):
        load_network(tmp_path / "none.onnx")


def test_another_file_than_the_recipes_is_refused(tmp_path: Path) -> None:
    path = small_graph(tmp_path / "small.onnx", 1)
    pinned = file_sha256(path)
    small_graph(path, 2)
    with pytest.raises(EngineError, match="not the file it should be"):
        load_network(path, pinned)


def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, backend: Backend) -> None:
    path = small_graph(tmp_path / "small.onnx", 1)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(EngineError, match="cannot be loaded") as caught:
        load_network(path, backend=backend)
    assert "\n" not in str(caught.value)


def test_an_opset_that_onnxruntime_does_not_know_is_refused(tmp_path: Path) -> None:
    # OpenVINO takes any; there the golden images tell whether it understood.
    path = small_graph(tmp_path / "small.onnx", 1)
    model = onnx.load(path)
    model.opset_import[0].version = 999
    path.write_bytes(model.SerializeToString())
    with pytest.raises(EngineError, match="too old for its opset"):
        load_network(path)


def _one_node(path: Path, operator: str, kind: int, shape: list[int | str]) -> Path:
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        (TensorProto.DOUBLE, ["n", 4], r"takes (tensor\(double\)|f64)"),
        (TensorProto.FLOAT, [1, 4], "has an input or output of shape"),
        (TensorProto.FLOAT, ["n", "m"], "has an input or output of shape"),
    ],
)
def test_a_graph_of_another_form_is_refused(
    tmp_path: Path, backend: Backend, kind: int, shape: list[int | str], message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        load_network(_one_node(tmp_path / "other.onnx", "Identity", kind, shape), backend=backend)


def test_results_that_are_no_numbers_are_an_error(tmp_path: Path, backend: Backend) -> None:
    path = _one_node(tmp_path / "log.onnx", "Log", TensorProto.FLOAT, ["n", 2])
    network = load_network(path, backend=backend)
    with pytest.raises(EngineError, match="not finite"):
        network.run(np.full((1, 2), -1, np.float32))


def test_a_network_answers_several_threads_at_once(network: Network) -> None:
    batch = views(8)
    expected = network.run(batch)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: network.run(batch[n : n + 1])[0], range(8)))
    assert np.abs(np.stack(found) - expected).max() < 1e-5


def test_a_backend_that_is_not_installed_is_named_with_its_remedy(
    tmp_path: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.engine.network.find_spec", lambda _name: None)
    with pytest.raises(EngineError, match=f"{backend} is not installed; pip install"):
        load_network(small_graph(tmp_path / "small.onnx", 1), backend=backend)


@pytest.mark.parametrize("backend", [Backend.ONNXRUNTIME, Backend.OPENVINO])
@pytest.mark.parametrize("error", [ImportError, OSError, RuntimeError])
def test_a_library_that_breaks_while_it_is_imported_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: Backend, error: type[Exception]
) -> None:
    broken_library(backend.value, error, tmp_path, monkeypatch)
    assert backend.installed
    with pytest.raises(
        EngineError, match=rf"{backend} cannot be loaded: libbroken\.so.*; install the library anew"
    ):
        load_network(small_graph(tmp_path / "small.onnx", 1), backend=backend)


def test_a_broken_onnxruntime_is_there_for_a_gpu_too_and_loading_it_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was built for GPUs cannot be asked of it."""
    broken_library("onnxruntime", ImportError, tmp_path, monkeypatch)
    assert Backend.ONNXRUNTIME_CUDA.installed
    with pytest.raises(EngineError, match="onnxruntime-cuda cannot be loaded: libbroken"):
        load_network(small_graph(tmp_path / "small.onnx", 1), backend=Backend.ONNXRUNTIME_CUDA)


def test_an_openvino_that_cannot_start_or_shape_a_graph_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_graph(tmp_path / "small.onnx", 1)

    def fail(*_given: object) -> None:
        raise RuntimeError("no plugins\nat core.cpp:1")

    with monkeypatch.context() as patched:
        patched.setattr("openvino.Model.reshape", fail)
        with pytest.raises(EngineError, match=r"small\.onnx cannot be loaded: no plugins;"):
            load_network(path, backend=Backend.OPENVINO)
    monkeypatch.setattr("openvino.Core", fail)
    with pytest.raises(EngineError, match="openvino cannot be loaded: no plugins; install"):
        load_network(path, backend=Backend.OPENVINO)
