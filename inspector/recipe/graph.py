"""A vision transformer as an ONNX graph, written from plain arrays: teacher and student alike.

The graph takes pictures as they are (uint8, RGB, rows × columns × channels) and normalises them itself,
so that no caller can do it differently. Writing the graph directly, instead of tracing torch, keeps it
small, the same byte for byte everywhere, and makes torch unnecessary on an edge box.

Weights are named much as timm names them (``plain_weights`` of ``inspector.detector.networks``):
``patch_embed.{weight: C×3×p×p, bias}``, ``cls_token: 1×C`` and ``dist_token: 1×C`` (each optional),
``pos_embed: T×C``, ``blocks.N.{norm1, attn.qkv, attn.proj, norm2, mlp.fc1, mlp.fc2}.{weight, bias}``,
``norm.{weight, bias}`` (the final norm), ``head.{weight, bias}`` (behind the final norm; optional) and
``head_norm.{weight, bias}`` (the published output norm of a network with a head), ``adapter.{fc1,
fc2}.{weight, bias}`` (behind a plain norm, added to what they take, and normalised again; optional);
linear matrices are outputs × inputs.

The names of constants inside the graph are part of its bytes, which recipes pin: they stay.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inspector.core.files import write_atomically
from inspector.recipe.graph_writer import GraphWriter
from inspector.recipe.view import cup_patches, spread
from inspector.recipe.weights import Weights, block_count, prefix_tokens

IMAGE_MEAN = (0.485, 0.456, 0.406)
"""Per channel, of pictures scaled to 0 … 1 (ImageNet's)."""
IMAGE_STD = (0.229, 0.224, 0.225)
NORM_EPSILON = 1e-6

Matrix = NDArray[np.floating]
OutputNorm = Literal["plain", "final", "none"]
"""What is done to each position of a feature map last. ``plain``: normalised over its channels, a
LayerNorm without weights, so that Eq. 1 compares directions, not lengths (it then equals minus the
cosine distance of Eq. 4). ``final``: a LayerNorm with the network's own weights, as published. ``none``."""


def write_transformer(
    weights: Weights,
    heads: int,
    size: tuple[int, int],
    path: Path,
    output_norm: OutputNorm = "plain",
    *,
    cup_only: bool = False,
) -> None:
    """Write the ONNX graph of a transformer, atomically.

    Input ``image``: uint8 N×rows×columns×3 RGB. Output ``features``: float32 N×C×h×w, the tokens after
    the last block without class and distillation token, projected by ``head`` where there is one. A
    patch that was left out is as long as the others and alike in all pictures, so that D of Eq. 1 is 0.

    Args:
        weights: see the module's text.
        heads: attention heads.
        size: rows and columns of the input in pixels, multiples of the patch.
        path: where to.
        output_norm: what is done to each position last.
        cup_only: leave out the patches of a cup image that lie beside the cup.

    Raises:
        OSError: the file cannot be written.
    """
    model = transformer_graph(weights, heads, size, output_norm, cup_only=cup_only)
    write_atomically(path, model.SerializeToString(deterministic=True))


def transformer_graph(
    weights: Weights,
    heads: int,
    size: tuple[int, int],
    output_norm: OutputNorm = "plain",
    *,
    cup_only: bool = False,
    apart: bool = False,
) -> Any:
    """The same as an ``onnx.ModelProto``.

    ``apart`` makes queries, keys and values products of their own: what an engine does to a product's result,
    turning the keys round, it can then do while it multiplies.
    """
    from onnx import TensorProto, helper

    writer = _Writer()
    width, _, patch, _ = weights["patch_embed.weight"].shape
    grid = (size[0] // patch, size[1] // patch)
    prefix = prefix_tokens(weights)

    kept = cup_patches(grid) if cup_only else None
    x = _patch_tokens(writer, weights, patch, grid, kept)
    if prefix:
        x = _with_prefix_tokens(writer, weights, x)
    positions = weights["pos_embed"]
    if kept is not None:
        positions = np.concatenate([positions[:prefix], positions[prefix:][kept]])
    x = writer.node("Add", x, writer.constant("pos_embed", positions[None]))
    for index in range(block_count(weights)):
        x = _block(writer, weights, f"blocks.{index}", heads, x, apart=apart)
    if prefix:
        first = ("one", "two")[prefix - 1]
        bounds = [
            writer.integers(name, [v]) for name, v in ((first, prefix), ("end", 2**31), ("axis", 1))
        ]
        x = writer.node("Slice", x, *bounds)
    channels, last_norm = width, "norm"
    if "head.weight" in weights:
        x = writer.linear("head", weights, writer.norm("norm", weights, x))
        channels, last_norm = len(weights["head.weight"]), "head_norm"
    if output_norm == "plain":
        x = writer.plain_norm(x, channels)
        if "adapter.fc1.weight" in weights:
            inner = writer.linear("adapter.fc1", weights, x)
            inner = writer.linear("adapter.fc2", weights, writer.node("Gelu", inner))
            x = writer.plain_norm(writer.node("Add", x, inner), channels)
    elif output_norm == "final":
        x = writer.norm(last_norm, weights, x)
    if kept is not None:
        x = writer.spread_out(x, spread(kept, grid))
    x = writer.node("Transpose", x, perm=[0, 2, 1])
    shape = writer.integers("map_shape", [0, channels, *grid])
    writer.node("Reshape", x, shape, output="features")

    return writer.model(
        "transformer",
        helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", *size, 3]),
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", channels, *grid]),
    )


def _patch_tokens(
    writer: "_Writer",
    weights: Weights,
    patch: int,
    grid: tuple[int, int],
    kept: NDArray[np.int64] | None,
) -> str:
    """Pixels to N×(h·w)×C: the patch embedding as one product, normalisation folded into it."""
    kernel = weights["patch_embed.weight"].astype(np.float64)
    mean = np.array(IMAGE_MEAN)[:, None, None]
    scale = np.array(IMAGE_STD)[:, None, None]
    bias = weights["patch_embed.bias"].astype(np.float64)
    shift = (kernel * (mean / scale)).reshape(len(kernel), -1)
    for column in range(shift.shape[1]):  # in this order on every machine: the bytes are hashed
        bias = bias - shift[:, column]
    matrix = (kernel / (255 * scale)).transpose(2, 3, 1, 0).reshape(-1, len(kernel))

    x = writer.node("Cast", "image", to=1)
    cells = writer.integers("cells", [0, grid[0], patch, grid[1], patch, 3])
    x = writer.node("Reshape", x, cells)
    x = writer.node("Transpose", x, perm=[0, 1, 3, 2, 4, 5])
    x = writer.node(
        "Reshape", x, writer.integers("tokens", [0, grid[0] * grid[1], patch * patch * 3])
    )
    if kept is not None:
        x = writer.node("Gather", x, writer.constant("kept", kept, np.int64), axis=1)
    x = writer.node("MatMul", x, writer.constant("patch_embed.matrix", matrix))
    return writer.node("Add", x, writer.constant("patch_embed.bias", bias))


def _with_prefix_tokens(writer: "_Writer", weights: Weights, x: str) -> str:
    """N×(h·w)×C to N×T×C: class and distillation token in front, as far as there are such."""
    batch = writer.node("Shape", x, start=0, end=1)
    rest = writer.integers("one_token", [1, weights["cls_token"].shape[1]])
    shape = writer.node("Concat", batch, rest, axis=0)
    tokens = [
        writer.node("Expand", writer.constant(name, weights[name][None]), shape)
        for name in ("cls_token", "dist_token")
        if name in weights
    ]
    return writer.node("Concat", *tokens, x, axis=1)


def _block(
    writer: "_Writer", weights: Weights, name: str, heads: int, x: str, *, apart: bool
) -> str:
    """One pre-norm block: attention, then the two-layer perceptron, each added to its input."""
    normed = writer.norm(f"{name}.norm1", weights, x)
    asked = writer.apart if apart else writer.together
    query, key, value = asked(f"{name}.attn.qkv", weights, normed, heads)
    mixed = writer.node(
        "MatMul", writer.node("Softmax", writer.node("MatMul", query, key), axis=-1), value
    )
    mixed = writer.node("Transpose", mixed, perm=[0, 2, 1, 3])
    width = len(weights[f"{name}.norm1.weight"])
    mixed = writer.node("Reshape", mixed, writer.integers("joined", [0, 0, width]))
    x = writer.node("Add", x, writer.linear(f"{name}.attn.proj", weights, mixed))
    inner = writer.linear(f"{name}.mlp.fc1", weights, writer.norm(f"{name}.norm2", weights, x))
    inner = writer.linear(f"{name}.mlp.fc2", weights, writer.node("Gelu", inner))
    return writer.node("Add", x, inner)


class _Writer(GraphWriter):
    """A writer that knows the layers of a transformer."""

    def linear(self, name: str, weights: Weights, x: str) -> str:
        return self._product(name, weights[f"{name}.weight"], weights[f"{name}.bias"], x)

    def together(self, name: str, weights: Weights, x: str, heads: int) -> Sequence[str]:
        """Queries and values, N×H×T×c, and keys, N×H×c×T, from one product."""
        size = len(weights[f"{name}.weight"]) // (3 * heads)
        qkv = self.linear(name, weights, x)
        qkv = self.node("Reshape", qkv, self.integers("qkv_shape", [0, 0, 3, heads, size]))
        qkv = self.node("Transpose", qkv, perm=[2, 0, 3, 1, 4])
        query, key, value = self.split(qkv, 3)
        query = self.node("Mul", query, self.constant("attention_scale", np.array(size**-0.5)))
        return query, self.node("Transpose", key, perm=[0, 1, 3, 2]), value

    def apart(self, name: str, weights: Weights, x: str, heads: int) -> Sequence[str]:
        """The same from a product each."""
        matrices, biases = (np.split(weights[f"{name}.{kind}"], 3) for kind in ("weight", "bias"))
        size = len(biases[0]) // heads
        shape = self.integers("heads_shape", [0, 0, heads, size])

        def headed(number: int, factor: float, order: list[int]) -> str:
            matrix, bias = factor * matrices[number], factor * biases[number]
            product = self._product(f"{name}.{'qkv'[number]}", matrix, bias, x)
            return self.node("Transpose", self.node("Reshape", product, shape), perm=order)

        queries = headed(0, size**-0.5, [0, 2, 1, 3])
        return queries, headed(1, 1.0, [0, 2, 3, 1]), headed(2, 1.0, [0, 2, 1, 3])

    def _product(self, name: str, matrix: Matrix, bias: Matrix, x: str) -> str:
        product = self.node("MatMul", x, self.constant(f"{name}.matrix", matrix.T))
        return self.node("Add", product, self.constant(f"{name}.bias", bias))

    def norm(self, name: str, weights: Weights, x: str) -> str:
        scale = self.constant(f"{name}.weight", weights[f"{name}.weight"])
        shift = self.constant(f"{name}.bias", weights[f"{name}.bias"])
        return self.node("LayerNormalization", x, scale, shift, axis=-1, epsilon=NORM_EPSILON)

    def plain_norm(self, x: str, channels: int) -> str:
        one = self.constant("unit_scale", np.ones(channels))
        return self.node("LayerNormalization", x, one, axis=-1, epsilon=NORM_EPSILON)
