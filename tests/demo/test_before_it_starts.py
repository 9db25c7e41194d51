"""What the demo sees to before it starts: its networks, and a folder of its own, which it empties."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from inspector.cli import app
from inspector.core.errors import InspectorError
from inspector.demo.plant import emptied


def test_a_former_demo_makes_room_and_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "demo"
    for _ in range(2):
        with emptied(folder):
            assert not (folder / "line.log").exists()
            (folder / "line.log").write_text("of this run")
            (folder / "records").mkdir()


def test_a_demo_that_runs_keeps_its_folder_when_another_is_started(tmp_path: Path) -> None:
    with emptied(tmp_path / "demo"):
        (tmp_path / "demo" / "line.log").touch()
        done = CliRunner().invoke(app, ["demo", "--directory", str(tmp_path / "demo")])
        assert done.exit_code == 2
        assert "another demo runs in" in done.stderr
        assert (tmp_path / "demo" / "line.log").exists()


def test_a_summary_that_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    given = ["--directory", str(tmp_path / "demo"), "--json", str(tmp_path / "file" / "seen.json")]
    done = CliRunner().invoke(app, ["demo", "--recipe", "none", *given])
    assert done.exit_code == 2
    assert "cannot write" in done.stderr
    assert not (tmp_path / "demo").exists()


def test_a_folder_of_somebody_elses_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("the only copy")
    done = CliRunner().invoke(app, ["demo", "--directory", str(tmp_path), "--recipe", "none"])
    assert done.exit_code == 2
    assert "holds what is no demo's" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "the only copy"


def test_installed_without_the_projects_folder_it_says_where_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.demo.plant.MODELS", tmp_path / "models")
    done = CliRunner().invoke(app, ["demo", "--directory", str(tmp_path / "demo")])
    assert done.exit_code == 2
    assert "run make demo in a checkout" in done.stderr
    assert not (tmp_path / "demo").exists()


def test_a_file_in_the_folders_place_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(InspectorError, match="cannot be used: File exists; name another"),
        emptied(tmp_path / "file"),
    ):
        pass
