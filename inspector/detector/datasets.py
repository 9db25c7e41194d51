"""Which pictures of a folder are meant: clean ones to learn from, or test pictures with their truth."""

from dataclasses import dataclass
from pathlib import Path

from inspector.core.errors import RecipeError
from inspector.detector.pictures import picture_files

GOOD = "good"
_LAYOUT = "MVTec AD's layout: test/good, test/<kind>, ground_truth/<kind>/<name>_mask.png"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A test picture and its truth.

    Attributes:
        kind: ``good``, or the defect.
        path: the picture.
        mask: where it is defective; None for a good one.
    """

    kind: str
    path: Path
    mask: Path | None


def clean_files(folder: Path) -> list[Path]:
    """The clean pictures that a folder means; never a test picture.

    Args:
        folder: of pictures; or a data set in MVTec AD's layout or its ``train``: then ``train/good``
            alone, as in any folder the pictures in ``good`` alone where it has one.

    Raises:
        RecipeError: there are none, or the folder holds test pictures, or a data set's ``train`` several
            kinds of which none is called ``good``.
    """
    meant = (folder / "train" / GOOD, folder / "train", folder / GOOD)
    folder = next((clean for clean in meant if clean.is_dir()), folder)
    files = picture_files(folder)
    place = folder.resolve()
    below = any({"test", "ground_truth"} & {*path.relative_to(folder).parts} for path in files)
    if below or _is_tested(place) or _is_tested(place.parent):
        raise RecipeError(
            f"{folder} holds test pictures: what is judged must not have been learned",
            "give a folder of clean pictures alone, or a data set with train/good",
        )
    kinds = sorted({path.relative_to(folder).parts[0] for path in files if path.parent != folder})
    if folder.resolve().name == "train" and len(kinds) > 1:
        raise RecipeError(
            f"{folder} holds {', '.join(kinds)} and no {GOOD}: which of them are clean it does not say",
            "give the folder of the clean ones",
        )
    return files


def _is_tested(folder: Path) -> bool:
    """A data set's ``test`` or ``ground_truth``, told by what stands beside it."""
    beside = {"test": ("ground_truth", "train"), "ground_truth": ("test",)}
    return any((folder.parent / other).is_dir() for other in beside.get(folder.name, ()))


def labelled_files(folder: Path) -> list[Labelled]:
    """Every test picture of a data set in MVTec AD's layout, and its mask.

    Args:
        folder: the data set's. A mask may be called like its picture, with or without ``_mask``, and
            have any picture suffix.

    Raises:
        RecipeError: there are no test pictures, or not both clean and defective ones; one lies outside the
            kinds' folders, or a mask is missing.
    """
    test, truth = folder / "test", folder / "ground_truth"
    if not test.is_dir():
        raise RecipeError(f"there is no test folder in {folder}", f"give a data set in {_LAYOUT}")
    masks = {
        mask.relative_to(truth).with_suffix(""): mask
        for mask in (picture_files(truth) if truth.is_dir() else ())
    }
    labelled = []
    for path in picture_files(test):
        place = path.relative_to(test).with_suffix("")
        if place.parent == Path():
            raise RecipeError(f"{path} lies in no kind's folder", f"sort them as in {_LAYOUT}")
        kind = place.parts[0]
        named = place.with_name(f"{place.name}_mask")
        mask = masks.get(named, masks.get(place))
        if kind != GOOD and mask is None:
            raise RecipeError(
                f"{truth / named}.png is missing",
                "every defective picture needs its mask; clean ones lie in test/good",
            )
        labelled.append(Labelled(kind, path, None if kind == GOOD else mask))
    if len({one.kind == GOOD for one in labelled}) < 2:
        raise RecipeError(
            f"the {len(labelled)} test pictures of {folder} are not both clean and defective",
            "put clean ones into test/good and defective ones, with their masks, beside it",
        )
    return labelled
