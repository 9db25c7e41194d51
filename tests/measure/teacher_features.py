"""A teacher's features of folders of pictures, kept so that a measurement can be taken again."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from inspector.detector.memory_bank import Neighbourhood
from inspector.detector.networks import Adapter, features, load_teacher
from inspector.detector.preparation import prepare_frames, views_of
from inspector.engine import load_network
from inspector.recipe import Teacher
from inspector.recipe.manifest import ViewEntry
from inspector.recipe.weights import read_adapter

Kind = Literal["polar", "whole"]
VIEWS = {
    "polar": ViewEntry(kind="polar", rows=224, columns=784, contrast=4.0),
    "whole": ViewEntry(kind="whole", rows=280, columns=280),
}
NEIGHBOURHOODS: dict[str, Neighbourhood] = {"polar": "radius", "whole": "everywhere"}


def features_of(
    files: list[Path],
    kind: Kind,
    kept: Path,
    models: Path,
    depth: int = 0,
    contrast: float | None = None,
    teacher: str = Teacher().name,
    size: tuple[int, int] | None = None,
) -> tuple[Tensor, list[Path]]:
    """n×C×h×w float32 of length 1, and the pictures they are of: those in which a cup was found.

    Args:
        files: camera frames for ``polar``, any pictures for ``whole``.
        kind: of view.
        kept: where the features of just these files are, or are put.
        models: folder of the networks.
        depth: the teacher's blocks; 0 takes its own.
        contrast: of a polar view; None takes the one that recipes use.
        teacher: whose features.
        size: rows and columns of a polar view; None takes those that recipes use.
    """
    names = [str(path) for path in files]
    if kept.is_file():
        with np.load(kept) as archive:
            if archive["of"].tolist() == names:
                shown = [Path(name) for name in archive["shown"].tolist()]
                return torch.from_numpy(archive["features"]).float(), shown
    view = VIEWS[kind]
    if contrast is not None:
        view = view.model_copy(update={"contrast": contrast})
    if size is not None:
        view = view.model_copy(update={"rows": size[0], "columns": size[1]})
    if kind == "polar":
        segment = load_network(models / "background.onnx").run
        prepared = prepare_frames(files, segment, view, orientation=None)
    else:
        prepared = views_of(files, view)
    network = load_teacher(
        Teacher(teacher, rows=view.rows, columns=view.columns, depth=depth), models
    )
    unit = torch.nn.functional.normalize(features(network, prepared.views), dim=1).half()
    kept.parent.mkdir(parents=True, exist_ok=True)
    shown_names = [str(path) for path in prepared.files]
    np.savez(kept, features=unit.numpy(), of=names, shown=shown_names)
    return unit.float(), list(prepared.files)


def adapted(unit: Tensor, path: Path) -> Tensor:
    """Features of length 1 as the adapter in a file moves them."""
    channels = unit.shape[1]
    adapter = Adapter(channels)
    weights = {
        name.removeprefix("adapter."): torch.from_numpy(value)
        for name, value in read_adapter(path).items()
    }
    adapter.load_state_dict(weights)
    with torch.inference_mode():
        return adapter.on_maps(unit * channels**0.5)
