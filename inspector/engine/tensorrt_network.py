"""A graph in TensorRT, or TensorRT for RTX, on the first NVIDIA GPU.

CI builds engines without a GPU (``tensorrt_builder``); what is in this file needs one and has not run on any
yet: see ``docs/measurements/engine.md``.
"""

import hashlib
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from inspector.core.errors import EngineError
from inspector.engine.engine_file import EngineKey, engine_file, kept_engine
from inspector.engine.half import halved
from inspector.engine.network import MEND, MEND_GPU, MOST, check_batch, finite, item_shape
from inspector.engine.tensorrt_builder import Library, Log, build_engine, open_library
from inspector.recipe.teacher import cache_folder

_TYPES: dict[str, type[np.generic]] = {"UINT8": np.uint8, "FLOAT": np.float32}


class TensorRtNetwork:
    """See :class:`inspector.engine.Network`.

    Pictures travel through pinned memory; the library records its kernels as a CUDA graph where it offers
    to (TensorRT for RTX does). One batch runs at a time, threads take turns.

    Args:
        path: ``.onnx`` file.
        half: products in float16; see :mod:`inspector.engine.half`.

    Raises:
        EngineError: there is no GPU, the library cannot build or load the graph, or the graph is not of the
            form that it must have.
    """

    def __init__(self, path: Path, *, half: bool) -> None:
        gpu = name_gpu()
        library = open_library()
        self._path = path
        engine = _open_engine(library, path, half=half, gpu=gpu)
        trt = library.module
        ends = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
        taken = [n for n in ends if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        given = [n for n in ends if n not in taken]
        if len(taken) != 1 or len(given) != 1:
            raise EngineError(f"{path} does not have one input and one output", MEND)
        (self._taken,), (self._given,) = taken, given
        kinds = [engine.get_tensor_dtype(name).name for name in (self._taken, self._given)]
        if kinds[0] not in _TYPES or kinds[1] != "FLOAT":
            raise EngineError(f"{path} takes {kinds[0]} and gives {kinds[1]}", MEND)
        self._type = _TYPES[kinds[0]]
        self.input_shape, self.output_shape = (
            item_shape(
                path, [axis if axis >= 0 else None for axis in engine.get_tensor_shape(name)]
            )
            for name in (self._taken, self._given)
        )
        self._engine, self._context = engine, _context(library, engine)
        self._stream = _ask(_cuda().cudaStreamCreate())
        weakref.finalize(self, _cuda().cudaStreamDestroy, self._stream)
        self._in = _Buffer((MOST, *self.input_shape), self._type)
        self._out = _Buffer((MOST, *self.output_shape), np.float32)
        self._context.set_tensor_address(self._taken, self._in.device)
        self._context.set_tensor_address(self._given, self._out.device)
        self._turn = threading.Lock()

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """See :class:`inspector.engine.Network`."""
        check_batch(self._path, batch, self._type, self.input_shape)
        with self._turn:
            parts = [self._part(batch[n : n + MOST]) for n in range(0, len(batch), MOST)]
        return finite(self._path, np.concatenate(parts))

    def _part(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        cuda, count = _cuda(), len(batch)
        down, up = (
            cuda.cudaMemcpyKind.cudaMemcpyHostToDevice,
            cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost,
        )
        taken, given = self._in.host[:count], self._out.host[:count]
        taken[:] = batch
        _ask(
            cuda.cudaMemcpyAsync(
                self._in.device, taken.ctypes.data, taken.nbytes, down, self._stream
            )
        )
        self._context.set_input_shape(self._taken, batch.shape)
        if not self._context.execute_async_v3(int(self._stream)):
            raise EngineError(f"{self._path.name} failed on the GPU", MEND_GPU)
        _ask(
            cuda.cudaMemcpyAsync(
                given.ctypes.data, self._out.device, given.nbytes, up, self._stream
            )
        )
        _ask(cuda.cudaStreamSynchronize(self._stream))
        return given.copy()


def name_gpu() -> str:
    """The first GPU's name and compute capability.

    Raises:
        EngineError: there is none, or no driver, or what speaks with it is not installed.
    """
    found = _ask(_cuda().cudaGetDeviceProperties(0))
    name = found.name.decode() if isinstance(found.name, bytes) else str(found.name)
    return f"{name}, compute capability {found.major}.{found.minor}"


class _Buffer:
    """Memory for :data:`MOST` items on both sides: pinned here, so that copies run beside other work.

    Both go with it: a changeover lets networks go, and an address that was freed while it was pinned is
    refused to whoever gets it next.
    """

    def __init__(self, shape: tuple[int, ...], kind: type[np.generic]) -> None:
        cuda = _cuda()
        self.host: NDArray[Any] = np.zeros(shape, kind)
        place, size = self.host.ctypes.data, self.host.nbytes
        _ask(cuda.cudaHostRegister(place, size, 0))
        weakref.finalize(self.host, cuda.cudaHostUnregister, place)
        self.device = int(_ask(cuda.cudaMalloc(size)))
        weakref.finalize(self, cuda.cudaFree, self.device)


def _cuda() -> Any:
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise EngineError(
            "the package cuda-bindings, which speaks with the GPU, is not installed",
            "pip install '.[tensorrt]' or '.[tensorrt-rtx]'",
        ) from error
    return runtime


def _ask(answer: tuple[Any, ...]) -> Any:
    """What a CUDA call gives, without its status.

    Raises:
        EngineError: the call failed.
    """
    status, *values = answer
    if int(status):
        _, text = _cuda().cudaGetErrorString(status)
        raise EngineError(f"the NVIDIA GPU does not answer: {text.decode()}", MEND_GPU)
    return values[0] if values else None


def _open_engine(library: Library, path: Path, *, half: bool, gpu: str) -> Any:
    """From its file if that fits, built and kept otherwise."""
    graph = path.read_bytes()
    precision = "float16" if half else "float32"
    key = EngineKey(hashlib.sha256(graph).hexdigest(), precision, library.name, gpu)

    def build() -> bytes:
        return build_engine(library, path, halved(path) if half else graph).plan

    kept = kept_engine(engine_file(cache_folder(), path, precision), key, build)
    if kept.why:
        structlog.get_logger().info("engine_built", graph=path.name, why=kept.why)
    log = Log(library.module)
    engine = library.module.Runtime(log.sink).deserialize_cuda_engine(kept.plan)
    if engine is None:
        raise EngineError(
            f"{library.name} does not take its own engine of {path.name} on {gpu}: {log.first}",
            "see whether the library knows this GPU; docs/measurements/engine.md says which do",
        )
    return engine


def _context(library: Library, engine: Any) -> Any:
    """What runs the engine; its kernels recorded as one CUDA graph where the library does that itself."""
    strategies = getattr(library.module, "CudaGraphStrategy", None)
    if strategies is None:
        context = engine.create_execution_context()
    else:
        settings = engine.create_runtime_config()
        settings.cuda_graph_strategy = strategies.WHOLE_GRAPH_CAPTURE
        context = engine.create_execution_context(settings)
    if context is None:
        raise EngineError("the GPU has no memory for the engine", MEND_GPU)
    return context
