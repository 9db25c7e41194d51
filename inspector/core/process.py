"""How a process of the line behaves towards the one that started it."""

import ctypes
import os
import signal
import sys
import tempfile
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to terminate this process when its parent dies, so that nothing is left behind.

    Linux only; elsewhere the supervisor's own clean-up has to do. Exits at once when the parent is
    gone already.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(0)


def memory_directory() -> Path:
    """Where small files live that are worth nothing after a restart.

    In memory, so that a full or slow disk cannot touch them; the temporary directory where the system
    offers none.
    """
    candidates = [Path(os.environ.get("XDG_RUNTIME_DIR", "/run")), Path("/dev/shm")]  # noqa: S108
    usable = (each for each in candidates if os.access(each, os.W_OK | os.X_OK))
    return next(usable, Path(tempfile.gettempdir()))
