"""A graph's products in half precision, the rest as it is: what a GPU multiplies fastest.

TensorRT takes a graph's types as they stand, so half precision means another graph. Sums between products,
norms and softmax stay float32: they cost little and are where half precision loses.
"""

from pathlib import Path
from typing import Any

_PRODUCTS = ("MatMul", "Gemm", "Conv")


def halved(path: Path) -> bytes:
    """The graph with both factors of every product rounded to float16, and the result float32 again.

    Products of quantised factors stay as they are: they are narrower already.

    Args:
        path: ``.onnx`` file; ``onnx`` (extra ``teacher``) reads it.
    """
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(path)
    graph = model.graph
    quantised = {n.output[0] for n in graph.node if n.op_type == "DequantizeLinear"}
    narrow: dict[str, str] = {}
    nodes: list[Any] = []
    for node in graph.node:
        nodes.append(node)
        if node.op_type not in _PRODUCTS or quantised.intersection(node.input):
            continue
        for index, name in enumerate(node.input):
            if name not in narrow:
                narrow[name] = f"{name}_half"
                cast = helper.make_node("Cast", [name], [narrow[name]], to=TensorProto.FLOAT16)
                nodes.insert(-1, cast)
            node.input[index] = narrow[name]
        wide = node.output[0]
        node.output[0] = f"{wide}_product"
        nodes.append(helper.make_node("Cast", [node.output[0]], [wide], to=TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
