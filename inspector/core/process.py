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
