"""A graph in ONNX Runtime on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from inspector.core.errors import EngineError
from inspector.engine.network import MEND, check_batch, finite, first_line, item_shape, unloadable

NOT_OPTIMISED = ["CommonSubexpressionElimination"]
"""It would put together what quantised graphs hold apart: what several products share, the library
makes a float32 again before it multiplies."""
_TYPES: dict[str, type[np.generic]] = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


class OnnxRuntimeNetwork:
    """See :class:`inspector.engine.Network`.

    Args:
        path: ``.onnx`` file.
        threads: CPU threads it may use.

    Raises:
        EngineError: the library cannot load it, or it is not of the form that it must have.
    """

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads take a core that acquisition and the other lanes need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=NOT_OPTIMISED,
            )
        except Exception as error:  # the library's errors share no base class
            raise unloadable(path, "onnxruntime", error) from error
        self._path = path
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise EngineError(f"{path} does not have one input and one output", MEND)
        if inputs[0].type not in _TYPES or outputs[0].type != "tensor(float)":
            raise EngineError(f"{path} takes {inputs[0].type} and gives {outputs[0].type}", MEND)
        self._input, self._type = inputs[0].name, _TYPES[inputs[0].type]
        self.input_shape = item_shape(path, inputs[0].shape)
        self.output_shape = item_shape(path, outputs[0].shape)

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """See :class:`inspector.engine.Network`."""
        check_batch(self._path, batch, self._type, self.input_shape)
        try:
            (result,) = self._session.run(None, {self._input: batch})
        except Exception as error:  # the library's errors share no base class
            raise EngineError(
                f"{self._path.name} failed: {first_line(error)}", "restart the line"
            ) from error
        return finite(self._path, result)
