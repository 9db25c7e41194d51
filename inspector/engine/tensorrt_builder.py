"""A graph as a TensorRT engine, built by TensorRT or TensorRT for RTX: one API under two names.

Building needs neither GPU nor driver with TensorRT for RTX; with TensorRT it needs the GPU it builds for.
"""

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from inspector.core.errors import EngineError
from inspector.engine.network import LIBRARIES, MOST, first_line, unloadable


class Library(NamedTuple):
    """TensorRT in one of its two forms.

    Attributes:
        module: its API.
        name: with version.
    """

    module: Any
    name: str


class End(NamedTuple):
    """An input or output: its name, element type (``UINT8``, ``FLOAT``, …) and all axes, free ones -1."""

    name: str
    kind: str
    shape: tuple[int, ...]


class Built(NamedTuple):
    """An engine, and what it takes and gives.

    Attributes:
        plan: the serialised engine.
        taken: its input.
        given: its output.
        products: element types that its matrix products and convolutions give.
    """

    plan: bytes
    taken: End
    given: End
    products: frozenset[str]


def open_library() -> Library:
    """The library that is installed.

    Raises:
        EngineError: none is, or it cannot be loaded.
    """
    for name in LIBRARIES:
        if find_spec(name) is None:
            continue
        try:
            module = importlib.import_module(name)
        except (ImportError, OSError, RuntimeError) as error:
            raise EngineError(
                f"{name} cannot be loaded: {first_line(error)}", "install the library anew"
            ) from error
        return Library(module, f"{name.removesuffix('_bindings')} {module.__version__}")
    raise EngineError("TensorRT is not installed", "pip install '.[tensorrt]' or '.[tensorrt-rtx]'")


class Log:
    """What the library complained of; ``sink`` is what it takes as its logger."""

    def __init__(self, module: Any) -> None:
        complaints: list[str] = []
        worst = int(module.ILogger.ERROR)

        class Sink(module.ILogger):  # type: ignore[misc]
            def log(self, severity: Any, message: str) -> None:
                if int(severity) <= worst:
                    complaints.append(message)

        self.sink = Sink()
        self._complaints = complaints

    @property
    def first(self) -> str:
        """The first complaint: those after it only follow from it."""
        return self._complaints[0].splitlines()[0] if self._complaints else "it does not say why"


def build_engine(library: Library, path: Path, graph: bytes) -> Built:
    """Build an engine for 1 to ``MOST`` pictures at once, every number of the type the graph says.

    Args:
        library: what builds.
        path: of the graph, for messages.
        graph: its content.

    Raises:
        EngineError: the library does not understand the graph, or cannot build it.
    """
    trt, log = library.module, Log(library.module)
    builder = trt.Builder(log.sink)
    # TensorRT 11 knows nothing but strongly typed networks and has no flag for it any more.
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = trt.OnnxParser(network, log.sink)
    if not parser.parse(graph):
        told = parser.get_error(0).desc() if parser.num_errors else log.first
        raise unloadable(path, library.name, EngineError(told, ""))
    if network.num_inputs != 1 or network.num_outputs != 1:
        raise EngineError(f"{path} does not have one input and one output", "export it anew")
    settings = builder.create_builder_config()
    # Otherwise products of float32 are rounded to ten bits on the way, and float32 would be but a name.
    settings.clear_flag(trt.BuilderFlag.TF32)
    taken = network.get_input(0)
    item = tuple(taken.shape)[1:]
    profile = builder.create_optimization_profile()
    profile.set_shape(taken.name, (1, *item), (1, *item), (MOST, *item))
    settings.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, settings)
    if plan is None:
        raise EngineError(
            f"{path} cannot be built by {library.name}: {log.first}", "see whether the GPU is free"
        )
    layers = [network.get_layer(number) for number in range(network.num_layers)]
    multiplies = (trt.LayerType.MATRIX_MULTIPLY, trt.LayerType.CONVOLUTION)
    return Built(
        bytes(plan),
        _end(taken),
        _end(network.get_output(0)),
        frozenset(x.get_output(0).dtype.name for x in layers if x.type in multiplies),
    )


def _end(tensor: Any) -> End:
    return End(tensor.name, tensor.dtype.name, tuple(tensor.shape))
