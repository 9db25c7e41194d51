"""A computer on which GenICam's library cannot be loaded is told what it lacks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml


@pytest.mark.parametrize("command", ["doctor", "run"])
def test_a_library_that_cannot_be_loaded_is_told_in_one_line_with_its_remedy(
    tmp_path: Path, command: str
) -> None:
    lane = {"name": "lane-1", "recipe": "recipe", "camera": {"producer": "camera.cti"}}
    (tmp_path / "line.yaml").write_text(yaml.safe_dump({"lanes": [lane]}))
    broken = "libpython3.11.so.1.0: cannot open shared object file"
    (tmp_path / "genicam").mkdir()
    (tmp_path / "genicam" / "__init__.py").write_text(f'raise ImportError("{broken}")\n')
    paths = [str(tmp_path), str(Path(__file__).parents[2])]
    done = subprocess.run(
        [sys.executable, "-m", "inspector", command, str(tmp_path / "line.yaml")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"inspector: GenICam's library cannot be loaded: {broken}; ")
    assert "apt-get install libpython3" in done.stderr
    assert done.stderr.count("\n") == 1
