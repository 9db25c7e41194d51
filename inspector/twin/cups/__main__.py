"""``python -m inspector.twin.cups``: pictures of cups for people and for training."""

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from inspector.core.errors import InspectorError
from inspector.twin.cups.cup_types import CUP_TYPES, cup_type_named
from inspector.twin.cups.image_set import FrameFormat, write_image_set
from inspector.twin.cups.sheet import contact_sheet

app = typer.Typer(help="Draw cups of the twin.", no_args_is_help=True, add_completion=False)


@app.command()
def sheet(
    out: Annotated[Path, typer.Option(help="PNG file to write.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same cups.")] = 5,
    severity: Annotated[float, typer.Option(help="Of every defect, above 0 up to 1.")] = 0.6,
) -> None:
    """Draw a contact sheet: every type clean and with each defect, with masks."""
    with _progress() as progress:
        rows = list(
            progress.track(
                contact_sheet(seed, severity), total=len(CUP_TYPES), description="drawing types"
            )
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(out), np.vstack(rows)[..., ::-1]):
        raise InspectorError(f"cannot write {out}", "check the folder's rights and free space")
    typer.echo(f"wrote {out}")


@app.command()
def images(
    out: Annotated[Path, typer.Option(help="Folder of the set.")],
    cup_type: Annotated[str, typer.Option("--type", help="Name of the cup type.")] = "type-01",
    count: Annotated[int, typer.Option(min=1, help="How many cups.")] = 84,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same cups.")] = 1,
    defects: Annotated[bool, typer.Option("--defects", help="Test cups of each kind.")] = False,
    frame_format: Annotated[
        FrameFormat, typer.Option("--format", help="Of the frames.")
    ] = FrameFormat.JPG,
) -> None:
    """Write frames, masks and truth in the layout of MVTec AD."""
    written = write_image_set(
        out, cup_type_named(cup_type), count, seed, defects=defects, frame_format=frame_format
    )
    with _progress() as progress:
        for _ in progress.track(written, total=count, description=f"drawing {cup_type}"):
            pass
    typer.echo(f"wrote {count} cups to {out}")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )


def main() -> None:
    """Runs a command; a mistake of the user ends in one line and exit code 2."""
    cv2.setNumThreads(1)
    try:
        app()
    except InspectorError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
