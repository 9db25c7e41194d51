"""Files that are either whole or not there."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from inspector.core.errors import InspectorError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the whole new one, also after a power cut.

    Raises:
        OSError: the folder cannot be written, or the disk is full; ``path`` is then unchanged.
    """
    write_together({path: content})


def write_together(files: Mapping[Path, bytes]) -> None:
    """:func:`write_atomically` several files: all lie on the disk before the first takes its place.

    So a disk that has no room for the last of them has not taken away the first.

    Args:
        files: content by path, in the order in which they take their places.

    Raises:
        OSError: a folder cannot be written, or the disk is full; nothing is changed then.
    """
    written: list[tuple[Path, Path]] = []
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            written.append((Path(name), path))
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).chmod(0o644)
        for temporary, path in written:
            temporary.replace(path)
    except BaseException:
        for temporary, _ in written:
            temporary.unlink(missing_ok=True)
        raise


def check_results(*paths: Path | None) -> None:
    """See that what a command was asked to write can be written, before the work that leads to it.

    Nothing is left behind: a folder that is not there yet is made when there is something to write.

    Args:
        paths: of the files; None for one that was not asked for.

    Raises:
        InspectorError: a folder cannot be made or written, or a file's name is a folder's.
    """
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise _unwritable(path, "it is a folder")
        try:
            there = next(folder for folder in path.parents if os.path.lexists(folder))
            with tempfile.NamedTemporaryFile(dir=there):
                pass
        except OSError as error:
            raise _unwritable(path, error.strerror) from error


def write_result(path: Path, content: bytes) -> None:
    """:func:`write_atomically` what a command was asked to write.

    Raises:
        InspectorError: it cannot be written; ``path`` is then unchanged.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        raise _unwritable(path, error.strerror) from error


def _unwritable(path: Path, why: str | None) -> InspectorError:
    return InspectorError(f"cannot write {path}: {why}", "make room there, or name another file")
