"""What all settings share."""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo

_VARIABLE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")


def _expand(value: object, info: ValidationInfo) -> object:
    """Replace ``${NAME}`` and ``~``; a missing variable is an error, never an empty path.

    What is relative is taken from the context's ``folder``, which is the configuration's own.
    """
    if not isinstance(value, str):
        return value

    def lookup(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise ValueError(f"environment variable {name} is not set")
        return os.environ[name]

    path = Path(_VARIABLE.sub(lookup, value))
    try:
        return str((info.context or {}).get("folder", Path()) / path.expanduser())
    except RuntimeError as error:
        raise ValueError(f"there is no user {path.parts[0][1:]}") from error


ConfiguredPath = Annotated[Path, BeforeValidator(_expand)]


class Settings(BaseModel):
    """Base of all settings: immutable; a key that nobody knows and a number without end are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
