"""``python -m inspector.twin.bake``: renders the light of cup types anew, minutes of two cores each."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from inspector.core.files import write_atomically
from inspector.twin.bake.light import baked
from inspector.twin.bake.rendering import choose_processor, half_frame
from inspector.twin.bake.shapes import SHAPES, profile, turned


def main(
    out: Annotated[Path, typer.Option(help="folder; one below it for each cup type")],
    cup_types: Annotated[
        list[str] | None, typer.Option("--type", help="only these cup types")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="rays a pixel, before denoising")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="of the rays")] = 0,
) -> None:
    """Render each cup type under one lamp, as it is and in black, and write what the twin draws from."""
    choose_processor()
    with tempfile.TemporaryDirectory() as folder:
        for name in track(cup_types or list(SHAPES), description="rendering"):
            shape = SHAPES[name]
            mesh = turned(profile(shape))
            lit, gloss = (
                half_frame(shape, mesh, Path(folder), black=black, samples=samples, seed=seed)
                for black in (False, True)
            )
            for file, content in baked(shape, lit, gloss).items():
                write_atomically(out / name / file, content)


if __name__ == "__main__":
    typer.run(main)
