"""The unit that comes with the project is one that systemd takes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "deploy" / "inspector.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_the_service_is_a_unit_that_systemd_takes_without_a_warning(tmp_path: Path) -> None:
    here = UNIT.read_text().replace("/opt/inspector/bin/inspector", sys.executable)
    (tmp_path / "inspector.service").write_text(here.replace("User=inspector\n", ""))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "inspector.service")],
        capture_output=True,
        text=True,
        check=False,
    )
    of_ours = [line for line in done.stderr.splitlines() if "inspector" in line]
    assert (done.returncode, of_ours) == (0, [])
