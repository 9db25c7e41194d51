"""Writes the data set of the paper's shape: 245 pictures of four cup types (§3), with truth.

Each cup type has a folder laid out like any image set (``image_set``); above them lie the data set's
parameters and its card.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from inspector.core.errors import InspectorError
from inspector.twin.cups.dataset_card import card, parameters
from inspector.twin.cups.dataset_plan import (
    PAPER_SHARES,
    PlannedPicture,
    Share,
    planned_pictures,
)
from inspector.twin.cups.image_set import (
    FrameFormat,
    Record,
    place_of,
    truth_file,
    write_cup,
    write_file,
    write_records,
)
from inspector.twin.cups.picture import draw_cup

_PARAMETERS: Final = "dataset.json"
_CARD: Final = "README.md"


class OtherFolderError(InspectorError):
    """The folder already holds something else."""


def write_dataset(
    folder: Path, seed: int, shares: Mapping[str, Share] = PAPER_SHARES
) -> Iterator[Path]:
    """Draws and writes a data set picture by picture; yields the path of each frame that is there.

    An interrupted run is taken up again: what is there and whole is kept, all else is drawn. The
    truth files name a picture once its files are written, and the card comes last. The same
    arguments and software write the same bytes, however often they were interrupted.

    Args:
        folder: where the data set goes; made if it is not there.
        seed: 0 or more.
        shares: what each cup type, by name, has in the set.

    Raises:
        OtherFolderError: the folder holds other files, or a data set of other parameters.
        ImageWriteError: a file cannot be written.
        UnknownCupTypeError: there is no cup type of that name.
    """
    _open(folder, json.dumps(parameters(seed, shares), indent=1) + "\n")
    planned = planned_pictures(seed, shares)
    for cup_type in shares:
        for part in ("train", "test"):
            pictures = [p for p in planned if (p.cup_type, p.part) == (cup_type, part)]
            yield from _write_part(folder / cup_type, part, pictures)
    write_file(folder / _CARD, card(seed, shares, fingerprint(folder)).encode())


def fingerprint(folder: Path) -> str:
    """SHA-256, in hex, over the truth files of a data set that is complete."""
    truths = sorted(folder.glob("*/truth-*.json"))
    return hashlib.sha256(b"".join(truth.read_bytes() for truth in truths)).hexdigest()


def _open(folder: Path, text: str) -> None:
    """Makes the folder the one of this data set, or goes on with it."""
    said = folder / _PARAMETERS
    if said.is_file():
        if said.read_text() != text:
            raise OtherFolderError(
                f"{folder} holds a data set of another seed or drawn by other software",
                "give another folder",
            )
        # A run that was killed may leave the file that it was just writing, under a hidden name.
        for unfinished in folder.rglob(".*.*.*"):
            unfinished.unlink()
    elif folder.is_dir() and any(folder.iterdir()):
        raise OtherFolderError(f"{folder} holds other files", "give an empty or a new folder")
    else:
        write_file(said, text.encode())


def _write_part(folder: Path, part: str, pictures: list[PlannedPicture]) -> Iterator[Path]:
    """The pictures of one cup type for training or test, and what is known about them."""
    known = _known(truth_file(folder, part))
    for picture in pictures:
        place = place_of(part, picture.defect)
        frame = str(place / f"{picture.name}.{FrameFormat.PNG}")
        if frame not in known or not _whole(folder, known[frame]):
            drawn = draw_cup(
                picture.cup_type,
                picture.seed,
                take=picture.take,
                defect=picture.defect,
                severity=picture.severity,
            )
            known[frame] = write_cup(folder, place, picture.name, drawn, FrameFormat.PNG)
            write_records(folder, part, list(known.values()))
        yield folder / frame


def _known(truth: Path) -> dict[str, Record]:
    """What a truth file says, by frame; nothing where it is missing or damaged."""
    try:
        records = json.loads(truth.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {record["frame"]: record for record in records}


def _whole(folder: Path, record: Record) -> bool:
    """Whether all files of a picture are there as they were written."""
    for role, digest in record["sha256"].items():
        path = folder / record[role]
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return False
    return True
