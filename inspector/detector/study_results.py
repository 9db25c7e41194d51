"""What a study has measured so far: cells in one JSON file."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from inspector.core.errors import RecipeError
from inspector.core.files import write_atomically
from inspector.detector.cells import Cell, Measured


class _Entry(BaseModel):
    """A measured cell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cell: dict[str, Any]
    measured: Measured


class _Kept(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["inspector sweep 1"] = "inspector sweep 1"
    cells: tuple[_Entry, ...]


class Results:
    """Measured cells in one JSON file, whole after each."""

    def __init__(self, path: Path) -> None:
        """Read what is there.

        Raises:
            RecipeError: the file is damaged or something else.
        """
        self._path = path
        self._cells: dict[str, Measured] = {}
        if not path.exists():
            return
        try:
            kept = _Kept.model_validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise RecipeError(
                f"{path} is damaged, or no results of this command", "name another file with --out"
            ) from error
        self._cells = {json.dumps(e.cell, sort_keys=True): e.measured for e in kept.cells}

    def get(self, cell: Cell) -> Measured | None:
        """What was measured, if it was."""
        return self._cells.get(cell.key())

    def add(self, cell: Cell, figures: Measured) -> None:
        """Keep a cell's figures.

        Raises:
            RecipeError: the file cannot be written.
        """
        self._cells[cell.key()] = figures
        cells = [_Entry(cell=json.loads(key), measured=found) for key, found in self._cells.items()]
        content = _Kept(cells=tuple(cells)).model_dump_json(indent=1) + "\n"
        try:
            write_atomically(self._path, content.encode())
        except OSError as error:
            what = f"cannot write {self._path}: {error.strerror}"
            raise RecipeError(what, "make room there, or name another file") from error
