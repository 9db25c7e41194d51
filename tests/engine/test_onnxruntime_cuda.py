"""ONNX Runtime on a GPU as far as it goes without one: on its CPU provider, which is given the same calls."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from inspector.core.errors import EngineError
from inspector.engine import Backend, load_network
from inspector.engine import onnxruntime_cuda_network as cuda
from inspector.engine.onnxruntime_cuda_network import OnnxRuntimeCudaNetwork
from inspector.recipe.bank_graph import bank_graph
from tests.engine.small import runnable, small_graph, views

CPU = "CPUExecutionProvider"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """The CPU in the GPU's place; what sessions were asked for."""
    asked: list[dict[str, str]] = []
    session = onnxruntime.InferenceSession
    allocate = onnxruntime.OrtValue.ortvalue_from_shape_and_type

    def opened(graph: bytes, options: Any, providers: Any, enable_fallback: int) -> Any:
        asked.append(providers[0][1])
        assert enable_fallback == 0
        return session(graph, providers=[CPU])

    monkeypatch.setattr(cuda, "CUDA_PROVIDER", CPU)
    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    monkeypatch.setattr(
        onnxruntime.OrtValue,
        "ortvalue_from_shape_and_type",
        lambda shape, kind, *_where: allocate(shape, kind, "cpu", 0),
    )
    return asked


def test_batches_of_any_size_give_what_the_cpu_gives(
    tmp_path: Path, settings: list[dict[str, str]]
) -> None:
    path = small_graph(tmp_path / "small.onnx", 1)
    network = OnnxRuntimeCudaNetwork(path, half=False)
    assert network.recorded
    assert settings[0]["enable_cuda_graph"] == "1"
    assert settings[0]["use_tf32"] == "0"
    batch = views(19)
    alone = np.concatenate([network.run(batch[n : n + 1]) for n in range(len(batch))])
    assert np.abs(network.run(batch) - alone).max() < 1e-5


def test_threads_take_turns(tmp_path: Path, settings: list[dict[str, str]]) -> None:
    network = OnnxRuntimeCudaNetwork(small_graph(tmp_path / "small.onnx", 1), half=False)
    batch = views(8)
    expected = network.run(batch)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: network.run(batch[n : n + 1])[0], range(8)))
    assert np.abs(np.stack(found) - expected).max() < 1e-5


def test_nothing_else_runs_while_a_network_is_recorded(
    tmp_path: Path, settings: list[dict[str, str]]
) -> None:
    """As at a changeover: another recipe is loaded while parts are judged."""
    path = small_graph(tmp_path / "small.onnx", 1)
    network = OnnxRuntimeCudaNetwork(path, half=False)
    with ThreadPoolExecutor(2) as pool:
        with cuda._on_gpu:
            judged = pool.submit(network.run, views(1))
            loaded = pool.submit(OnnxRuntimeCudaNetwork, path, half=False)
            for waiting in (judged, loaded):
                with pytest.raises(TimeoutError):
                    waiting.result(0.3)
        assert judged.result().shape == (1, 24, 4, 4)
        assert loaded.result().recorded


def test_joined_with_a_bank_it_gives_distances(
    tmp_path: Path, settings: list[dict[str, str]]
) -> None:
    teacher = small_graph(tmp_path / "teacher.onnx", 1)
    patches = np.random.default_rng(3).normal(0, 1, (1, 20, 24)).astype(np.float32)
    (tmp_path / "bank.onnx").write_bytes(bank_graph(patches, 0, (4, 4)))
    network = OnnxRuntimeCudaNetwork(teacher, half=True, compared=tmp_path / "bank.onnx")
    assert network.output_shape == (4, 4)
    assert network.run(views(3)).shape == (3, 4, 4)


def test_what_cannot_be_recorded_runs_all_the_same(
    tmp_path: Path, settings: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = cuda._session

    def refuse(graph: bytes, *, record: bool) -> Any:
        if record:
            raise RuntimeError("not all nodes are on the GPU")
        return opened(graph, record=record)

    monkeypatch.setattr(cuda, "_session", refuse)
    network = OnnxRuntimeCudaNetwork(small_graph(tmp_path / "small.onnx", 1), half=False)
    assert not network.recorded
    assert settings[0]["enable_cuda_graph"] == "0"
    assert network.run(views(2)).shape == (2, 24, 4, 4)


def test_a_damaged_file_is_refused_in_one_line(
    tmp_path: Path, settings: list[dict[str, str]]
) -> None:
    path = small_graph(tmp_path / "small.onnx", 1)
    path.write_bytes(path.read_bytes()[:-500])
    for half in (False, True):
        with pytest.raises(EngineError, match="cannot be loaded") as caught:
            OnnxRuntimeCudaNetwork(path, half=half)
        assert "\n" not in str(caught.value)


def test_without_a_gpu_nothing_falls_back_to_the_cpu(tmp_path: Path) -> None:
    if Backend.ONNXRUNTIME_CUDA.installed:
        pytest.skip("the build for GPUs is installed")
    with pytest.raises(EngineError, match="cannot use the NVIDIA GPU"):
        OnnxRuntimeCudaNetwork(small_graph(tmp_path / "small.onnx", 1), half=False)


def test_our_own_transformers_are_recorded_and_keep_to_their_numbers(tmp_path: Path) -> None:
    """On a GPU only."""
    runnable(Backend.ONNXRUNTIME_CUDA)
    path = small_graph(tmp_path / "small.onnx", 1)
    network = OnnxRuntimeCudaNetwork(path, half=True)
    assert network.recorded
    error = np.abs(network.run(views(8)) - load_network(path).run(views(8))).max()
    assert error < 0.02
