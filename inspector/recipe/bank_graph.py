"""A bank of clean patches as an ONNX graph, written from plain arrays: what the line runs for a student.

It reads the teacher's feature map and gives D of Eq. 1 itself: cosine similarity to the nearest patch
minus 1. The patches are float16 in the file, and each row's own are there once: they meet their row's
positions and those of the rows beside it in one product, whose constant factor engines cast and lay out once,
when they load it. (Neighbours put together first, in one product for all rows, took twice as long on a CPU.)
"""

import numpy as np
from numpy.typing import NDArray

from inspector.recipe.graph_writer import GraphWriter


def bank_graph(patches: NDArray[np.float32], reach: int, grid: tuple[int, int]) -> bytes:
    """The ONNX graph of a bank, as the content of a file.

    Input ``features``: float32 N×C×h×w, the teacher's. Output ``distances``: float32 N×h×w, in [-2, 0] up
    to rounding, not a number where the features are none.

    Args:
        patches: G×K×C of length 1; one group for all positions, or one for each row of the map.
        reach: the rows on either side whose groups a position is compared with as well; 0 for none.
        grid: h and w of the map.

    Raises:
        ValueError: there are several groups, but not one a row.
    """
    from onnx import TensorProto, helper

    groups, _, channels = patches.shape
    if groups not in (1, grid[0]):
        raise ValueError(f"a bank of {groups} rows cannot judge maps of {grid[0]}")
    writer = GraphWriter()
    positions = writer.node("Transpose", "features", perm=[0, 2, 3, 1])
    # C×K: as the product reads it.
    columns = writer.constant("patches", patches.transpose(0, 2, 1), np.float16)
    bank = writer.split(writer.node("Cast", columns, to=TensorProto.FLOAT), groups)
    nearest, asked = [], list[int]()
    for number, own in enumerate(bank):
        rows = range(grid[0])
        if groups > 1:
            rows = rows[max(number - reach, 0) : number + reach + 1]
        bounds = [writer.integers(f"row_{row}", [row]) for row in (rows.start, rows.stop)]
        some = writer.node("Slice", positions, *bounds, writer.integers("row_axis", [1]))
        similarity = writer.node("MatMul", some, own)
        nearest.append(
            writer.node("ReduceMax", similarity, writer.integers("patch_axis", [3]), keepdims=0)
        )
        asked += rows
    answers = [[at for at, row in enumerate(asked) if row == wanted] for wanted in range(grid[0])]
    # At the edges fewer groups answer; they are heard again, for a table without gaps.
    table = np.array([np.resize(places, 2 * reach + 1) for places in answers])
    together = writer.node("Concat", *nearest, axis=1)
    heard = writer.node("Gather", together, writer.constant("answers", table, np.int64), axis=1)
    best = writer.node("ReduceMax", heard, writer.integers("answer_axis", [2]), keepdims=0)
    length = writer.node("ReduceL2", "features", writer.integers("channel_axis", [1]), keepdims=0)
    cosine = writer.node("Div", best, length)
    writer.node("Sub", cosine, writer.constant("one", np.array(1)), output="distances")
    model = writer.model(
        "memory_bank",
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", channels, *grid]),
        helper.make_tensor_value_info("distances", TensorProto.FLOAT, ["batch", *grid]),
    )
    return bytes(model.SerializeToString(deterministic=True))
