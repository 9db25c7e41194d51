"""Which pictures a folder means: clean ones are never test pictures, and every defect has its mask."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.core.errors import RecipeError
from inspector.detector.datasets import clean_files, labelled_files

BOTTLE = Path(__file__).parents[3] / "shared" / "data" / "mvtec_bottle"


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.zeros((8, 8, 3), np.uint8))


@pytest.fixture
def bottles(tmp_path: Path) -> Path:
    fill(
        tmp_path,
        *("train/good/1.png", "train/good/2.jpg"),
        *("test/good/3.png", "test/crack/4.png", "test/crack/5.png"),
        *("ground_truth/crack/4_mask.png", "ground_truth/crack/5.bmp"),
    )
    return tmp_path


@pytest.mark.parametrize("given", [".", "train", "train/good"])
def test_a_data_set_s_clean_pictures_are_those_of_train_good(bottles: Path, given: str) -> None:
    assert [path.name for path in clean_files(bottles / given)] == ["1.png", "2.jpg"]
    assert all(path.parent == bottles / "train" / "good" for path in clean_files(bottles / given))


def test_a_plain_folder_means_all_its_pictures(tmp_path: Path) -> None:
    fill(tmp_path, "1.png", "monday/2.png")
    assert [path.name for path in clean_files(tmp_path)] == ["1.png", "2.png"]


def test_a_train_folder_of_several_kinds_without_good_is_not_learned_from(tmp_path: Path) -> None:
    fill(tmp_path, "train/ok/1.png", "train/scratched/2.png", "test/good/3.png")
    with pytest.raises(
        RecipeError, match=r"train holds ok, scratched and no good: which of them are clean"
    ):
        clean_files(tmp_path)
    with pytest.raises(RecipeError, match="train holds ok, scratched and no good"):
        clean_files(tmp_path / "train")
    assert [path.name for path in clean_files(tmp_path / "train/ok")] == ["1.png"]


def test_a_train_folder_of_one_kind_means_it_whatever_it_is_called(tmp_path: Path) -> None:
    fill(tmp_path, "train/OK/1.png", "test/good/2.png")
    assert [path.name for path in clean_files(tmp_path)] == ["1.png"]


@pytest.mark.parametrize("given", ["test", "test/good", "test/crack", "ground_truth/crack"])
def test_test_pictures_are_never_learned_from(bottles: Path, given: str) -> None:
    with pytest.raises(RecipeError, match="holds test pictures"):
        clean_files(bottles / given)


def test_a_folder_of_whole_data_sets_is_not_learned_from(tmp_path: Path) -> None:
    fill(tmp_path, "bottle/train/good/1.png", "bottle/test/good/2.png")
    with pytest.raises(RecipeError, match="holds test pictures"):
        clean_files(tmp_path)


def test_a_data_set_without_clean_pictures_is_not_learned_from(tmp_path: Path) -> None:
    fill(tmp_path, "test/good/1.png", "ground_truth/crack/2_mask.png")
    with pytest.raises(RecipeError, match="holds test pictures"):
        clean_files(tmp_path)


def test_every_test_picture_has_its_kind_and_every_defect_its_mask(bottles: Path) -> None:
    found = [
        (one.kind, one.path.name, one.mask and one.mask.name) for one in labelled_files(bottles)
    ]
    assert found == [
        ("crack", "4.png", "4_mask.png"),
        ("crack", "5.png", "5.bmp"),
        ("good", "3.png", None),
    ]


def test_a_defective_picture_without_a_mask_is_refused_by_name(bottles: Path) -> None:
    (bottles / "ground_truth/crack/5.bmp").unlink()
    with pytest.raises(RecipeError, match=r"crack/5_mask\.png is missing"):
        labelled_files(bottles)


def test_clean_test_pictures_that_lie_elsewhere_are_told_where_they_belong(tmp_path: Path) -> None:
    fill(tmp_path, "test/OK/1.png")
    with pytest.raises(
        RecipeError, match=r"OK/1_mask\.png is missing; .*clean ones lie in test/good"
    ):
        labelled_files(tmp_path)


def test_without_any_masks_the_first_is_missed_by_name(tmp_path: Path) -> None:
    fill(tmp_path, "test/hole/1.png")
    with pytest.raises(RecipeError, match=r"hole/1_mask\.png is missing"):
        labelled_files(tmp_path)


def test_a_picture_outside_the_kinds_folders_is_refused(bottles: Path) -> None:
    fill(bottles, "test/stray.png")
    with pytest.raises(RecipeError, match=r"stray\.png lies in no kind's folder; .*test/<kind>"):
        labelled_files(bottles)


@pytest.mark.parametrize("missing", ["good", "crack"])
def test_test_pictures_of_one_side_alone_are_refused_before_they_are_looked_at(
    bottles: Path, missing: str
) -> None:
    for path in (bottles / "test" / missing).iterdir():
        path.unlink()
    with pytest.raises(RecipeError, match="not both clean and defective; put clean ones into"):
        labelled_files(bottles)


def test_a_folder_without_test_pictures_is_refused_with_the_layout(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no test folder in .*; .*ground_truth/<kind>"):
        labelled_files(tmp_path)


@pytest.mark.skipif(not BOTTLE.is_dir(), reason="needs ../shared/data/mvtec_bottle")
def test_the_bottles_are_read_as_they_come() -> None:
    clean, labelled = clean_files(BOTTLE), labelled_files(BOTTLE)
    assert {path.parent for path in clean} == {BOTTLE / "train" / "good"}
    assert not {path.resolve() for path in clean} & {one.path.resolve() for one in labelled}
    assert {one.kind for one in labelled} == {
        "good",
        "broken_large",
        "broken_small",
        "contamination",
    }
    assert all((one.mask is None) == (one.kind == "good") for one in labelled)
