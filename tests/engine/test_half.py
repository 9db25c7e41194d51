"""Products in half precision: what is narrowed, and that the committed recipe bears it."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from inspector.engine import Compared, Detector, load_network, verify_golden
from inspector.engine.half import halved
from inspector.recipe import load_recipe
from tests.engine.small import small_graph

ROOT = Path(__file__).parents[2]
_SPLIT = np.float32(2**13 + 1)
"""Veltkamp's: x·s - (x·s - x) is x in the eleven bits of a float16, rounded to nearest."""


def rounded(graph: bytes) -> onnx.ModelProto:
    """A halved graph whose casts to float16 round in float32 arithmetic: no CPU engine leaves that out."""
    model = onnx.load_from_string(graph)
    model.graph.initializer.append(numpy_helper.from_array(_SPLIT, "split"))
    nodes = []
    for node in model.graph.node:
        here, there = node.input[0] if node.input else "", node.output[0]
        half = node.op_type == "Cast" and there.endswith("_half")
        if half or (node.op_type == "Cast" and here.endswith("_product")):
            nodes += [
                helper.make_node("Mul", [here, "split"], [f"{there}_far"]),
                helper.make_node("Sub", [f"{there}_far", here], [f"{there}_rest"]),
                helper.make_node("Sub", [f"{there}_far", f"{there}_rest"], [there]),
            ]
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def test_both_factors_of_every_product_are_narrow_and_nothing_else(tmp_path: Path) -> None:
    model = onnx.load_from_string(halved(small_graph(tmp_path / "small.onnx", 1)))
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    products = [node for node in inferred.node if node.op_type == "MatMul"]
    assert len(products) == 1 + 2 * 6 + 1  # patches; two blocks of six; the head
    for node in products:
        assert {kinds[name] for name in (*node.input, *node.output)} == {TensorProto.FLOAT16}
    others = [node for node in inferred.node if node.op_type in ("LayerNormalization", "Softmax")]
    assert {kinds[node.output[0]] for node in others} == {TensorProto.FLOAT}


def test_it_gives_nearly_the_same_features(tmp_path: Path) -> None:
    path = small_graph(tmp_path / "small.onnx", 1)
    onnx.save(rounded(halved(path)), tmp_path / "half.onnx")
    wide, narrow = load_network(path), load_network(tmp_path / "half.onnx")
    picture = np.random.default_rng(0).integers(0, 255, (2, *wide.input_shape), dtype=np.uint8)
    error = np.abs(wide.run(picture) - narrow.run(picture)).max()
    assert 0 < error < 0.02


def test_the_committed_recipe_bears_it_in_its_teacher_by_half_its_band(tmp_path: Path) -> None:
    """Rounding stands in for a GPU here; a GPU adds up in an order of its own."""
    recipe = load_recipe(ROOT / "calibration" / "type-01", ROOT / "models")
    assert recipe.bank is not None
    onnx.save(rounded(halved(recipe.teacher_graph())), tmp_path / "teacher.onnx")
    both = Compared(load_network(tmp_path / "teacher.onnx"), bank=load_network(recipe.bank))
    assert 0 < verify_golden(recipe, Detector(both)) < 0.5 * recipe.manifest.golden.band.map
