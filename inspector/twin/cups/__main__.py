"""``python -m inspector.twin.cups``: pictures of cups for people and for training."""

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from inspector.core.errors import InspectorError
from inspector.twin.cups.cup_types import CUP_TYPES, cup_type_named
from inspector.twin.cups.dataset import fingerprint, write_dataset
from inspector.twin.cups.dataset_plan import planned_pictures
from inspector.twin.cups.image_set import FrameFormat, write_image_set, write_picture
from inspector.twin.cups.picture import WET_SHARE
from inspector.twin.cups.sheet import contact_sheet

app = typer.Typer(name="twin", no_args_is_help=True, add_completion=False)


@app.callback()
def one_core() -> None:
    """Draw cups of the simulated plant: a data set, pictures of one cup type, a contact sheet."""
    cv2.setNumThreads(1)


@app.command()
def sheet(
    out: Annotated[Path, typer.Option(help="PNG or JPEG file to write.")],
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
    write_picture(out, np.vstack(rows))
    typer.echo(f"wrote {out}")


@app.command()
def dataset(
    out: Annotated[Path, typer.Option(help="Folder of the data set; it goes on where it was.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 1,
) -> None:
    """Write the data set of the paper's shape: few clean cups, test cups of every kind."""
    written = write_dataset(out, seed)
    total = len(planned_pictures(seed))
    with _progress() as progress:
        for _ in progress.track(written, total=total, description="drawing"):
            pass
    typer.echo(f"{out} holds {total} pictures of seed {seed}, fingerprint {fingerprint(out)}")


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
    wet: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the cups that carry drops.")
    ] = WET_SHARE,
) -> None:
    """Write frames, masks and truth in the layout of MVTec AD."""
    written = write_image_set(
        out,
        cup_type_named(cup_type),
        count,
        seed,
        defects=defects,
        frame_format=frame_format,
        wet_share=wet,
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
    try:
        app()
    except InspectorError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
