"""One protocol for whatever runs a network, and ONNX Runtime on the CPU behind it."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import EngineError
from inspector.recipe.weights import file_sha256

_TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
_MEND = "restore the models folder, or delete a cached teacher so that it is made anew"


class Network(Protocol):
    """A network that can be asked."""

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


class OnnxRuntimeNetwork:
    """A graph in ONNX Runtime on the CPU."""

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads take a core that acquisition and the other lanes need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the library's errors share no base class
            raise EngineError(
                f"{path} cannot be loaded: {_first_line(error)}",
                "restore the file; if it is whole, this onnxruntime is too old for its opset",
            ) from error
        self._path = path
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise EngineError(f"{path} does not have one input and one output", _MEND)
        if inputs[0].type not in _TYPES or outputs[0].type != "tensor(float)":
            raise EngineError(f"{path} takes {inputs[0].type} and gives {outputs[0].type}", _MEND)
        self._input, self._type = inputs[0].name, _TYPES[inputs[0].type]
        self.input_shape = self._fixed(inputs[0].shape)
        self.output_shape = self._fixed(outputs[0].shape)

    def _fixed(self, shape: list[int | str | None]) -> tuple[int, ...]:
        """The shape of one item: the first axis is the batch's and free, all others are fixed."""
        item = tuple(axis for axis in shape[1:] if isinstance(axis, int))
        if not shape or isinstance(shape[0], int) or len(item) != len(shape) - 1:
            raise EngineError(f"{self._path} has an input or output of shape {shape}", _MEND)
        return item

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """See :class:`Network`."""
        if batch.dtype != self._type or batch.shape[1:] != self.input_shape or not len(batch):
            raise EngineError(
                f"{self._path.name} was given {batch.dtype} of shape {batch.shape}",
                f"it takes {np.dtype(self._type)} of n×{'×'.join(map(str, self.input_shape))}",
            )
        try:
            (result,) = self._session.run(None, {self._input: batch})
        except Exception as error:  # the library's errors share no base class
            raise EngineError(
                f"{self._path.name} failed: {_first_line(error)}", "restart the line"
            ) from error
        if not np.isfinite(result).all():
            raise EngineError(
                f"{self._path.name} gave numbers that are not finite", "check memory and CPU"
            )
        return np.asarray(result, np.float32)


def load_network(path: Path, sha256: str | None = None, threads: int = 1) -> Network:
    """Load a graph whose first axis is the batch and whose other axes are fixed.

    Args:
        path: ``.onnx`` file.
        sha256: what its hash must be, None to take it as it is.
        threads: CPU threads it may use.

    Raises:
        EngineError: the file is missing, damaged, another one, or not of this form.
    """
    if not path.is_file():
        raise EngineError(f"{path} is missing", _MEND)
    if sha256 is not None and file_sha256(path) != sha256:
        raise EngineError(f"{path} is damaged or not the file it should be", _MEND)
    return OnnxRuntimeNetwork(path, threads)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
