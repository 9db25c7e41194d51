"""How many multiplications a graph takes, counted from its shapes."""

from math import prod
from pathlib import Path
from typing import Any

from inspector.core.errors import EngineError


def multiplications(path: Path) -> int:
    """Multiply-accumulates of one item: convolutions and matrix products, attention's among them.

    Args:
        path: ``.onnx`` file; ``onnx`` (extra ``teacher``) reads it.

    Raises:
        EngineError: the graph's shapes cannot be followed.
    """
    import onnx

    model = onnx.load(path)
    for end in model.graph.input:
        end.type.tensor_type.shape.dim[0].dim_value = 1
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        shapes[value.name] = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
    try:
        total = sum(_of_node(node, shapes) for node in model.graph.node)
    except KeyError as missing:
        raise EngineError(
            f"{path}: the shape of {missing} is not known", "export it anew"
        ) from None
    return total


def _of_node(node: Any, shapes: dict[str, list[int]]) -> int:
    match node.op_type:
        case "MatMul":
            return prod(map(_known, shapes[node.output[0]])) * shapes[node.input[0]][-1]
        case "Gemm":
            turned = any(a.name == "transA" and a.i for a in node.attribute)
            inner = shapes[node.input[0]][0 if turned else 1]
            return prod(map(_known, shapes[node.output[0]])) * inner
        case "Conv":
            per_output = prod(shapes[node.input[1]][1:])
            return prod(map(_known, shapes[node.output[0]])) * per_output
    return 0


def _known(axis: int) -> int:
    """An axis; the batch's, which shape inference may leave open, is 1."""
    return axis or 1
