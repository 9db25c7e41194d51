"""Our transformers in fused operators: the same numbers in float32, near enough in half precision."""

from itertools import product
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inspector.core.errors import EngineError
from inspector.decision import judge
from inspector.engine import load_network
from inspector.engine.fused import fused, joined
from inspector.engine.half import halved
from inspector.recipe import load_recipe
from inspector.recipe.bank_graph import bank_graph
from inspector.recipe.graph import OutputNorm, write_transformer
from tests.engine.small import HEADS, SIZE, round_graph, small_graph, small_weights, views

ROOT = Path(__file__).parents[2]
_SPLIT = np.float32(2**13 + 1)


def _graph(
    path: Path,
    seed: int = 1,
    prefix: int = 0,
    *,
    outputs: int | None = None,
    adapted: bool = False,
    norm: OutputNorm = "plain",
) -> Path:
    """A small network with tokens beside the patches' and an adapter."""
    weights = small_weights(seed, outputs=outputs)
    random = np.random.default_rng(seed)
    width = len(weights["patch_embed.bias"])
    for name in ("cls_token", "dist_token")[:prefix]:
        weights[name] = random.normal(0, 1, (1, width)).astype(np.float32)
        weights["pos_embed"] = np.concatenate([weights[name], weights["pos_embed"]])
    if adapted:
        channels = outputs or width
        for name, shape in (("fc1", (2 * channels, channels)), ("fc2", (channels, 2 * channels))):
            weights[f"adapter.{name}.weight"] = random.normal(0, 0.3, shape).astype(np.float32)
            weights[f"adapter.{name}.bias"] = random.normal(0, 0.3, shape[0]).astype(np.float32)
    if norm == "final":
        for end in ("norm", "head_norm"):
            weights[f"{end}.weight"] = random.normal(1, 0.2, outputs or width).astype(np.float32)
            weights[f"{end}.bias"] = random.normal(0, 0.2, outputs or width).astype(np.float32)
    write_transformer(weights, HEADS, (SIZE, SIZE), path, norm)
    return path


def _run(graph: bytes, name: str, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (result,) = session.run([name], {"image": batch})
    return np.asarray(result)


@pytest.mark.parametrize(("prefix", "outputs"), [*product((0, 1, 2), (None, 24))])
@pytest.mark.parametrize(("adapted", "norm"), [(False, "plain"), (True, "plain"), (False, "none")])
def test_in_float32_it_gives_the_same_features(
    tmp_path: Path, prefix: int, outputs: int | None, adapted: bool, norm: OutputNorm
) -> None:
    path = _graph(
        tmp_path / "small.onnx", prefix=prefix, outputs=outputs, adapted=adapted, norm=norm
    )
    expected = load_network(path).run(views(3))
    found = _run(fused(path, np.float32), "features", views(3))
    assert np.abs(found - expected).max() < 1e-5 * max(1, np.abs(expected).max())


def test_a_final_norm_keeps_its_weights(tmp_path: Path) -> None:
    path = _graph(tmp_path / "small.onnx", norm="final", prefix=2)
    expected = load_network(path).run(views(3))
    assert np.abs(_run(fused(path, np.float32), "features", views(3)) - expected).max() < 1e-5


def test_a_block_is_eight_operators(tmp_path: Path) -> None:
    blocks = 2
    model = onnx.load_from_string(fused(_graph(tmp_path / "small.onnx", prefix=2)))
    kinds = [node.op_type for node in model.graph.node]
    assert {"Softmax", "Shape", "Expand", "Concat", "Gelu", "Split"}.isdisjoint(kinds)
    assert kinds.count("Attention") == kinds.count("BiasGelu") == blocks
    assert kinds.count("MatMul") == 3 * blocks
    assert kinds.count("SkipLayerNormalization") == 2 * blocks
    wide = {t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT}
    assert wide == {"unit_scale"}


def test_a_quantised_network_is_only_halved(tmp_path: Path) -> None:
    path = small_graph(tmp_path / "small.onnx", 1)
    model = onnx.load(path)
    model.graph.node.insert(0, helper.make_node("QuantizeLinear", ["a", "b"], ["c"]))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1), "a"))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1), "b"))
    path.write_bytes(model.SerializeToString())
    assert fused(path) == halved(path)
    assert joined(path, path) is None


def test_teacher_and_student_in_one_graph_give_eq_1(tmp_path: Path) -> None:
    teacher = _graph(tmp_path / "teacher.onnx", 1, prefix=2)
    student = _graph(tmp_path / "student.onnx", 2, adapted=True)
    whole = joined(teacher, student, np.float32)
    assert whole is not None
    features = [load_network(path).run(views(3)) for path in (teacher, student)]
    expected = -0.5 * np.square(features[1] - features[0]).mean(axis=1)
    assert np.abs(_run(whole, "distances", views(3)) - expected).max() < 1e-5


def test_teacher_and_bank_in_one_graph_give_the_same_distances(tmp_path: Path) -> None:
    teacher = _graph(tmp_path / "teacher.onnx", prefix=1)
    patches = np.random.default_rng(3).normal(0, 1, (4, 20, 16)).astype(np.float32)
    patches /= np.linalg.norm(patches, axis=-1, keepdims=True)
    (tmp_path / "bank.onnx").write_bytes(bank_graph(patches, 1, (4, 4)))
    whole = joined(teacher, tmp_path / "bank.onnx", np.float32)
    assert whole is not None
    expected = load_network(tmp_path / "bank.onnx").run(load_network(teacher).run(views(3)))
    assert np.abs(_run(whole, "distances", views(3)) - expected).max() < 1e-5


def test_what_is_beside_the_cup_is_left_out_as_well(tmp_path: Path) -> None:
    views = np.random.default_rng(0).integers(0, 255, (3, 112, 112, 3), dtype=np.uint8)
    teacher = round_graph(tmp_path / "teacher.onnx", 1, prefix=2)
    student = round_graph(tmp_path / "student.onnx", 2)
    features = [load_network(path).run(views) for path in (teacher, student)]
    for path, expected in zip((teacher, student), features, strict=True):
        found = _run(fused(path, np.float32), "features", views)
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
    whole = joined(teacher, student, np.float32)
    assert whole is not None
    expected = -0.5 * np.square(features[1] - features[0]).mean(axis=1)
    found = _run(whole, "distances", views)
    assert np.abs(found - expected).max() < 1e-5
    assert (found[:, 0, 0] == 0).all()
    assert (found[:, 0, 1] < -0.01).all()


def test_a_student_of_the_whole_picture_does_not_fit_a_teacher_of_the_cup(tmp_path: Path) -> None:
    whole = round_graph(tmp_path / "student.onnx", 2, cup_only=False)
    with pytest.raises(EngineError, match=r"student\.onnx is for"):
        joined(round_graph(tmp_path / "teacher.onnx", 1), whole)


def test_networks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    teacher = _graph(tmp_path / "teacher.onnx", 1)
    with pytest.raises(EngineError, match="gives features of"):
        joined(teacher, _graph(tmp_path / "student.onnx", 2, outputs=24))


def rounded(graph: bytes) -> bytes:
    """A float16 graph in float32 arithmetic, every number rounded to a float16's eleven bits."""
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph))
    one = model.graph
    narrow = {t.name for t in one.initializer if t.data_type == TensorProto.FLOAT16}
    wide_ends = {"features", "distances"}
    for tensor in one.initializer:
        if tensor.name in narrow:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    one.initializer.append(numpy_helper.from_array(_SPLIT, "split"))
    nodes = []
    for node in one.node:
        to = next((a.i for a in node.attribute if a.name == "to"), None)
        half = to == TensorProto.FLOAT16 or (to is None and narrow.intersection(node.input))
        if to is not None:
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
        nodes.append(node)
        # What moves numbers about keeps their type, and needs no rounding.
        if node.op_type == "Cast" and not half:
            continue
        if half or (narrow.intersection(node.input) and not wide_ends.intersection(node.output)):
            for index, there in enumerate(node.output):
                if not there:
                    continue
                narrow.add(there)
                exact = node.output[index] = f"{there}_exact"
                nodes += [
                    helper.make_node("Mul", [exact, "split"], [f"{there}_far"]),
                    helper.make_node("Sub", [f"{there}_far", exact], [f"{there}_rest"]),
                    helper.make_node("Sub", [f"{there}_far", f"{there}_rest"], [there]),
                ]
    del one.node[:], one.value_info[:]
    one.node.extend(nodes)
    return bytes(model.SerializeToString())


def test_the_committed_recipe_bears_it_whole(tmp_path: Path) -> None:
    """Rounding stands in for a GPU here; a GPU adds up in an order of its own."""
    recipe = load_recipe(ROOT / "calibration" / "type-01", ROOT / "models")
    assert recipe.bank is not None
    whole = joined(recipe.teacher_graph(), recipe.bank)
    assert whole is not None
    found = _run(rounded(whole), "distances", recipe.golden_images)
    errors = [
        np.abs(judge(ours, recipe.calibration).heat - judge(golden, recipe.calibration).heat).max()
        for ours, golden in zip(found, recipe.golden_distances, strict=True)
    ]
    assert 0 < max(errors) < recipe.manifest.golden.band.map
