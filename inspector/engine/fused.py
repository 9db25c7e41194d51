"""Our transformers anew in the operators that ONNX Runtime has fast kernels for, in half precision.

The graph that :mod:`inspector.recipe.graph` writes is read back by the names of its constants and written
again. The same numbers come out, up to rounding:

- attention is one operator, which multiplies queries, keys and values blockwise without keeping the scores;
- a residual sum, the bias before it and the norm after it are one operator, bias and GELU another;
- weights of a norm are folded into the layer behind it, so that they are rounded once, not twice;
- class and distillation token are rows of a constant that holds biases and positions as well: no operator
  asks for the batch's size, which would live on the CPU and keep all from being recorded as a CUDA graph.

A teacher and what its features are compared with may be joined in one graph: pictures in, distance maps out,
and features never leave the GPU.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import EngineError
from inspector.engine.half import halved
from inspector.recipe.graph import NORM_EPSILON
from inspector.recipe.graph_writer import GraphWriter

_CONTRIB = "com.microsoft"
_OPSET = 18
"""Of later ones the library knows Pad and ReduceMax on the CPU only."""
_PATCH_SCALE = 2.0**8
"""Weights of the patches are of the order 1e-4, where float16 has few bits left: they are stored larger."""

Arrays = dict[str, NDArray[Any]]


def fused(path: Path, kind: type[np.floating[Any]] = np.float16) -> bytes:
    """A network, products and residual stream in ``kind``, last norm and result float32.

    What is not one of our transformers, or has been quantised, gets its products halved and nothing else.

    Args:
        path: ``.onnx`` file; ``onnx`` (extra ``teacher``) reads it.
        kind: float16, or float32 to see that nothing else changes.
    """
    from onnx import TensorProto, helper

    model = _load(path)
    if not _ours(model):
        return halved(path)
    given = _constants(model)
    writer = _Fused(kind)
    channels, rows, columns = _map_shape(given)
    tokens = writer.transformer("", given, writer.patches(given))
    x = writer.node("Transpose", tokens, perm=[0, 2, 1])
    shape = writer.integers("map_shape", [0, channels, rows, columns])
    writer.node("Reshape", x, shape, output="features")
    result = helper.make_tensor_value_info(
        "features", TensorProto.FLOAT, ["batch", channels, rows, columns]
    )
    whole = writer.model("transformer", model.graph.input[0], result, _CONTRIB, opset=_OPSET)
    return bytes(whole.SerializeToString())


def joined(
    teacher: Path,
    compared: Path,
    kind: type[np.floating[Any]] = np.float16,
) -> bytes | None:
    """A teacher and its student or bank as one graph: pictures to distance maps (Eq. 1).

    Args:
        teacher: ``.onnx`` file.
        compared: of a student, or of a bank; the latter stays float32.
        kind: as in :func:`fused`.

    Returns:
        The graph; None where one of the two is not of the form for it.

    Raises:
        EngineError: they do not fit each other.
    """
    from onnx import TensorProto, helper

    first, second = _load(teacher), _load(compared)
    bank = second.graph.name == "memory_bank"
    if not _ours(first) or not (bank or _ours(second)):
        return None
    given = _constants(first)
    writer = _Fused(kind)
    channels, rows, columns = _map_shape(given)
    patches = writer.patches(given)
    theirs = _constants(second)
    if bank:
        _fit(compared, _shape(second.graph.input[0])[1:], (channels, rows, columns))
        tokens = writer.transformer("teacher.", given, patches)
        x = writer.node("Transpose", tokens, perm=[0, 2, 1])
        shape = writer.integers("map_shape", [0, channels, rows, columns])
        writer.node("Reshape", x, shape, output="features")
        writer.take_over(second, "bank.", ("features", "distances"))
    else:
        _fit(compared, _map_shape(theirs), (channels, rows, columns))
        _fit(compared, _patches(theirs), _patches(given))
        tokens = writer.transformer("teacher.", given, patches)
        if _prefix(theirs) != _prefix(given):
            patches = writer.patches(theirs)
        other = writer.transformer("student.", theirs, patches)
        writer.compare(tokens, other, rows, columns)
    result = helper.make_tensor_value_info("distances", TensorProto.FLOAT, ["batch", rows, columns])
    whole = writer.model("detector", first.graph.input[0], result, _CONTRIB, opset=_OPSET)
    return bytes(whole.SerializeToString())


class _Fused(GraphWriter):
    """A writer that knows the operators; all between patches and last norm is of its type.

    Args:
        kind: float16 or float32.
    """

    def __init__(self, kind: type[np.floating[Any]]) -> None:
        super().__init__()
        from onnx import TensorProto

        self._kind = kind
        self._type = TensorProto.FLOAT16 if kind is np.float16 else TensorProto.FLOAT

    def patches(self, given: Arrays) -> str:
        """Pixels to N×T×(p·p·3), a row of noughts for each token that is no patch."""
        x = self.node("Cast", "image", to=self._type)
        x = self.node("Reshape", x, self.integers("cells", given["cells"].tolist()))
        x = self.node("Transpose", x, perm=[0, 1, 3, 2, 4, 5])
        x = self.node("Reshape", x, self.integers("tokens", given["tokens"].tolist()))
        if "kept" in given:
            x = self.node("Gather", x, self.constant("kept", given["kept"], np.int64), axis=1)
        if prefix := _prefix(given):
            ends = self.integers(f"prefix_{prefix}", [0, prefix, 0, 0, 0, 0])
            x = self.node("Pad", x, ends)
        return x

    def transformer(self, name: str, given: Arrays, patches: str) -> str:
        """Patches to N×(h·w)×C float32: all blocks, without the tokens that are no patches.

        Args:
            name: goes before the names of constants.
            given: the network's constants.
            patches: see :meth:`patches`.
        """
        heads = int(given["qkv_shape"][3])
        depth = sum(key.endswith(".attn.qkv.matrix") for key in given)
        x = self._embedded(name, given, patches)
        unit = self._unit(len(given["patch_embed.bias"]))
        normed = self._norm(x, unit[0])
        for index in range(depth):
            block = f"blocks.{index}"
            qkv = self._linear(name, given, f"{block}.attn.qkv", f"{block}.norm1")
            mixed = self.node("Attention", normed, *qkv, domain=_CONTRIB, num_heads=heads)
            matrix, bias = self._linear(name, given, f"{block}.attn.proj")
            normed, x = self._added(self.node("MatMul", mixed, matrix), x, *unit, bias)
            matrix, bias = self._linear(name, given, f"{block}.mlp.fc1", f"{block}.norm2")
            inner = self.node(
                "BiasGelu", self.node("MatMul", normed, matrix), bias, domain=_CONTRIB
            )
            matrix, bias = self._linear(name, given, f"{block}.mlp.fc2")
            normed, x = self._added(self.node("MatMul", inner, matrix), x, *unit, bias)
        if "head.matrix" in given:
            matrix, bias = self._linear(name, given, "head", "norm", np.float32)
            x = self.node("MatMul", self._without_prefix(given, normed), matrix)
            x = self.node("Add", self._wide(x), bias)
        else:
            x = self._wide(self._without_prefix(given, x))
        x = self._last(name, given, x)
        return self.spread_out(x, given["places"]) if "places" in given else x

    def compare(self, teacher: str, student: str, rows: int, columns: int) -> None:
        """Eq. 1 of features N×(h·w)×C, as the graph's output."""
        difference = self.node("Sub", student, teacher)
        square = self.node("Mul", difference, difference)
        mean = self.node("ReduceMean", square, self.integers("channels", [2]), keepdims=0)
        distance = self.node("Mul", mean, self.constant("minus_half", np.array(-0.5)))
        shape = self.integers("map_shape", [0, rows, columns])
        self.node("Reshape", distance, shape, output="distances")

    def _embedded(self, name: str, given: Arrays, patches: str) -> str:
        """Patches to N×T×C: what goes into the first block."""
        matrix = self._narrow(f"{name}patch_embed", _PATCH_SCALE * given["patch_embed.matrix"])
        x = self.node("FusedMatMul", patches, matrix, domain=_CONTRIB, alpha=1 / _PATCH_SCALE)
        return self.node("Add", x, self._narrow(f"{name}positions", _positions(given)))

    def take_over(self, model: Any, name: str, ends: tuple[str, str]) -> None:
        """All nodes of a graph with one input and one output, which must be called as in it."""

        def called(old: str) -> str:
            return old if old in ends or not old else name + old

        for tensor in model.graph.initializer:
            self.tensors.append(tensor)
            self.tensors[-1].name = called(tensor.name)
        for node in model.graph.node:
            node.input[:] = [called(x) for x in node.input]
            node.output[:] = [called(x) for x in node.output]
            self.nodes.append(node)

    def _last(self, name: str, given: Arrays, x: str) -> str:
        """What is done to each position last, in float32."""
        last_norm = "head_norm" if "head.matrix" in given else "norm"
        if "unit_scale" in given:
            one = self.constant(f"{name}unit_scale", given["unit_scale"])
            x = self._norm(x, one)
            if "adapter.fc1.matrix" in given:
                matrix, bias = self._linear(name, given, "adapter.fc1")
                narrow = self.node("Cast", x, to=self._type)
                inner = self.node("MatMul", narrow, matrix)
                inner = self.node("BiasGelu", inner, bias, domain=_CONTRIB)
                matrix, bias = self._linear(name, given, "adapter.fc2", wide=np.float32)
                inner = self.node("Add", self._wide(self.node("MatMul", inner, matrix)), bias)
                x = self._norm(self.node("Add", x, inner), one)
        elif f"{last_norm}.weight" in given:
            parts = (f"{last_norm}.weight", f"{last_norm}.bias")
            x = self._norm(x, *(self.constant(name + part, given[part]) for part in parts))
        return x

    def _linear(
        self,
        name: str,
        given: Arrays,
        layer: str,
        norm: str = "",
        wide: type[np.floating[Any]] | None = None,
    ) -> tuple[str, str]:
        """Matrix and bias of a layer, with the weights of a norm before it; ``wide``: type of the bias."""
        matrix, bias = _folded(given, layer, norm)
        return (
            self._narrow(f"{name}{layer}.matrix", matrix),
            self.constant(f"{name}{layer}.bias", bias, wide or self._kind),
        )

    def _narrow(self, name: str, value: NDArray[Any]) -> str:
        return self.constant(name, value, self._kind)

    def _wide(self, x: str) -> str:
        return self.node("Cast", x, to=1)

    def _unit(self, channels: int) -> tuple[str, str]:
        """Weights of a norm that has none."""
        one = self._narrow(f"one_{channels}", np.ones(channels))
        return one, self._narrow(f"nought_{channels}", np.zeros(channels))

    def _norm(self, x: str, *weights: str) -> str:
        return self.node("LayerNormalization", x, *weights, axis=-1, epsilon=NORM_EPSILON)

    def _added(self, x: str, stream: str, *weights: str) -> tuple[str, str]:
        """Their sum, normed and as it is; weights: the norm's two, and a bias that is added as well."""
        from onnx import helper

        normed, summed = (f"{what}_{len(self.nodes)}" for what in ("normed", "summed"))
        self.nodes.append(
            helper.make_node(
                "SkipLayerNormalization",
                [x, stream, *weights],
                [normed, "", "", summed],
                domain=_CONTRIB,
                epsilon=NORM_EPSILON,
            )
        )
        return normed, summed

    def _without_prefix(self, given: Arrays, x: str) -> str:
        prefix = _prefix(given)
        if not prefix:
            return x
        bounds = (("first", prefix), ("end", 2**31), ("axis", 1))
        return self.node("Slice", x, *(self.integers(f"{n}_{v}", [v]) for n, v in bounds))


def _folded(
    given: Arrays, layer: str, norm: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix and bias of a layer, with the weights of a norm before it."""
    matrix = given[f"{layer}.matrix"].astype(np.float64)
    bias = given[f"{layer}.bias"].astype(np.float64)
    if norm:
        bias = bias + given[f"{norm}.bias"].astype(np.float64) @ matrix
        matrix = given[f"{norm}.weight"].astype(np.float64)[:, None] * matrix
    return matrix, bias


def _patches(given: Arrays) -> tuple[int, ...]:
    """How pictures are cut into patches, and how many of them are looked at."""
    cells = given["cells"].tolist()
    return (*cells, len(given["kept"]) if "kept" in given else cells[1] * cells[3])


def _prefix(given: Arrays) -> int:
    """Tokens that are no patches."""
    return sum(name in given for name in ("cls_token", "dist_token"))


def _positions(given: Arrays) -> NDArray[np.float64]:
    """1×T×C: what each token is before it meets the others, without a patch's picture."""
    patch = given["pos_embed"].astype(np.float64)
    prefix = _prefix(given)
    patch[:, prefix:] += given["patch_embed.bias"]
    for index, name in enumerate(("cls_token", "dist_token")[:prefix]):
        patch[:, index] += given[name][0, 0]
    return patch


def _load(path: Path) -> Any:
    import onnx

    return onnx.load(path)


def _ours(model: Any) -> bool:
    """Whether it is as :mod:`inspector.recipe.graph` wrote it."""
    quantised = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    return model.graph.name == "transformer" and not quantised


def _constants(model: Any) -> Arrays:
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _map_shape(given: Arrays) -> tuple[int, int, int]:
    """Channels, rows and columns of the features."""
    _, channels, rows, columns = given["map_shape"].tolist()
    return channels, rows, columns


def _shape(end: Any) -> tuple[int, ...]:
    """Of a graph's input or output; a free axis is 0."""
    return tuple(axis.dim_value for axis in end.type.tensor_type.shape.dim)


def _fit(path: Path, taken: tuple[int, ...], given: tuple[int, ...]) -> None:
    if taken != given:
        raise EngineError(
            f"the teacher gives features of {given}, {path.name} is for {taken}",
            "teach the type again: both must have the same channels and positions",
        )
