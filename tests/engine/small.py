"""Networks of a few kilobytes in the real format, for tests."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.core.errors import EngineError
from inspector.engine import Backend
from inspector.engine.tensorrt_network import name_gpu
from inspector.recipe.graph import write_transformer

SIZE, PATCH, HEADS = 56, 14, 2


def small_weights(
    seed: int, width: int = 16, outputs: int | None = 24
) -> dict[str, NDArray[np.float32]]:
    """Random weights of a transformer with two blocks."""
    random = np.random.default_rng(seed)

    def values(*shape: int) -> NDArray[np.float32]:
        return random.normal(0, 0.2, shape).astype(np.float32)

    weights = {
        "patch_embed.weight": values(width, 3, PATCH, PATCH),
        "patch_embed.bias": values(width),
        "pos_embed": values((SIZE // PATCH) ** 2, width),
    }
    for block in ("blocks.0", "blocks.1"):
        for name, rows, columns in (
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            ("mlp.fc1", 4 * width, width),
            ("mlp.fc2", width, 4 * width),
        ):
            weights[f"{block}.{name}.weight"] = values(rows, columns)
            weights[f"{block}.{name}.bias"] = values(rows)
        for name in ("norm1", "norm2"):
            weights[f"{block}.{name}.weight"] = 1 + values(width)
            weights[f"{block}.{name}.bias"] = values(width)
    if outputs is not None:
        weights["norm.weight"], weights["norm.bias"] = 1 + values(width), values(width)
        weights["head.weight"], weights["head.bias"] = values(outputs, width), values(outputs)
    return weights


def small_graph(path: Path, seed: int, outputs: int | None = 24) -> Path:
    """A network with the weights of that seed."""
    write_transformer(small_weights(seed, outputs=outputs), HEADS, (SIZE, SIZE), path)
    return path


def round_graph(path: Path, seed: int, prefix: int = 0, *, cup_only: bool = True) -> Path:
    """A network of 8×8 patches of 14 px that leaves out those in the corners, which show no cup."""
    weights = small_weights(seed, outputs=None)
    random = np.random.default_rng(seed)
    width = len(weights["patch_embed.bias"])
    weights["pos_embed"] = random.normal(0, 0.2, (8 * 8 + prefix, width)).astype(np.float32)
    for name in ("cls_token", "dist_token")[:prefix]:
        weights[name] = random.normal(0, 1, (1, width)).astype(np.float32)
    write_transformer(weights, HEADS, (8 * PATCH, 8 * PATCH), path, cup_only=cup_only)
    return path


def views(count: int) -> NDArray[np.uint8]:
    """Noise as :func:`small_graph`'s networks take it."""
    return np.random.default_rng(0).integers(0, 255, (count, SIZE, SIZE, 3), dtype=np.uint8)


def pictures(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """count×384×384×3 cup-image-like noise."""
    return np.random.default_rng(seed).integers(0, 255, (count, 384, 384, 3), dtype=np.uint8)


def broken_library(
    module: str, error: type[Exception], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let a library be found and break while it is imported, as one that misses a system library does."""
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    # What of ours has imported it before would not ask for it again.
    for name in [name for name in sys.modules if name.startswith(f"inspector.engine.{module}")]:
        monkeypatch.delitem(sys.modules, name)
    package = folder / "broken" / module
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        f'raise {error.__name__}("libbroken.so: cannot open shared object file")\n'
    )
    monkeypatch.syspath_prepend(folder / "broken")


def why_no_gpu() -> str:
    """Empty where there is a GPU."""
    try:
        name_gpu()
    except EngineError as error:
        return error.what
    return ""


def runnable(backend: Backend) -> Backend:
    """The same; a test is skipped where the backend needs a GPU and there is none."""
    if backend is Backend.ONNXRUNTIME_CUDA and not backend.installed:
        pytest.skip("it shares its module with the build for CPUs, which is installed here")
    assert backend.installed, "the tests' own installation has them all"
    if backend.on_gpu and (why := why_no_gpu()):
        pytest.skip(why)
    return backend
