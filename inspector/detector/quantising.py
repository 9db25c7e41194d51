"""A teacher in int8: the products of its layers in eight-bit numbers, their ranges from clean pictures alone.

The graph says it with QuantizeLinear and DequantizeLinear, which every engine understands. Both factors are
symmetric about nought, since TensorRT knows no other. Products are added up in 32 bits and go on as float32:
rounding them as well, before their bias, tripled the error in a trial of which no command was kept.
"""

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.core.errors import RecipeError
from inspector.decision import Calibration, judge
from inspector.detector.comparing import See
from inspector.detector.networks import FeatureNetwork, write_graph
from inspector.engine import load_network
from inspector.recipe.manifest import BandEntry

_PICTURES = 16
"""That the ranges come from: all numbers of their features are held at once."""
_PERCENTILE = 99.999
"""Of a factor's numbers that its range holds; a few lie so far out that all others would be blurred for them.
In a trial on 28 clean cups, of which no command was kept, the position of the small teacher's features that
was off most had a cosine error of 0.0011, against 0.0052 with 99.99, 0.0535 with 99.9 and 0.0025 with all of
them: what a cup is rejected for is one position."""
_PIXELS = ("patch_embed.matrix",)
"""Products that stay float32: of pixels, all above nought, whose sums overflow AVX2's 16 bits; and those
of attention's shares and values: hundreds share a whole, so that in eight bits most are nought or twice what
they should be, and features were off by seven times as much (``docs/measurements/engine.md``)."""
_MARGIN = 2.0
"""The band is so many times what one engine was seen to differ: others round elsewhere."""
_MOST_LOST = 0.2
"""AUROC on faint stains that int8 may lose, in clean pictures: one that moves past every stain costs 1/n."""


class Narrow(NamedTuple):
    """A teacher in int8.

    Attributes:
        graph: its ONNX graph.
        see: what it makes of pictures, by ONNX Runtime.
    """

    graph: bytes
    see: See


def narrowed(teacher: FeatureNetwork, views: NDArray[np.uint8]) -> Narrow:
    """The teacher's graph in int8.

    Args:
        teacher: in float32.
        views: n×R×K×3 uint8 RGB of clean pictures, in its size.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    chosen = np.linspace(0, len(views) - 1, min(len(views), _PICTURES)).round().astype(int)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "teacher.onnx"
        # Apart, OpenVINO takes a twentieth less time.
        write_graph(teacher, path, apart=True)
        model = onnx.load(path)
        for number, node in enumerate(model.graph.node):
            node.name = f"{node.op_type}-{number}"
        shares = {node.output[0] for node in model.graph.node if node.op_type == "Softmax"}
        kept = [
            node.name
            for node in model.graph.node
            if node.op_type == "MatMul" and (node.input[1] in _PIXELS or node.input[0] in shares)
        ]
        add_pre_process_metadata(model)
        with contextlib.redirect_stdout(io.StringIO()):  # it tells every step
            quantize_static(
                model,
                str(path),
                _Pictures(model.graph.input[0].name, views[chosen]),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["MatMul"],
                nodes_to_exclude=kept,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.Percentile,
                extra_options={
                    "ActivationSymmetric": True,
                    "MatMulConstBOnly": True,
                    "OpTypesToExcludeOutputQuantization": ["MatMul"],
                    "CalibPercentile": _PERCENTILE,
                    # Each product its own: where three share one, ONNX Runtime multiplies in float32.
                    "DedicatedQDQPair": True,
                },
            )
        network = load_network(path, threads=torch.get_num_threads())
        graph = path.read_bytes()

    def see(pictures: NDArray[np.uint8]) -> Tensor:
        return torch.cat([torch.from_numpy(network.run(one[None])) for one in pictures])

    return Narrow(graph, see)


def narrow_band(
    found: NDArray[np.float32], reference: NDArray[np.float32], calibration: Calibration
) -> BandEntry:
    """How far an engine may be from golden maps of float32: some more than one was seen to be.

    Args:
        found: n×h×w distances of the golden images, teacher in int8.
        reference: the same, teacher in float32.
        calibration: of the recipe in int8.

    Raises:
        RecipeError: a verdict differs.
    """
    maps, scores = [], []
    for mine, expected in zip(found, reference, strict=True):
        here, there = judge(mine, calibration), judge(expected, calibration)
        maps.append(float(np.abs(here.heat - there.heat).max()))
        scores.append(abs(here.score - there.score))
        if here.defective != there.defective:
            raise RecipeError("in int8 a golden image gets another verdict", _IN_FLOAT32)
    return BandEntry(map=_MARGIN * max(maps), score=_MARGIN * max(scores))


def check_loss(in_float32: float, in_int8: float, pictures: int) -> str:
    """What faint stains laid over clean pictures say of int8, in words.

    Args:
        in_float32: AUROC.
        in_int8: likewise, on the same pictures.
        pictures: clean ones among them.

    Raises:
        RecipeError: too much is lost.
    """
    told = (
        f"faint stains are told apart with AUROC {in_int8:.3f} in int8, {in_float32:.3f} in float32"
    )
    if in_float32 - in_int8 > _MOST_LOST / pictures:
        raise RecipeError(f"int8 loses too much: {told}", _IN_FLOAT32)
    return told


_IN_FLOAT32 = "teach in float32: leave out --precision"


class _Pictures:
    """Calibration pictures, one after the other, as ONNX Runtime asks for them."""

    def __init__(self, name: str, views: NDArray[np.uint8]) -> None:
        self._feeds: Iterator[dict[str, Any]] = iter([{name: view[None]} for view in views])

    def get_next(self) -> dict[str, Any] | None:
        """The next, None after the last."""
        return next(self._feeds, None)
