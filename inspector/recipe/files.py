"""Files that are either whole or not there: the core's, by the name that callers know."""

from inspector.core.files import write_atomically

__all__ = ["write_atomically"]
