"""A graph in OpenVINO on the CPU."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from inspector.core.errors import EngineError
from inspector.engine.network import MEND, check_batch, finite, first_line, item_shape, unloadable

_TYPES: dict[str, type[np.generic]] = {"u8": np.uint8, "f32": np.float32}


class OpenVinoNetwork:
    """See :class:`inspector.engine.Network`; float32 throughout.

    Args:
        path: ``.onnx`` file.
        threads: CPU threads it may use for one picture.
        callers: threads that ask it at once; beside each other only as many are served.

    Raises:
        EngineError: the library cannot load it, or it is not of the form that it must have.
        RuntimeError: the library cannot start.
    """

    def __init__(self, path: Path, threads: int, callers: int = 1) -> None:
        core = openvino.Core()
        try:
            model = core.read_model(path)
        except Exception as error:  # the library's errors share no base class
            raise unloadable(path, "openvino", error) from error
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise EngineError(f"{path} does not have one input and one output", MEND)
        taken, given = (end.element_type.get_type_name() for end in (model.input(), model.output()))
        if taken not in _TYPES or given != "f32":
            raise EngineError(f"{path} takes {taken} and gives {given}", MEND)
        self._path, self._type = path, _TYPES[taken]
        self.input_shape = item_shape(path, _axes(model.input()))
        self.output_shape = item_shape(path, _axes(model.output()))
        hints = {
            "INFERENCE_NUM_THREADS": threads * callers,
            "NUM_STREAMS": callers,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            # A line looks at one cup at a time, and a fixed shape is faster than a free one.
            model.reshape([1, *self.input_shape])
            self._compiled = core.compile_model(model, "CPU", hints)
        except Exception as error:
            raise unloadable(path, "openvino", error) from error
        self._own = threading.local()

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """See :class:`inspector.engine.Network`."""
        check_batch(self._path, batch, self._type, self.input_shape)
        try:
            if not hasattr(self._own, "request"):
                self._own.request = self._compiled.create_infer_request()
            results = [
                self._own.request.infer([batch[n : n + 1]])[0].copy() for n in range(len(batch))
            ]
        except Exception as error:  # the library's errors share no base class
            raise EngineError(
                f"{self._path.name} failed: {first_line(error)}", "restart the line"
            ) from error
        return finite(self._path, np.concatenate(results))


def _axes(end: Any) -> list[int | str | None]:
    """An input's or output's axes, as ONNX Runtime gives them: free ones have no number."""
    return [axis.get_length() if axis.is_static else None for axis in end.get_partial_shape()]
