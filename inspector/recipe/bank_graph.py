"""A bank of clean patches as an ONNX graph, written from plain arrays: what the line runs for a student.

It reads the teacher's feature map and gives D of Eq. 1 itself: cosine similarity to the nearest patch
minus 1. The patches are float16 in the file, and each row's own are there once; the graph casts them and
puts neighbours together, which engines do once, when they load it.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspector.core.files import write_atomically
from inspector.recipe.graph_writer import GraphWriter


def write_bank(patches: NDArray[np.float32], reach: int, grid: tuple[int, int], path: Path) -> None:
    """Write the ONNX graph of a bank, atomically.

    Input ``features``: float32 N×C×h×w, the teacher's. Output ``distances``: float32 N×h×w, in [-2, 0] up
    to rounding, not a number where the features are none.

    Args:
        patches: G×K×C of length 1; one group for all positions, or one for each row of the map.
        reach: the rows on either side whose groups a position is compared with as well; 0 for none.
        grid: h and w of the map.
        path: where to.

    Raises:
        ValueError: there are several groups, but not one a row.
        OSError: the file cannot be written.
    """
    model = bank_graph(patches, reach, grid)
    write_atomically(path, model.SerializeToString(deterministic=True))


def bank_graph(patches: NDArray[np.float32], reach: int, grid: tuple[int, int]) -> Any:
    """The same as an ``onnx.ModelProto``."""
    from onnx import TensorProto, helper

    groups, count, channels = patches.shape
    if groups not in (1, grid[0]):
        raise ValueError(f"a bank of {groups} rows cannot judge maps of {grid[0]}")
    writer = GraphWriter()
    # C×K: as the product reads it.
    columns = writer.constant("patches", patches.transpose(0, 2, 1), np.float16)
    bank = writer.node("Cast", columns, to=TensorProto.FLOAT)
    if reach:
        around = np.arange(groups)[:, None] + np.arange(-reach, reach + 1)
        beside = writer.constant("beside", around.clip(0, groups - 1), np.int64)
        bank = writer.node("Transpose", writer.node("Gather", bank, beside), perm=[0, 2, 1, 3])
        shape = writer.integers("bank_shape", [groups, channels, around.shape[1] * count])
        bank = writer.node("Reshape", bank, shape)
    positions = writer.node("Transpose", "features", perm=[0, 2, 3, 1])
    similarity = writer.node("MatMul", positions, bank)
    nearest = writer.node("ReduceMax", similarity, writer.integers("patch_axis", [3]), keepdims=0)
    length = writer.node("ReduceL2", "features", writer.integers("channel_axis", [1]), keepdims=0)
    cosine = writer.node("Div", nearest, length)
    writer.node("Sub", cosine, writer.constant("one", np.array(1)), output="distances")
    return writer.model(
        "memory_bank",
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", channels, *grid]),
        helper.make_tensor_value_info("distances", TensorProto.FLOAT, ["batch", *grid]),
    )
