"""One protocol for whatever runs a network, and what its backends have in common."""

from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import EngineError
from inspector.recipe.weights import file_sha256

LIBRARIES = ("tensorrt", "tensorrt_rtx_bindings")
"""Modules of TensorRT and of TensorRT for RTX, one API; of both the first, which knows more GPUs."""
MOST = 8
"""Pictures that a GPU is given at once."""
CUDA_PROVIDER = "CUDAExecutionProvider"
"""What ONNX Runtime calls its way to NVIDIA GPUs; only its build for them, onnxruntime-gpu, has it."""
MEND_GPU = "see whether nvidia-smi shows it, then restart the line"
MEND = "restore the models folder, or delete a cached teacher so that it is made anew"
BROKEN = (ImportError, OSError, RuntimeError)
"""What a library raises that is there but cannot be used: one that misses a system library, say."""


class Backend(StrEnum):
    """What runs networks; the value is the name in a line's configuration."""

    TENSORRT = "tensorrt"
    ONNXRUNTIME_CUDA = "onnxruntime-cuda"
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"

    @property
    def installed(self) -> bool:
        """Whether its library is there; whether the machine can run it, loading a network tells."""
        modules = {
            Backend.TENSORRT: LIBRARIES,
            Backend.ONNXRUNTIME_CUDA: (Backend.ONNXRUNTIME.value,),
        }.get(self, (self.value,))
        if not any(find_spec(module) is not None for module in modules):
            return False
        return self is not Backend.ONNXRUNTIME_CUDA or _built_for_cuda()

    @property
    def remedy(self) -> str:
        """How it is installed."""
        if self is Backend.ONNXRUNTIME_CUDA:
            # Two builds under one module name: what is there must be overwritten.
            return "pip install --force-reinstall --no-deps onnxruntime-gpu"
        return f"pip install '.[{self}]'"

    @property
    def on_gpu(self) -> bool:
        """Whether it needs an NVIDIA GPU."""
        return self in (Backend.TENSORRT, Backend.ONNXRUNTIME_CUDA)

    @property
    def precision(self) -> str:
        """What it multiplies the features of a float32 recipe in."""
        return "float16" if self.on_gpu else "float32"

    @property
    def gains_by_batches(self) -> bool:
        """Whether several pictures at once take it less time than one by one: a CPU is full with one."""
        return self.on_gpu

    @property
    def joins(self) -> bool:
        """Whether it runs a teacher and what its features are compared with as one graph."""
        return self is Backend.ONNXRUNTIME_CUDA


def _built_for_cuda() -> bool:
    try:
        import onnxruntime
    except BROKEN:
        # What it was built for it cannot say; loading a network tells what is wrong with it.
        return True
    return CUDA_PROVIDER in onnxruntime.get_available_providers()


class Network(Protocol):
    """A network that can be asked, by several threads at once."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one picture: rows, columns, channels."""
        ...

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of one result, without the batch axis."""
        ...

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Results for a batch of any length ≥ 1.

        Raises:
            EngineError: the batch does not fit, the network failed, or a result is no finite number.
        """
        ...


def verified(path: Path, sha256: str | None) -> str:
    """A file's hash, which must be ``sha256`` where that is not None.

    Raises:
        EngineError: the file is missing, damaged or another one.
    """
    if not path.is_file():
        raise EngineError(f"{path} is missing", MEND)
    found = file_sha256(path)
    if sha256 is not None and found != sha256:
        raise EngineError(f"{path} is damaged or not the file it should be", MEND)
    return found


def item_shape(path: Path, shape: list[int | str | None]) -> tuple[int, ...]:
    """The shape of one item of a graph's input or output.

    Args:
        path: of the graph, for the message.
        shape: all axes; those that are free have no number.

    Raises:
        EngineError: the first axis is not free, or another one is.
    """
    item = tuple(axis for axis in shape[1:] if isinstance(axis, int))
    if not shape or isinstance(shape[0], int) or len(item) != len(shape) - 1:
        raise EngineError(f"{path} has an input or output of shape {shape}", MEND)
    return item


def check_batch(
    path: Path, batch: NDArray[Any], kind: type[np.generic], shape: tuple[int, ...]
) -> None:
    """See that a batch is what a network takes.

    Raises:
        EngineError: it is of another type or shape, or empty.
    """
    if batch.dtype != kind or batch.shape[1:] != shape or not len(batch):
        raise EngineError(
            f"{path.name} was given {batch.dtype} of shape {batch.shape}",
            f"it takes {np.dtype(kind)} of n×{'×'.join(map(str, shape))}",
        )


def finite(path: Path, result: NDArray[Any]) -> NDArray[np.float32]:
    """The result, if it can be believed.

    Raises:
        EngineError: it holds what is no finite number.
    """
    if not np.isfinite(result).all():
        raise EngineError(f"{path.name} gave numbers that are not finite", "check memory and CPU")
    return np.asarray(result, np.float32)


def unloadable(path: Path, library: str, error: Exception) -> EngineError:
    """Why a graph cannot be loaded, in one line."""
    return EngineError(
        f"{path} cannot be loaded: {first_line(error)}",
        f"restore the file; if it is whole, this {library} is too old for its opset",
    )


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
