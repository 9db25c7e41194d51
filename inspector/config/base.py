"""What all settings share."""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

_VARIABLE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")


def _expand(value: object) -> object:
    """Replace ``${NAME}`` and ``~``; a missing variable is an error, never an empty path."""
    if not isinstance(value, str):
        return value

    def lookup(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise ValueError(f"environment variable {name} is not set")
        return os.environ[name]

    return str(Path(_VARIABLE.sub(lookup, value)).expanduser())


ConfiguredPath = Annotated[Path, BeforeValidator(_expand)]


class Settings(BaseModel):
    """Base of all settings: immutable, and a key that nobody knows is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
