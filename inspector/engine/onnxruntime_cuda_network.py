"""A graph in ONNX Runtime on the first NVIDIA GPU, its kernels recorded as CUDA graphs, one a batch size.

Nothing falls back to the CPU unheard: a session without the GPU is an error, one with single nodes on the CPU
cannot be recorded, and the log says so.
"""

import contextlib
import queue
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime
import structlog
from numpy.typing import NDArray

from inspector.core.errors import EngineError
from inspector.engine.fused import fused, joined
from inspector.engine.network import (
    CUDA_PROVIDER,
    MEND,
    MEND_GPU,
    MOST,
    check_batch,
    finite,
    first_line,
    item_shape,
    unloadable,
)

_Result = TypeVar("_Result")
_Deed = tuple[Callable[[], Any], "queue.SimpleQueue[tuple[Any, BaseException | None]]"]
"""What is to be done, and where its result and error go."""
_TYPES: dict[str, type[np.generic]] = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
_on_gpu = threading.Lock()
"""Held while anything runs: kernels cannot be recorded for one network, at a changeover say, while another
copies; both would fail."""
_preloading = threading.Lock()
_preloaded: list[bool] = []


class OnnxRuntimeCudaNetwork:
    """See :class:`inspector.engine.Network`. One batch runs at a time, threads take turns.

    Args:
        path: ``.onnx`` file.
        half: written anew in float16 where that is known to be good; see :mod:`inspector.engine.fused`.
        compared: of a student or bank that is joined to it; results are then distance maps.
        most: pictures that are given to the GPU at once.

    Raises:
        EngineError: there is no GPU, the library cannot load the graph, or the graph is not of the form that
            it must have, or cannot be joined.
    """

    def __init__(
        self,
        path: Path,
        *,
        half: bool,
        compared: Path | None = None,
        most: int = MOST,
    ) -> None:
        self._path, self._most = path, most
        graph = _graph(path, half=half, compared=compared)
        # The library keeps its recorded graphs by thread: all that runs does so in this one.
        self._hand = _Hand()
        self._session, self._recorded = self._hand.do(lambda: _open(path, graph))
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise EngineError(f"{path} does not have one input and one output", MEND)
        if inputs[0].type not in _TYPES or outputs[0].type != "tensor(float)":
            raise EngineError(f"{path} takes {inputs[0].type} and gives {outputs[0].type}", MEND)
        self._ends = inputs[0].name, outputs[0].name
        self._type = _TYPES[inputs[0].type]
        self.input_shape = item_shape(path, inputs[0].shape)
        self.output_shape = item_shape(path, outputs[0].shape)
        self._bound: dict[int, _Bound] = {}
        self._hand.do(lambda: self._prepare(graph))

    @property
    def recorded(self) -> bool:
        """Whether its kernels are started as one CUDA graph."""
        return self._recorded

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """See :class:`inspector.engine.Network`."""
        check_batch(self._path, batch, self._type, self.input_shape)
        return finite(self._path, self._hand.do(lambda: self._run(batch)))

    def _run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        try:
            parts = [
                self._part(batch[n : n + self._most]) for n in range(0, len(batch), self._most)
            ]
        except Exception as error:  # the library's errors share no base class
            raise EngineError(
                f"{self._path.name} failed: {first_line(error)}", "restart the line"
            ) from error
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _part(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        with _on_gpu:
            bound = self._bind(len(batch))
            np.copyto(bound.here, batch)
            bound.taken.update_inplace(bound.here)
            self._session.run_with_iobinding(bound.binding, bound.options)
            return np.array(bound.given.numpy())  # the next batch may be written there

    def _bind(self, count: int) -> "_Bound":
        """Memory on the GPU for batches of a size, and what replays them: addresses must stay."""
        if count not in self._bound:
            shapes = ((count, *self.input_shape), (count, *self.output_shape))
            self._bound[count] = _Bound(
                self._session, self._ends, shapes, self._type, count if self._recorded else -1
            )
        return self._bound[count]

    def _prepare(self, graph: bytes) -> None:
        """Run every size that a line sends once: the first is slow, and records the kernels."""
        try:
            self._warm_up()
        except EngineError as problem:
            if not self._recorded:
                raise
            _tell_unrecorded(self._path, problem)
            self._bound.clear()
            self._session, self._recorded = _session(graph, record=False), False
            self._warm_up()

    def _warm_up(self) -> None:
        for count in range(1, min(self._most, MOST) + 1):
            self._run(np.ones((count, *self.input_shape), self._type))


class _Hand:
    """A thread that does what others ask of it, one thing after the other.

    An executor does the same, but its futures take 50 µs longer: a twentieth of a large network's time.
    """

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[_Deed | None] = queue.SimpleQueue()
        threading.Thread(target=_do_all, args=(self._asked,), name="cuda", daemon=True).start()
        weakref.finalize(self, self._asked.put, None)

    def do(self, deed: Callable[[], _Result]) -> _Result:
        """Have it done, and wait; what it raises is raised here."""
        # A queue for each: nobody can be given what another asked for and did not wait for.
        done: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._asked.put((deed, done))
        result, error = done.get()
        if error is not None:
            raise error
        given: _Result = result
        return given


def _do_all(asked: queue.SimpleQueue[_Deed | None]) -> None:
    while (one := asked.get()) is not None:
        deed, done = one
        try:
            done.put((deed(), None))
        except BaseException as error:  # noqa: BLE001 - it is for whoever asked
            done.put((None, error))
        del one, deed, done


class _Bound:
    """Input and output of one batch size on the GPU, and memory from which the GPU fetches input itself.

    Args:
        session: that will run.
        ends: names of input and output.
        shapes: theirs.
        kind: of the input.
        number: of the recorded graph, -1 for none.
    """

    def __init__(
        self,
        session: Any,
        ends: tuple[str, str],
        shapes: tuple[tuple[int, ...], tuple[int, ...]],
        kind: type[np.generic],
        number: int,
    ) -> None:
        allocate = onnxruntime.OrtValue.ortvalue_from_shape_and_type
        self.here = _pinned(shapes[0], kind)
        self.taken = allocate(shapes[0], kind, "cuda", 0)
        self.given = allocate(shapes[1], np.float32, "cuda", 0)
        self.binding = session.io_binding()
        self.binding.bind_ortvalue_input(ends[0], self.taken)
        self.binding.bind_ortvalue_output(ends[1], self.given)
        self.options = onnxruntime.RunOptions()
        self.options.add_run_config_entry("gpu_graph_id", str(number))


def _pinned(shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
    """Memory that stays where it is, if ``cuda-bindings`` is there to ask for it; else copies take longer."""
    memory: NDArray[Any] = np.zeros(shape, kind)
    with contextlib.suppress(ImportError):
        from cuda.bindings import runtime

        place = memory.ctypes.data
        (status,) = runtime.cudaHostRegister(place, memory.nbytes, 0)
        if not int(status):
            weakref.finalize(memory, runtime.cudaHostUnregister, place)
    return memory


def _graph(path: Path, *, half: bool, compared: Path | None) -> bytes:
    """What is given to the library."""
    try:
        if compared is not None:
            whole = joined(path, compared)
            if whole is None:
                raise EngineError(
                    f"{path.name} and {compared.name} cannot be one graph",
                    "configure another engine for this recipe",
                )
            return whole
        return fused(path) if half else path.read_bytes()
    except EngineError:
        raise
    except ImportError as error:
        raise EngineError(
            "the package onnx, which writes the graph anew for the GPU, is not installed",
            "pip install '.[teacher]'",
        ) from error
    except Exception as error:  # what onnx raises for a damaged file shares no base class
        raise unloadable(path, "onnxruntime", error) from error


def _open(path: Path, graph: bytes) -> tuple[Any, bool]:
    """A session on the GPU, and whether its kernels may be recorded."""
    _preload()
    try:
        return _session(graph, record=True), True
    except EngineError:
        raise
    except Exception as error:  # noqa: BLE001 - the library's errors share no base class
        refused = error
    try:
        session = _session(graph, record=False)
    except EngineError:
        raise
    except Exception as error:
        raise unloadable(path, "onnxruntime", error) from error
    _tell_unrecorded(path, refused)
    return session, False


def _tell_unrecorded(path: Path, why: Exception) -> None:
    structlog.get_logger().info("cuda_graph_not_used", graph=path.name, why=first_line(why))


def _session(graph: bytes, *, record: bool) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if record:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    settings = {
        "device_id": "0",
        "enable_cuda_graph": "1" if record else "0",
        # Otherwise products of float32 are rounded to ten bits, and float32 would be but a name.
        "use_tf32": "0",
        # Sums of half precision add up in float32.
        "enable_skip_layer_norm_strict_mode": "1",
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    session = onnxruntime.InferenceSession(
        graph, options, providers=[(CUDA_PROVIDER, settings)], enable_fallback=0
    )
    if session.get_providers()[0] != CUDA_PROVIDER:
        raise EngineError("ONNX Runtime cannot use the NVIDIA GPU", MEND_GPU)
    return session


def _preload() -> None:
    """CUDA's libraries, where they were installed as packages; the linker finds any others itself."""
    with _preloading:
        if not _preloaded:
            _preloaded.append(True)
            # It prints what it misses; whether that matters, the session tells.
            with contextlib.redirect_stdout(None):
                onnxruntime.preload_dlls(directory="")
