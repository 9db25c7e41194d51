"""Pictures of several lanes go through a network together, wait no longer than they may, and never mix."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.core.errors import EngineError
from inspector.engine import Backend, NetworkPool, load_network
from inspector.engine.batching import BatchingNetwork
from inspector.engine.network import MOST, Network
from tests.engine.small import SIZE, small_graph


class Gated:
    """A real network behind a gate: its runs wait, so that a test decides who comes together."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.input_shape, self.output_shape = network.input_shape, network.output_shape
        self.open = threading.Event()
        self.sizes: list[int] = []

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.sizes.append(len(batch))
        assert self.open.wait(30)
        if batch[:, 0, 0, 0].max() == 255:
            raise EngineError("small.onnx failed on the GPU", "restart the line")
        if batch[:, 0, 0, 0].max() == 254:
            raise ValueError("no such tensor")
        return self._network.run(batch)


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return load_network(small_graph(tmp_path / "small.onnx", 1))


def pictures(count: int) -> list[NDArray[np.uint8]]:
    """Single pictures, each a batch of its own, none of them one that fails."""
    return list(
        np.random.default_rng(0).integers(0, 250, (count, 1, SIZE, SIZE, 3), dtype=np.uint8)
    )


def soon(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


def asked(batching: BatchingNetwork) -> int:
    """Pictures that wait for their run."""
    return sum(batch.size for batch in batching._waiting)


def together(gated: Gated, waiting: list[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
    """One picture goes through alone; the others come one after the other while it is being looked at."""
    batching = BatchingNetwork(gated)
    with ThreadPoolExecutor(1 + len(waiting)) as threads:
        first = threads.submit(batching.run, pictures(1)[0])
        soon(lambda: gated.sizes == [1])
        results = []
        for number, picture in enumerate(waiting, 1):
            results.append(threads.submit(batching.run, picture))
            soon(lambda number=number: asked(batching) == number)  # type: ignore[misc]
        gated.open.set()
        first.result()
        return [result.result() for result in results]


def test_who_asks_while_the_network_is_busy_is_served_together_and_gets_his_own(
    network: Network,
) -> None:
    gated, waiting = Gated(network), pictures(5)
    found = together(gated, waiting)
    assert gated.sizes == [1, 5]
    for picture, result in zip(waiting, found, strict=True):
        np.testing.assert_allclose(result, network.run(picture), atol=1e-5)


def test_no_batch_is_larger_than_a_gpu_is_built_for(network: Network) -> None:
    gated, waiting = Gated(network), pictures(MOST + 3)
    found = together(gated, waiting)
    assert gated.sizes == [1, MOST, 3]
    for picture, result in zip(waiting, found, strict=True):
        np.testing.assert_allclose(result, network.run(picture), atol=1e-5)


@pytest.mark.parametrize(
    ("mark", "says"), [(255, "failed on the GPU"), (254, "ValueError: no such tensor")]
)
def test_what_fails_fails_for_all_of_a_batch_and_the_next_one_is_served(
    network: Network, mark: int, says: str
) -> None:
    gated, waiting = Gated(network), pictures(3)
    waiting[1][:, 0, 0, 0] = mark
    batching = BatchingNetwork(gated)
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(batching.run, pictures(1)[0])
        soon(lambda: gated.sizes == [1])
        results = [threads.submit(batching.run, picture) for picture in waiting]
        soon(lambda: asked(batching) == 3)
        gated.open.set()
        first.result()
        for result in results:
            with pytest.raises(EngineError, match=says):
                result.result()
    np.testing.assert_allclose(batching.run(waiting[0]), network.run(waiting[0]), atol=1e-5)


def test_an_idle_network_waits_for_others_as_long_as_it_may_and_no_longer(network: Network) -> None:
    gated = Gated(network)
    gated.open.set()
    patient = BatchingNetwork(gated, slack_s=30)
    with ThreadPoolExecutor(MOST) as threads:
        assert len(list(threads.map(patient.run, pictures(MOST)))) == MOST
    assert gated.sizes == [MOST], "all came within the slack, and the last one did not wait for it"
    BatchingNetwork(gated, slack_s=0.05).run(pictures(1)[0])
    assert gated.sizes == [MOST, 1], "nobody else came, and the slack was over"


def test_what_does_not_fit_is_refused_for_whoever_asked_alone(network: Network) -> None:
    batching = BatchingNetwork(network)
    with pytest.raises(EngineError, match="was given uint8 of shape"):
        batching.run(np.zeros((1, SIZE, SIZE + 1, 3), np.uint8))
    assert asked(batching) == 0


def test_lanes_that_look_with_the_same_network_share_it_while_one_of_them_holds_it(
    tmp_path: Path,
) -> None:
    path = small_graph(tmp_path / "small.onnx", 1)
    copy = small_graph(tmp_path / "copy.onnx", 1)
    other = small_graph(tmp_path / "other.onnx", 2)
    pool = NetworkPool()
    held = pool.load(path, None, Backend.ONNXRUNTIME)
    assert pool.load(copy, None, Backend.ONNXRUNTIME) is held
    assert pool.load(other, None, Backend.ONNXRUNTIME) is not held
    assert pool.load(path, None, Backend.OPENVINO) is not held
    del held
    assert not [key for key in pool._loaded if key[1] is Backend.ONNXRUNTIME]


def test_a_file_that_was_damaged_is_refused_though_it_was_loaded_before(tmp_path: Path) -> None:
    path = small_graph(tmp_path / "small.onnx", 1)
    pool = NetworkPool()
    held = pool.load(path, None, Backend.ONNXRUNTIME)
    assert held is not None
    with pytest.raises(EngineError, match="is damaged or not the file it should be"):
        pool.load(path, "0" * 64, Backend.ONNXRUNTIME)
    path.unlink()
    with pytest.raises(EngineError, match="is missing"):
        pool.load(path, None, Backend.ONNXRUNTIME)


@pytest.mark.parametrize("backend", [Backend.ONNXRUNTIME, Backend.OPENVINO])
def test_on_a_cpu_each_caller_has_the_network_for_himself(tmp_path: Path, backend: Backend) -> None:
    network = NetworkPool(callers=3).load(small_graph(tmp_path / "s.onnx", 1), None, backend)
    assert not isinstance(network, BatchingNetwork)
    shown = pictures(12)
    alone = [network.run(picture) for picture in shown]
    with ThreadPoolExecutor(3) as threads:
        np.testing.assert_allclose(list(threads.map(network.run, shown)), alone, atol=1e-5)
