"""How a process of the line behaves towards the one that started it."""

import ctypes
import os
import signal
import sys
import tempfile
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PARENT = "INSPECTOR_PARENT"


def child_environment() -> dict[str, str]:
    """The environment for a process of the line that this one starts: it learns there whose child it is."""
    return os.environ | {_PARENT: str(os.getpid())}


def die_with_parent() -> None:
    """Ask the kernel to terminate this process when its parent dies, so that nothing is left behind.

    Linux only; elsewhere the supervisor's own clean-up has to do. Exits at once when the parent is
    gone already: of one that was started with :func:`child_environment` the number is known, also when
    another has adopted this process since.
    """
    if not sys.platform.startswith("linux"):
        return
    # Taken out again, for a process that this one starts is not that parent's child.
    parent = int(os.environ.pop(_PARENT, os.getppid()))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(0)


def come_first() -> bool:
    """Let this thread run before all ordinary ones, whenever it wants to; False where that is not allowed.

    Linux only. For threads that sleep nearly always: one that does not would stop the machine. It takes
    CAP_SYS_NICE, or an RTPRIO limit of 1 or more.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        # 0 is the calling thread, not its process.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return False
    return True


def memory_directory() -> Path:
    """Where small files live that are worth nothing after a restart.

    In memory, so that a full or slow disk cannot touch them; the temporary directory where the system
    offers none.
    """
    candidates = [Path(os.environ.get("XDG_RUNTIME_DIR", "/run")), Path("/dev/shm")]  # noqa: S108
    usable = (each for each in candidates if os.access(each, os.W_OK | os.X_OK))
    return next(usable, Path(tempfile.gettempdir()))
