"""What `make` needs of the system is installed, or named, before anything fails for want of it."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "deploy" / "system-packages.sh"


def asked_for_the_demo(folder: Path) -> subprocess.CompletedProcess[str]:
    """As somebody who is not root, with this Python."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(sys.executable)
    (programs / "id").write_text("#!/bin/sh\necho 1000\n")
    (programs / "id").chmod(0o755)
    return subprocess.run(
        [SCRIPT, "demo"],
        cwd=folder,
        env={"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_with_pythons_own_library_a_demo_needs_nothing_of_the_system(tmp_path: Path) -> None:
    asked = asked_for_the_demo(tmp_path)
    assert (asked.returncode, asked.stderr) == (0, "")


def test_without_pythons_own_library_which_genicams_needs_the_package_is_named(
    tmp_path: Path,
) -> None:
    missing = 'def CDLL(name):\n    raise OSError(f"{name}: cannot open shared object file")\n'
    (tmp_path / "ctypes.py").write_text(missing)
    asked = asked_for_the_demo(tmp_path)
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}"
    assert asked.returncode == 2
    assert f"Missing system packages: {name};" in asked.stderr
