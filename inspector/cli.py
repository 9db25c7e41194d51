"""The command line: one function a command."""

import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup
from typer.main import get_command

from inspector.config import EngineName, Trigger, load_line
from inspector.core.errors import InspectorError
from inspector.core.files import check_results
from inspector.core.process import memory_directory


class _Commands(TyperGroup):
    """The commands below, and the twin's, which are loaded on use: a line needs none of them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), "twin"]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name != "twin":
            return super().get_command(ctx, cmd_name)
        from inspector.twin.cups.__main__ import app as twin

        return get_command(twin)

    def invoke(self, ctx: Any) -> Any:
        """Runs a command; a mistake of the user ends in one clear line and exit code 2."""
        try:
            return super().invoke(ctx)
        except InspectorError as error:
            typer.echo(f"inspector: {error}", err=True)
            raise typer.Exit(2) from None


app = typer.Typer(
    cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
_LineFile = Annotated[Path, typer.Argument(metavar="LINE.yaml", help="the line's configuration")]
_METHOD = {
    "teach": "Teach a cup type: clean pictures in, a verified recipe out.",
    "evaluate": "Judge a test set by a recipe and compare with the truth.",
    "sweep": "Measure the paper's tables, row for row, on a data set.",
    "distil": "Distil a small teacher from a larger one.",
    "adapt": "Learn from clean cups of several types what clean cups differ by.",
}
"""The method's commands are loaded on use: they need torch, which a line does not have."""
_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"inspector {version('inspector')}")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="say which, and end"),
    ] = False,
) -> None:
    """Inline inspection of reusable cups, from camera frame to reject gate."""


@app.command()
def run(
    configuration: _LineFile,
    run_directory: Annotated[
        Path | None, typer.Option(help="where the line keeps its state while it runs")
    ] = None,
) -> None:
    """Run a line until Ctrl-C or SIGTERM. Exit code 2: it cannot start, and one line says why."""
    from inspector.doctor import examine
    from inspector.line import run_line

    line = load_line(configuration)
    findings = examine(line, prove_recipes=False)
    errors = [finding for finding in findings if finding.level == "error"]
    for finding in errors:
        typer.echo(f"inspector: {finding.check}: {finding.text}; {finding.remedy}", err=True)
    if errors:
        raise typer.Exit(2)
    with tempfile.TemporaryDirectory(prefix="inspector-", dir=memory_directory()) as temporary:
        code = run_line(line, run_directory or Path(temporary))
    sys.exit(code)


@app.command()
def doctor(configuration: _LineFile) -> None:
    """Check producer, camera, network, models, PLC, disk and clock; name the remedy for each finding.

    Exit code 1: something is found that the line cannot start with; 2: LINE.yaml itself cannot be used.
    """
    from inspector.doctor import examine

    line = load_line(configuration)
    # Lines and no table: a remedy that is a command can be copied, and a log or a pipe can be searched.
    console = Console(markup=False, highlight=False, soft_wrap=True)
    worst_is_error = False
    for finding in examine(line):
        console.print(f"{finding.level:7}", style=_COLOURS[finding.level], end="  ")
        console.print(f"{finding.check}: {finding.text}")
        if finding.remedy:
            console.print(f"{'':7}  remedy: {finding.remedy}")
        worst_is_error |= finding.level == "error"
    raise typer.Exit(1 if worst_is_error else 0)


@app.command()
def demo(
    parts: Annotated[int | None, typer.Option(min=1, help="stop after so many parts")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="write the summary there as JSON")
    ] = None,
    rate: Annotated[float, typer.Option(min=0.2, max=14, help="parts per second")] = 2.0,
    seed: Annotated[int, typer.Option(help="same seed, same cups")] = 1,
    defect_rate: Annotated[float, typer.Option(min=0, max=1, help="share of bad cups")] = 0.2,
    trigger: Annotated[Trigger, typer.Option(help="what makes the camera expose")] = "hardware",
    encoder: Annotated[bool, typer.Option(help="the gate follows the belt by its encoder")] = False,
    recipe: Annotated[
        Path | None, typer.Option(help="folder of the recipe that judges; type-01's unless given")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="parts looked at side by side")] = 1,
    drawn: Annotated[
        int | None, typer.Option(min=1, help="draw so many cups; the same come again and again")
    ] = None,
    faults: Annotated[
        str, typer.Option(help="a fault scenario; a wrong name lists them all")
    ] = "none",
    directory: Annotated[
        Path,
        typer.Option(help="ledger, pictures and logs of the demo; a former demo's are deleted"),
    ] = Path("var/demo"),
) -> None:
    """Run the whole simulated plant: conveyor, camera, line, PLC; compare the gate with the truth."""
    from inspector.demo import RECIPE, DemoOptions, run_demo

    code = run_demo(
        DemoOptions(
            parts=parts,
            json_file=json_file,
            rate_hz=rate,
            seed=seed,
            defect_rate=defect_rate,
            trigger=trigger,
            encoder=encoder,
            recipe=recipe or RECIPE,
            workers=workers,
            drawn=drawn,
            faults=faults,
            directory=directory,
        )
    )
    raise typer.Exit(code)


@app.command()
def bench(
    recipe: Annotated[Path, typer.Option(help="folder of the recipe")],
    engine: Annotated[
        EngineName, typer.Option("--backend", help="what runs the networks")
    ] = "auto",
    models: Annotated[Path, typer.Option(help="folder of the networks")] = Path("models"),
    threads: Annotated[int, typer.Option(min=1, help="CPU threads a network may use")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="cups looked at side by side")] = 1,
    lanes: Annotated[int, typer.Option(min=1, help="cups that come at once")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="how often everything is done")] = 200,
    cup_type: Annotated[str, typer.Option("--type", help="rendered cups to look at")] = "type-01",
    rate: Annotated[
        float,
        typer.Option(min=0, help="then offer cups, so many a second, whether they are done or not"),
    ] = 0.0,
    seconds: Annotated[float, typer.Option(min=1, help="for how long")] = 60.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="write the figures there as JSON")
    ] = None,
) -> None:
    """Measure a recipe here: frame in memory to verdict, its networks alone, the machine's limit."""
    from inspector.demo import bench as measure

    check_results(json_file)
    measured = measure.bench(
        recipe,
        models,
        engine=engine,
        threads=threads,
        workers=workers,
        lanes=lanes,
        rounds=rounds,
        cup_type=cup_type,
        rate=rate,
        seconds=seconds,
    )
    Console().print(measure.table(measured))
    if json_file is not None:
        measure.save(measured, json_file)


def _method(context: typer.Context) -> None:
    """Hands a command to the method's own, which knows its options."""
    try:
        from inspector.detector.commands import app as method
    except ModuleNotFoundError as error:
        raise InspectorError(
            f"'{context.info_name}' needs the package {error.name}",
            "run: pip install 'inspector[train]'",
        ) from error
    arguments = [str(context.info_name), *context.args]
    code = get_command(method).main(arguments, prog_name="inspector", standalone_mode=False)
    raise typer.Exit(code or 0)


for _name, _about in _METHOD.items():
    app.command(
        _name,
        help=_about,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(_method)
