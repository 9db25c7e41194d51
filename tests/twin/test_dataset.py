"""The data set of the paper's shape: what it holds, and that it is whole and the same every time."""

import json
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.twin.cups import CUP_TYPES, DefectKind, Stance, draw_cup
from inspector.twin.cups.camera import through_mosaic
from inspector.twin.cups.dataset import OtherFolderError, fingerprint, write_dataset
from inspector.twin.cups.dataset_plan import (
    HELD_OUT_KIND,
    PAPER_SHARES,
    Share,
    planned_pictures,
)
from inspector.twin.cups.image_set import ImageWriteError

SMALL = {
    "type-03": Share(2, 1, 1, {DefectKind.STAIN: 1, HELD_OUT_KIND: 1}, (0.2, 0.8)),
    "type-04": Share(1, 1, 0, {DefectKind.CHIP: 1}, (0.4, 1.0)),
}
PLAN = planned_pictures(1)


@pytest.fixture(autouse=True)
def one_core() -> None:
    cv2.setNumThreads(1)


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "set"
    assert all(frame.is_file() for frame in write_dataset(folder, 7, SMALL))
    return folder


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def records(folder: Path, cup_type: str) -> list[dict[str, Any]]:
    parts = (folder / cup_type / f"truth-{part}.json" for part in ("train", "test"))
    return [record for part in parts for record in json.loads(part.read_text())]


def inspector(*arguments: object, before: str = "") -> subprocess.CompletedProcess[str]:
    command = f'{before} exec "$@"'
    given = [sys.executable, "-m", "inspector", *map(str, arguments)]
    return subprocess.run(
        ["bash", "-c", command, "bash", *given], capture_output=True, text=True, check=False
    )


def marks_of_the_base(cup_type: str, seed: int, take: int) -> NDArray[np.float32]:
    """The fine marks on a cup's base, turned the same way in every picture."""
    frame = draw_cup(
        cup_type, seed, take=take, angle_deg=40, stance=Stance((0.0, 0.0)), droplets=0
    ).frame
    base = frame[780:1080, 1290:1590].mean(axis=2, dtype=np.float32)
    fine = cv2.GaussianBlur(base, (0, 0), 1.5) - cv2.GaussianBlur(base, (0, 0), 6)
    return np.asarray(fine, np.float32).clip(-4, 4)


def alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@pytest.mark.parametrize("cup_type", CUP_TYPES)
def test_another_take_shows_the_marks_of_the_same_cup(cup_type: str) -> None:
    first, again = (marks_of_the_base(cup_type, 5, take) for take in (0, 1))
    others = [marks_of_the_base(cup_type, seed, 0) for seed in (6, 7)]
    assert alike(first, again) > max(alike(first, other) for other in others) + 0.05


def test_another_take_is_another_photograph() -> None:
    first, again = (draw_cup("type-02", 5, take=take) for take in (0, 1))
    assert first.frame.tobytes() == draw_cup("type-02", 5).frame.tobytes()
    assert (first.truth.take, again.truth.take) == (0, 1)
    assert first.truth.angle_deg != again.truth.angle_deg
    assert first.truth.centre_xy != again.truth.centre_xy
    corners = [picture.frame[:200, :200].astype(int) for picture in (first, again)]
    assert np.count_nonzero(corners[0] != corners[1]) > 10_000


def test_a_defect_stays_where_it_is_on_the_cup_in_every_take() -> None:
    seen = []
    for take in range(3):
        truth = draw_cup("type-03", 9, take=take, defect=DefectKind.CRACK).truth
        rows, columns = np.nonzero(truth.defect_mask)
        x, y = columns.mean() - truth.centre_xy[0], truth.centre_xy[1] - rows.mean()
        around = (np.rad2deg(np.arctan2(y, x)) - truth.angle_deg) % 360
        seen.append((around, np.hypot(x, y)))
    assert np.ptp(seen, axis=0) == pytest.approx((0, 0), abs=3)


def test_the_data_set_has_the_shape_of_the_papers() -> None:
    assert len(PLAN) == 245
    training = Counter(picture.cup_type for picture in PLAN if picture.part == "train")
    assert training == {"type-01": 84, "type-02": 5, "type-03": 5, "type-04": 3}
    assert all(picture.defect is None for picture in PLAN if picture.part == "train")
    test = [picture for picture in PLAN if picture.part == "test"]
    clean = sum(picture.defect is None for picture in test)
    assert len(test) == 148
    assert 0.3 < clean / len(test) < 0.37
    for cup_type in CUP_TYPES:
        kinds = {picture.defect for picture in test if picture.cup_type == cup_type}
        assert kinds == {None, *DefectKind}


def test_the_types_with_few_pictures_show_one_cup_and_no_test_cup_is_a_training_cup() -> None:
    for cup_type in CUP_TYPES:
        own = [picture for picture in PLAN if picture.cup_type == cup_type]
        training = [(picture.seed, picture.take) for picture in own if picture.part == "train"]
        test = [picture.seed for picture in own if picture.part == "test"]
        cups = {seed for seed, _ in training}
        assert len(cups) == (84 if cup_type == "type-01" else 1)
        assert len(set(training)) == len(training)
        assert len(set(test)) == len(test)
        assert not cups & set(test)


def test_severities_are_spread_and_the_types_with_few_pictures_have_the_faint_ones() -> None:
    def severities(*cup_types: str) -> list[float]:
        return [p.severity for p in PLAN if p.defect is not None and p.cup_type in cup_types]

    plain, faint = severities("type-01"), severities("type-02", "type-03", "type-04")
    assert np.mean(faint) < np.mean(plain) - 0.1
    for cup_type, share in PAPER_SHARES.items():
        low, high = share.severities
        of_type = severities(cup_type)
        assert low <= min(of_type) < low + 0.1
        assert high - 0.1 < max(of_type) <= high
    mould = [p.severity for p in PLAN if (p.cup_type, p.defect) == ("type-01", DefectKind.MOULD)]
    assert np.all(np.diff(np.sort(mould)) < 2 * 0.6 / len(mould))


def test_another_seed_plans_other_cups() -> None:
    assert planned_pictures(1) == PLAN
    other = planned_pictures(2)
    assert not {picture.seed for picture in PLAN} & {picture.seed for picture in other}


def test_a_written_set_has_the_layout_of_mvtec_ad_with_exact_masks(small_set: Path) -> None:
    written = set(files(small_set))
    for record in records(small_set, "type-03") + records(small_set, "type-04"):
        folder = small_set / record["cup_type"]
        frame = np.asarray(cv2.imread(str(folder / record["frame"]), cv2.IMREAD_COLOR_RGB))
        kinds = [DefectKind(defect["kind"]) for defect in record["defects"]]
        again = draw_cup(
            record["cup_type"],
            record["seed"],
            take=record["take"],
            defect=kinds[0] if kinds else None,
            severity=record["defects"][0]["severity"] if kinds else 1.0,
        )
        assert np.array_equal(frame, through_mosaic(again.frame))
        masks = [("cup_mask", again.truth.cup_mask)]
        if kinds:
            masks.append(("defect_mask", again.truth.defect_mask))
            kind, name = kinds[0], Path(record["frame"]).stem
            assert record["frame"] == f"test/{kind}/{name}.png"
            assert record["defect_mask"] == f"ground_truth/{kind}/{name}_mask.png"
        for role, mask in masks:
            stored = np.asarray(cv2.imread(str(folder / record[role]), cv2.IMREAD_UNCHANGED))
            assert np.array_equal(stored, 255 * mask)
        written -= {f"{record['cup_type']}/{record[role]}" for role in record["sha256"]}
    truths = {f"{name}/truth-{part}.json" for name in SMALL for part in ("train", "test")}
    assert written == {"README.md", "dataset.json", *truths}


def test_the_card_states_every_parameter_and_the_kind_that_is_held_out(small_set: Path) -> None:
    said = json.loads((small_set / "dataset.json").read_text())
    card = (small_set / "README.md").read_text()
    assert said["seed"] == 7
    assert said["pictures"] == 7
    assert said["held_out_kind"] == "residue"
    assert said["cup_types"]["type-03"]["test_defective"] == {"stain": 1, "residue": 1}
    assert said["cup_types"]["type-03"]["severities"] == [0.2, 0.8]
    assert "held-out kind is `residue`" in card
    (cup,) = {record["seed"] for record in records(small_set, "type-03")[:2]}
    assert f"type-03 all show the cup of seed {cup}" in card
    assert fingerprint(small_set) in card
    for what, version in said["software"].items():
        assert version in card, what


def test_an_interrupted_set_is_taken_up_again_and_ends_with_the_same_bytes(
    small_set: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    damaged, kept = islice(write_dataset(folder, 7, SMALL), 2)
    assert not (folder / "README.md").exists()
    whole = kept.stat().st_ino
    damaged.write_bytes(damaged.read_bytes()[:-100])
    (kept.parent / ".002.png.ab12cd").write_bytes(b"what a killed run was writing")

    assert len(list(write_dataset(folder, 7, SMALL))) == 7
    assert kept.stat().st_ino == whole
    assert files(folder) == files(small_set)


def test_a_folder_that_holds_something_else_is_left_alone(small_set: Path, tmp_path: Path) -> None:
    before = files(small_set)
    with pytest.raises(OtherFolderError, match="another seed"):
        next(write_dataset(small_set, 8, SMALL))
    assert files(small_set) == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OtherFolderError, match="holds other files; give an empty"):
        next(write_dataset(tmp_path, 7, SMALL))
    assert files(tmp_path) == {"notes.txt": b"mine"}


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImageWriteError, match=r"cannot write .*file/set.*rights and free space"):
        next(write_dataset(tmp_path / "file" / "set", 7, SMALL))


def test_a_full_disk_ends_in_one_line_and_leaves_no_half_written_file(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    # A limit on the size of a file stops a write in its middle, as a full disk does.
    done = inspector("twin", "dataset", "--out", folder, before="ulimit -f 1024;")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"inspector: cannot write {folder}/type-01/train/good/000.png")
    assert set(files(folder)) == {"dataset.json"}


def test_the_command_line_offers_the_twin_but_starts_without_its_libraries() -> None:
    assert "twin" in inspector("--help").stdout
    offered = inspector("twin", "--help").stdout
    assert all(command in offered for command in ("dataset", "images", "sheet"))
    program = (
        "import sys, inspector.cli as cli;"
        "early = [name for name in ('cv2', 'numpy', 'torch') if name in sys.modules];"
        "import inspector.twin.cups.__main__;"
        "late = [name for name in ('torch', 'timm', 'safetensors') if name in sys.modules];"
        "print(early + late)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_mistake_in_a_command_of_the_twin_ends_in_one_line(tmp_path: Path) -> None:
    done = inspector("twin", "images", "--type", "mug", "--out", tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("inspector: the twin has no cup type 'mug'; use one of")
