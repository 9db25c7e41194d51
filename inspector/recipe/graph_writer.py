"""ONNX graphs written node by node, the same byte for byte everywhere; ``onnx`` is imported on first use."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

OPSET = 20
"""Has Gelu and LayerNormalization as single operators."""
_IR_VERSION = 10


class GraphWriter:
    """Collects nodes and constants; each method returns the name of what it computes."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self._known: set[str] = set()

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """One operator; its output's name tells which and where, unless one is given."""
        from onnx import helper

        name = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def split(self, x: str, parts: int) -> list[str]:
        """The slices of the first axis, that axis gone."""
        from onnx import helper

        names = [f"slice_{len(self.nodes)}_{index}" for index in range(parts)]
        self.nodes.append(helper.make_node("Split", [x], names, axis=0, num_outputs=parts))
        axis = self.integers("first_axis", [0])
        return [self.node("Squeeze", name, axis) for name in names]

    def spread_out(self, x: str, places: NDArray[np.int64]) -> str:
        """N×K×C as N×P×C: each position's row by its number, ones for those behind the last."""
        ends = self.integers("beside_ends", [0, 0, 0, 0, 1, 0])
        x = self.node("Pad", x, ends, self.constant("beside", np.array(1)))
        return self.node("Gather", x, self.constant("places", places, np.int64), axis=1)

    def constant(self, name: str, value: NDArray[Any], dtype: type = np.float32) -> str:
        """An array, written once however often it is asked for by this name."""
        from onnx import numpy_helper

        if name not in self._known:
            self._known.add(name)
            self.tensors.append(numpy_helper.from_array(np.array(value, dtype, order="C"), name))
        return name

    def integers(self, name: str, values: list[int]) -> str:
        """A list of int64: shapes, axes, bounds."""
        return self.constant(name, np.array(values), np.int64)

    def model(self, name: str, taken: Any, given: Any, *domains: str, opset: int = OPSET) -> Any:
        """The whole as a checked ``onnx.ModelProto`` with one input and one output.

        Args:
            name: of the graph.
            taken: its input.
            given: its output.
            domains: of operators beside ONNX's own.
            opset: of ONNX's own.
        """
        import onnx
        from onnx import helper

        graph = helper.make_graph(self.nodes, name, [taken], [given], self.tensors)
        opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="inspector")
        model.ir_version = _IR_VERSION
        onnx.checker.check_model(model)
        return model
