"""Engines that were built before: a file each, which says what it was built from, by what and for what.

An engine runs only in the library and on the GPU that it was built for, so a file that says anything else is
built anew, and why is told.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from inspector.core.files import write_atomically


@dataclass(frozen=True, slots=True)
class EngineKey:
    """What an engine was built from, by what and for what.

    Attributes:
        graph: SHA-256 of the graph's file.
        precision: ``float32`` or ``float16``.
        library: name and version.
        gpu: name and compute capability.
    """

    graph: str
    precision: str
    library: str
    gpu: str


class Kept(NamedTuple):
    """An engine, and why it was built; ``why`` is empty when it came from its file."""

    plan: bytes
    why: str


def engine_file(folder: Path, graph: Path, precision: str) -> Path:
    """Where a graph's engine is kept: one file a graph and precision, so that old ones do not pile up."""
    return folder / f"{graph.stem}-{precision}.engine"


def kept_engine(path: Path, key: EngineKey, build: Callable[[], bytes]) -> Kept:
    """The engine from its file, or built and kept there.

    Args:
        path: of the file; a folder that cannot be written keeps nothing, and that is told, too.
        key: what the engine must be.
        build: makes it.
    """
    found = _read(path, key)
    if isinstance(found, bytes):
        return Kept(found, "")
    plan = build()
    head = asdict(key) | {"plan": hashlib.sha256(plan).hexdigest()}
    try:
        write_atomically(path, json.dumps(head).encode() + b"\n" + plan)
    except OSError as error:
        return Kept(plan, f"{found}; it cannot be kept: {error.strerror}")
    return Kept(plan, found)


def _read(path: Path, key: EngineKey) -> bytes | str:
    """The engine, or why it must be built."""
    try:
        first, _, plan = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return "none was built yet"
    except OSError as error:
        return f"the one kept cannot be read: {error.strerror}"
    try:
        head = json.loads(first)
        whole = head["plan"] == hashlib.sha256(plan).hexdigest()
        other = [
            f"{name} {head[name]}, not {wanted}"
            for name, wanted in asdict(key).items()
            if head[name] != wanted
        ]
    except (ValueError, KeyError, TypeError):
        return "the file kept is no engine"
    if other:
        return f"the one kept is for {'; '.join(other)}"
    return plan if whole else "the file kept is damaged"
