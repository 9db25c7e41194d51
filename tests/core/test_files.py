"""Files that a command was asked for: written whole, or refused in a line before the work is done."""

from pathlib import Path

import pytest

from inspector.core.errors import InspectorError
from inspector.core.files import check_results, write_result


def _not_writable(folder: Path) -> list[Path]:
    (folder / "file").touch()
    (folder / "folder").mkdir()
    below = folder / "file" / "deeper" / "figures.json"
    return [folder / "file" / "figures.json", below, folder / "folder"]


def test_a_result_is_written_into_a_folder_that_is_made_for_it(tmp_path: Path) -> None:
    path = tmp_path / "results" / "figures.json"
    check_results(path, None)
    assert not path.parent.exists()
    write_result(path, b"{}\n")
    assert path.read_bytes() == b"{}\n"
    assert [one.name for one in path.parent.iterdir()] == ["figures.json"]


def test_a_result_that_is_there_is_left_as_it_is_until_there_is_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_bytes(b"old")
    check_results(path)
    assert path.read_bytes() == b"old"


def test_a_result_that_cannot_be_written_is_refused_before_and_after_the_work_in_a_line(
    tmp_path: Path,
) -> None:
    for path in _not_writable(tmp_path):
        with pytest.raises(InspectorError, match=f"cannot write {path}: .*; .*name another file"):
            check_results(None, path)
        with pytest.raises(InspectorError, match=f"cannot write {path}: .*; .*name another file"):
            write_result(path, b"{}\n")
