"""How a graph file becomes a network that runs."""

from pathlib import Path

from inspector.core.errors import EngineError
from inspector.engine.network import BROKEN, Backend, Network, first_line, verified


def load_network(
    path: Path,
    sha256: str | None = None,
    threads: int = 1,
    backend: Backend = Backend.ONNXRUNTIME,
    *,
    half: bool = False,
    callers: int = 1,
    compared: Path | None = None,
) -> Network:
    """Load a graph whose first axis is the batch and whose other axes are fixed.

    Args:
        path: ``.onnx`` file.
        sha256: what its hash must be, None to take it as it is.
        threads: CPU threads it may use.
        backend: what runs it.
        half: golden images will judge it, so that it may multiply in float16 where the backend gains by it.
        callers: threads that will ask it at once, each to be given ``threads``.
        compared: of a student or bank that is joined to it, where the backend ``joins``.

    Raises:
        EngineError: the file is missing, damaged, another one, or not of this form; or the backend
            is not installed, or its library is broken.
    """
    verified(path, sha256)
    if not backend.installed:
        raise EngineError(f"{backend} is not installed", backend.remedy)
    try:
        return _opened(path, threads, backend, half=half, callers=callers, compared=compared)
    except BROKEN as error:
        raise EngineError(
            f"{backend} cannot be loaded: {first_line(error)}",
            "install the library anew, with what it misses, or configure another engine",
        ) from error


def _opened(
    path: Path,
    threads: int,
    backend: Backend,
    *,
    half: bool,
    callers: int,
    compared: Path | None,
) -> Network:
    """The graph in a backend, whose library is imported no sooner than here."""
    if backend is Backend.TENSORRT:
        from inspector.engine.tensorrt_network import TensorRtNetwork

        return TensorRtNetwork(path, half=half)
    if backend is Backend.ONNXRUNTIME_CUDA:
        from inspector.engine.onnxruntime_cuda_network import OnnxRuntimeCudaNetwork

        return OnnxRuntimeCudaNetwork(path, half=half, compared=compared)
    if backend is Backend.OPENVINO:
        from inspector.engine.openvino_network import OpenVinoNetwork

        return OpenVinoNetwork(path, threads, callers)
    from inspector.engine.onnxruntime_network import OnnxRuntimeNetwork

    return OnnxRuntimeNetwork(path, threads)
