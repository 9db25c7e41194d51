"""``inspector`` itself, before any of its commands."""

from importlib.metadata import version

from typer.testing import CliRunner

from inspector.cli import app


def test_whoever_reports_a_fault_can_say_of_which_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"inspector {version('inspector')}\n")
