"""Sets of pictures that studies measure on, as the networks see them; prepared once and kept on disk."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import RecipeError
from inspector.core.files import write_atomically
from inspector.detector.datasets import GOOD, Labelled, clean_files, labelled_files
from inspector.detector.evaluation import seen_cups, seen_whole
from inspector.detector.preparation import PIXEL_FORMAT, OnProgress, prepare_frames, views_of
from inspector.recipe.manifest import ViewEntry
from inspector.recipe.weights import file_sha256
from inspector.vision import FEWEST, OrientationReference, Segment

_KEPT_FORMAT = 4
"""Counts up when the same files lead to other views."""


@dataclass(frozen=True, slots=True)
class StudySet:
    """Clean and test pictures of one type. Two are equal when they come from the same files alike.

    Attributes:
        name: the folder's.
        fingerprint: hash of all files and of how they are seen.
        view: of the networks.
        clean: n×R×K×3 uint8 RGB, all clean training pictures.
        test: m×R×K×3 uint8 RGB, the test pictures that vision did not refuse.
        defective: m bool.
        masks: where they are defective, m times h×w bool; 384×384, or for whole pictures these reduced.
        refused: test pictures that vision refused; they are in no figure.
        turned: whether cups were turned upright.
    """

    name: str
    fingerprint: str
    view: ViewEntry
    clean: NDArray[np.uint8] = field(compare=False)
    test: NDArray[np.uint8] = field(compare=False)
    defective: NDArray[np.bool_] = field(compare=False)
    masks: tuple[NDArray[np.bool_], ...] = field(compare=False)
    refused: int = field(compare=False)
    turned: bool = field(compare=False)

    def about(self) -> str:
        """What a reader of its figures must know, in one line."""
        lie = "upright" if self.turned else "as they lie"
        cups = "" if self.view.kind == "whole" else f", cups {lie}"
        refused = f", {self.refused} more refused by vision" if self.refused else ""
        return (
            f"{self.name}: {len(self.clean)} clean pictures, {len(self.test)} test pictures{refused}"
            f"{cups}, {self.view.rows}×{self.view.columns} px."
        )

    @property
    def normal(self) -> NDArray[np.uint8]:
        """Every picture without a defect, of training and test."""
        return np.concatenate([self.clean, self.test[~self.defective]])


def set_folders(folder: Path) -> dict[str, Path]:
    """The sets that a folder means, by name: itself, or those in it.

    Raises:
        RecipeError: there are none.
    """
    if (folder / "train").is_dir():
        return {folder.resolve().name: folder}
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    found = {path.name: path for path in inside if (path / "train").is_dir()}
    if not found:
        raise RecipeError(
            f"{folder} is no data set and holds none",
            "give a folder with train/good, test/KIND and ground_truth/KIND, or a folder of such",
        )
    return found


def study_set(
    folder: Path,
    view: ViewEntry,
    kept: Path,
    background: Path,
    segment: Callable[[], Segment],
    on_progress: OnProgress = lambda _done, _of: None,
) -> StudySet:
    """A set as the networks see it: read back where it was prepared before.

    Cups are turned upright where there are clean frames enough to learn what that is; else they lie as
    they do in the frames.

    Args:
        folder: of a data set in MVTec AD's layout.
        view: of the networks.
        kept: folder for prepared views.
        background: file of the network that finds cups; not looked at for whole pictures.
        segment: opens it.
        on_progress: called on the way.

    Raises:
        RecipeError: a picture or mask cannot be used, or not both clean and defective ones are there.
    """
    name = folder.resolve().name
    files, labelled = clean_files(folder), labelled_files(folder)
    finder = None if view.kind == "whole" else background
    fingerprint = _fingerprint(folder, files, labelled, view, finder)
    path = kept / f"{name}-{fingerprint[:16]}.npz"
    if path.is_file():
        return _read(path, name, fingerprint, view)
    reference = None
    if view.kind == "whole":
        prepared = views_of(files, view, on_progress)
        seen = list(
            seen_whole(labelled, view, on_progress, bits=prepared.bits, aspect=prepared.aspect)
        )
    else:
        network = segment()
        orientation: Literal["learn"] | None = "learn" if len(files) >= FEWEST else None
        prepared = prepare_frames(
            files, network, view, orientation=orientation, on_progress=on_progress
        )
        if prepared.orientation is not None:
            upright = path.with_suffix(".orientation.npz")
            _keep(upright, prepared.orientation)
            reference = OrientationReference.load(upright)
        seen = list(seen_cups(labelled, network, reference, view, on_progress, bits=prepared.bits))
    shown = [one for one in seen if one.view is not None]
    ready = StudySet(
        name,
        fingerprint,
        view,
        prepared.views,
        test=np.array([one.view for one in shown]),
        defective=np.array([one.kind != GOOD for one in shown]),
        masks=tuple(one.mask for one in shown if one.mask is not None),
        refused=len(seen) - len(shown),
        turned=reference is not None,
    )
    if len(set(ready.defective)) < 2 or not any(mask.any() for mask in ready.masks):
        raise RecipeError(
            f"the test pictures of {name} that can be seen are not both clean and defective",
            "put clean ones into test/good and defective ones, with their masks, beside it",
        )
    _write(path, ready)
    return ready


def transfer_pairs(others: Sequence[StudySet], seed: int) -> NDArray[np.uint8]:
    """Eq. 12's pairs: every defective test picture of other types, each with a normal one of its type.

    Returns:
        P×2×R×K×3 uint8, the defective picture first.
    """
    random = np.random.default_rng((seed, 3))
    pairs = []
    for other in others:
        defective, normal = other.test[other.defective], other.normal
        beside = random.integers(len(normal), size=len(defective))
        pairs.append(np.stack([defective, normal[beside]], axis=1))
    return np.concatenate(pairs)


def _fingerprint(
    folder: Path,
    files: Sequence[Path],
    labelled: Sequence[Labelled],
    view: ViewEntry,
    background: Path | None,
) -> str:
    digest = hashlib.sha256(f"{_KEPT_FORMAT} {PIXEL_FORMAT} {view.model_dump_json()}".encode())
    if background is not None:
        digest.update(file_sha256(background).encode())
    masks = [one.mask for one in labelled if one.mask is not None]
    for path in (*files, *(one.path for one in labelled), *masks):
        digest.update(f"{path.relative_to(folder)} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _write(path: Path, ready: StudySet) -> None:
    stream = io.BytesIO()
    arrays: dict[str, Any] = {
        "clean": ready.clean,
        "test": ready.test,
        "defective": ready.defective,
        "refused": ready.refused,
        "turned": ready.turned,
    }
    arrays |= {f"mask{number}": mask for number, mask in enumerate(ready.masks)}
    np.savez_compressed(stream, **arrays)
    _keep(path, stream.getvalue())


def _keep(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise RecipeError(f"cannot write {path}: {error.strerror}", "make room there") from error


def _read(path: Path, name: str, fingerprint: str, view: ViewEntry) -> StudySet:
    try:
        with np.load(path, allow_pickle=False) as kept:
            test = kept["test"]
            masks = tuple(kept[f"mask{number}"] for number in range(len(test)))
            return StudySet(
                name,
                fingerprint,
                view,
                kept["clean"],
                test,
                kept["defective"],
                masks,
                int(kept["refused"]),
                bool(kept["turned"]),
            )
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise RecipeError(
            f"the prepared views in {path} are damaged", "delete that file: it is made again"
        ) from error
