"""A disk of a few megabytes, which a fault can fill without harming anybody else's."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inspector.core.errors import InspectorError

_SIZE = "8m"


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Lay a small disk over a new folder; what was written stays there when the disk is taken away.

    Raises:
        InspectorError: the system does not let us mount one.
    """
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "inspector-demo", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        raise InspectorError(
            f"a small disk cannot be mounted: {mounted.stderr.strip()}",
            "run this scenario as root on a system that may mount",
        )
    with tempfile.TemporaryDirectory() as kept:
        try:
            yield
            shutil.copytree(folder, kept, dirs_exist_ok=True)
        finally:
            # Lazily: a process that dies a moment later may still hold a file.
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        shutil.copytree(kept, folder, dirs_exist_ok=True)
