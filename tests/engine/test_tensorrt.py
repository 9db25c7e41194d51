"""TensorRT as far as it goes without a GPU: engines built from the exported graphs, kept, and built anew."""

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inspector.core.errors import EngineError
from inspector.engine import Backend, load_network
from inspector.engine.engine_file import EngineKey, engine_file, kept_engine
from inspector.engine.half import halved
from inspector.engine.tensorrt_builder import Library, build_engine, open_library
from inspector.engine.tensorrt_network import _Buffer
from inspector.recipe import load_recipe, teacher_path
from tests.engine.small import round_graph, small_graph, why_no_gpu

ROOT = Path(__file__).parents[2]
KEY = EngineKey("ab" * 32, "float16", "tensorrt_rtx 1.7.1.116", "GPU of a test, 8.9")


@pytest.fixture(scope="module")
def library() -> Library:
    return open_library()


@pytest.fixture(scope="module")
def teacher() -> Path:
    recipe = load_recipe(ROOT / "calibration" / "type-01", ROOT / "models")
    return teacher_path(recipe.teacher, recipe.models, recipe.manifest.teacher.sha256)


def test_the_teacher_is_built_with_its_products_in_half_precision(
    library: Library, teacher: Path
) -> None:
    built = build_engine(library, teacher, halved(teacher))
    assert built.taken == ("image", "UINT8", (-1, 192, 592, 3))
    assert built.given == ("features", "FLOAT", (-1, 192, 12, 37))
    assert built.products == {"HALF"}
    assert len(built.plan) > 1_000_000


def test_a_teacher_that_leaves_out_what_is_beside_the_cup_is_built(
    library: Library, tmp_path: Path
) -> None:
    path = round_graph(tmp_path / "round.onnx", 1, prefix=2)
    built = build_engine(library, path, halved(path))
    assert built.given == ("features", "FLOAT", (-1, 16, 8, 8))
    assert built.products == {"HALF"}


def test_the_bank_is_built_in_float32(library: Library) -> None:
    path = ROOT / "models" / "type-01-bank.onnx"
    built = build_engine(library, path, path.read_bytes())
    assert built.taken == ("features", "FLOAT", (-1, 192, 12, 37))
    assert built.given == ("distances", "FLOAT", (-1, 12, 37))
    assert built.products == {"FLOAT"}


def test_the_network_that_finds_cups_is_built_in_float32(library: Library) -> None:
    path = ROOT / "models" / "background.onnx"
    built = build_engine(library, path, path.read_bytes())
    assert built.taken == ("picture", "UINT8", (-1, 160, 240, 3))
    assert built.given == ("probability", "FLOAT", (-1, 160, 240))
    assert built.products == {"FLOAT"}


def test_a_graph_that_it_does_not_understand_is_refused_in_one_line(
    library: Library, tmp_path: Path
) -> None:
    path = small_graph(tmp_path / "small.onnx", 1)
    with pytest.raises(EngineError, match=r"small\.onnx cannot be loaded: .+") as caught:
        build_engine(library, path, path.read_bytes()[:-500])
    assert "\n" not in str(caught.value)


def test_without_a_gpu_the_reason_is_told_before_anything_is_built(tmp_path: Path) -> None:
    path = small_graph(tmp_path / "small.onnx", 1)
    if not why_no_gpu():
        pytest.skip("this machine has a GPU")
    with pytest.raises(
        EngineError, match=r"the NVIDIA GPU does not answer: .*; see whether nvidia-smi"
    ):
        load_network(path, backend=Backend.TENSORRT)


class Cuda:
    """What a network asks of the CUDA runtime for its memory; knows what is held."""

    def __init__(self, *, full: bool = False) -> None:
        self.pinned: set[int] = set()
        self.allocated: set[int] = set()
        self._full = full

    def cudaHostRegister(self, place: int, _size: int, _flags: int) -> tuple[int]:
        self.pinned.add(place)
        return (0,)

    def cudaHostUnregister(self, place: int) -> tuple[int]:
        self.pinned.remove(place)
        return (0,)

    def cudaMalloc(self, _size: int) -> tuple[int, int]:
        if not self._full:
            self.allocated.add(7)
        return (2 if self._full else 0), 7

    def cudaFree(self, place: int) -> tuple[int]:
        self.allocated.remove(place)
        return (0,)

    def cudaGetErrorString(self, _status: int) -> tuple[int, bytes]:
        return 0, b"out of memory"


def test_an_engine_that_is_let_go_at_a_changeover_gives_its_memory_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = Cuda()
    monkeypatch.setattr("inspector.engine.tensorrt_network._cuda", lambda: cuda)
    buffer = _Buffer((8, 56, 56, 3), np.uint8)
    assert (cuda.pinned, cuda.allocated) == ({buffer.host.ctypes.data}, {buffer.device})
    del buffer
    assert not cuda.pinned | cuda.allocated


def test_an_engine_for_which_the_gpu_has_no_room_leaves_no_memory_pinned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = Cuda(full=True)
    monkeypatch.setattr("inspector.engine.tensorrt_network._cuda", lambda: cuda)
    with pytest.raises(EngineError, match="out of memory"):
        _Buffer((8, 56, 56, 3), np.uint8)
    gc.collect()
    assert not cuda.pinned


def test_an_engine_is_built_once_and_then_comes_from_its_file(tmp_path: Path) -> None:
    path = engine_file(tmp_path, Path("models/teacher.onnx"), KEY.precision)
    assert path == tmp_path / "teacher-float16.engine"
    first = kept_engine(path, KEY, lambda: b"an\nengine")
    again = kept_engine(path, KEY, lambda: pytest.fail("it was built before"))
    assert (first.plan, first.why) == (b"an\nengine", "none was built yet")
    assert (again.plan, again.why) == (b"an\nengine", "")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"graph": "cd" * 32}, "the one kept is for graph abab"),
        ({"precision": "float32"}, "the one kept is for precision float16, not float32"),
        (
            {"library": "tensorrt 11.0"},
            "the one kept is for library tensorrt_rtx 1.7.1.116, not tensorrt 11.0",
        ),
        ({"gpu": "another GPU"}, "the one kept is for gpu GPU of a test, 8.9, not another GPU"),
    ],
)
def test_an_engine_of_anything_else_is_built_anew_and_why_is_told(
    tmp_path: Path, changed: dict[str, str], why: str
) -> None:
    path = tmp_path / "teacher.engine"
    kept_engine(path, KEY, lambda: b"old")
    other = replace(KEY, **changed)
    built = kept_engine(path, other, lambda: b"new")
    assert built.plan == b"new"
    assert built.why.startswith(why)
    assert kept_engine(path, other, lambda: b"never").plan == b"new"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"no engine", "the file kept is no engine"),
        (b"{}\nengine", "the file kept is no engine"),
        (b"", "the file kept is no engine"),
    ],
)
def test_a_file_that_is_no_engine_is_replaced(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "teacher.engine"
    path.write_bytes(content)
    assert kept_engine(path, KEY, lambda: b"new") == (b"new", why)


def test_a_damaged_engine_is_never_run(tmp_path: Path) -> None:
    path = tmp_path / "teacher.engine"
    kept_engine(path, KEY, lambda: b"engine")
    path.write_bytes(path.read_bytes()[:-1])
    assert kept_engine(path, KEY, lambda: b"new") == (b"new", "the file kept is damaged")


def test_an_engine_that_cannot_be_kept_runs_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    plan, why = kept_engine(tmp_path / "file" / "teacher.engine", KEY, lambda: b"new")
    assert plan == b"new"
    assert "it cannot be kept" in why
