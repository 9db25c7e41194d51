"""GenICam's library and harvesters, or in one line what the computer lacks for them."""

import sys

from inspector.core.errors import CameraError

try:
    from genicam import genapi, gentl
    from harvesters.core import Buffer, Harvester, ParameterKey, ParameterSet
except ImportError as error:
    # It is linked with Python's own library, which Debian's interpreter does without.
    raise CameraError(
        f"GenICam's library cannot be loaded: {error}",
        "install what it misses; where that is libpython: apt-get install "
        f"libpython{sys.version_info.major}.{sys.version_info.minor}",
    ) from error

__all__ = ["Buffer", "Harvester", "ParameterKey", "ParameterSet", "genapi", "gentl"]
