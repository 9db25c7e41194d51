"""Test pictures are judged as the line would judge them, and counted as one would count by hand."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.core.errors import RecipeError
from inspector.decision import Calibration
from inspector.detector.datasets import Labelled, clean_files, labelled_files
from inspector.detector.evaluation import Seen, evaluate, seen_cups, seen_whole
from inspector.detector.preparation import views_of
from inspector.engine import load_network
from inspector.recipe.manifest import ViewEntry
from inspector.twin.cups import DefectKind, draw_cup, empty_belt
from inspector.vision import SIZE, UPRIGHT

PROJECT = Path(__file__).parents[2]
BOTTLE = PROJECT.parent / "shared" / "data" / "mvtec_bottle"
CALIBRATION = Calibration(q_a=-1.0, q_b=-0.5, image_threshold=0.5, pixel_threshold=0.5)
WHOLE = ViewEntry(kind="whole", rows=96, columns=96)


def brightness(views: NDArray[np.uint8]) -> NDArray[np.float32]:
    """As hot as the picture is bright, in 12×12 cells."""
    cells = [cv2.resize(view[..., 0], (12, 12), interpolation=cv2.INTER_AREA) for view in views]
    return np.asarray(-np.stack(cells).astype(np.float32) / 100)


def seen(kind: str, brightness: int) -> Seen:
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[:64, :64] = brightness
    mask = np.zeros((SIZE, SIZE), np.bool_)
    mask[:64, :64] = kind != "good"
    return Seen(f"{kind}/1", kind, image, image, mask)


def refused(kind: str) -> Seen:
    return Seen(f"{kind}/2", kind, None, None, None)


def test_every_count_by_hand_and_what_vision_refuses_counts_as_rejected() -> None:
    pictures = [
        *(seen("good", bright) for bright in (5, 60, 1)),
        refused("good"),
        *(seen("crack", bright) for bright in (90, 20)),
        refused("hole"),
    ]
    result = evaluate(CALIBRATION, UPRIGHT, iter(pictures), brightness)
    assert result.detection_rate == pytest.approx(2 / 3)
    assert result.false_reject_rate == pytest.approx(2 / 4)
    assert result.figures.image_auroc == pytest.approx(5 / 6)
    assert result.figures.image_f1 == pytest.approx(1 / 2)
    assert result.figures.pixel_auroc > 0.9
    counts = {kind: (c.images, c.rejected, c.refused) for kind, c in result.kinds.items()}
    assert counts == {"crack": (2, 1, 0), "good": (4, 2, 1), "hole": (1, 1, 1)}
    told_apart = {kind: one.image_auroc for kind, one in result.kinds.items()}
    assert told_apart == {"crack": pytest.approx(5 / 6), "good": None, "hole": None}
    assert [one.rejected for one in result.judged] == [False, True, False, True, False]


def test_the_result_can_be_written_as_json() -> None:
    result = evaluate(CALIBRATION, UPRIGHT, [seen("good", 5), seen("crack", 90)], brightness)
    read = json.loads(json.dumps(result.as_json(), allow_nan=False))
    assert read["image_auroc"] == 1.0
    assert read["kinds"]["crack"] == {
        "images": 1,
        "rejected": 1,
        "refused": 0,
        "image_auroc": 1.0,
    }
    assert "judged" not in read


@pytest.mark.parametrize("pictures", [["good"], ["crack"], []])
def test_without_both_clean_and_defective_pictures_there_is_nothing_to_tell(
    pictures: list[str],
) -> None:
    with pytest.raises(RecipeError, match="not both clean and defective"):
        evaluate(CALIBRATION, UPRIGHT, [seen(kind, 50) for kind in pictures], brightness)


def test_masks_that_mark_nothing_are_refused() -> None:
    bad = seen("crack", 90)
    empty = Seen(bad.name, bad.kind, bad.view, bad.picture, np.zeros((SIZE, SIZE), np.bool_))
    with pytest.raises(RecipeError, match="no mask marks a single pixel"):
        evaluate(CALIBRATION, UPRIGHT, [seen("good", 5), empty], brightness)


def data_set(folder: Path, rows: int, columns: int) -> Path:
    """Dark pictures, one with a bright square that its mask marks."""
    for part in ("test/good", "test/square", "ground_truth/square"):
        (folder / part).mkdir(parents=True)
    dark = np.full((rows, columns, 3), 10, np.uint8)
    mask = np.zeros((rows, columns), np.uint8)
    mask[rows // 4 : rows // 2, columns // 2 : columns * 3 // 4] = 1
    bright = np.where(mask[..., None] > 0, 200, dark).astype(np.uint8)
    cv2.imwrite(str(folder / "test/good/1.png"), dark)
    cv2.imwrite(str(folder / "test/good/2.png"), dark + 1)
    cv2.imwrite(str(folder / "test/square/1.png"), bright)
    cv2.imwrite(str(folder / "ground_truth/square/1_mask.png"), mask)
    return folder


@pytest.mark.parametrize("shape", [(96, 96), (600, 900), (40, 50)])
def test_whole_pictures_of_any_size_are_compared_with_their_masks(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    labelled = labelled_files(data_set(tmp_path, *shape))
    steps: list[tuple[int, int]] = []
    pictures = seen_whole(labelled, WHOLE, lambda done, of: steps.append((done, of)))
    result = evaluate(CALIBRATION, WHOLE, pictures, brightness)
    assert steps == [(step, 6) for step in range(1, 7)]
    assert result.figures.image_auroc == 1.0
    assert result.figures.pixel_auroc > 0.995
    assert result.figures.au_pro > 0.97
    square = next(one for one in result.judged if one.kind == "square")
    assert max(square.mask.shape) == min(max(shape), SIZE)
    assert square.mask.shape == square.heat.shape == square.picture.shape[:2]
    assert square.mask.mean() == pytest.approx(1 / 16, rel=0.1)


def test_a_defect_too_fine_for_the_grid_still_counts(tmp_path: Path) -> None:
    folder = data_set(tmp_path, 1600, 1600)
    mask = np.zeros((1600, 1600), np.uint8)
    mask[800] = 255
    cv2.imwrite(str(folder / "ground_truth/square/1_mask.png"), mask)
    bad = next(one for one in seen_whole(labelled_files(folder), WHOLE) if one.kind == "square")
    assert bad.mask is not None
    assert bad.mask.any(axis=1).sum() == 1
    assert bad.mask.any(axis=0).all()


def test_a_mask_of_another_shape_is_refused_by_name_before_a_picture_is_judged(
    tmp_path: Path,
) -> None:
    folder = data_set(tmp_path, 60, 80)
    cv2.imwrite(str(folder / "ground_truth/square/1_mask.png"), np.ones((60, 60), np.uint8))
    with pytest.raises(RecipeError, match=r"1_mask\.png has 60×60 pixels, its picture 80×60"):
        next(seen_whole(labelled_files(folder), WHOLE))


def test_a_broken_test_picture_is_refused_by_name(tmp_path: Path) -> None:
    folder = data_set(tmp_path, 60, 80)
    (folder / "test/good/2.png").write_bytes(b"")
    with pytest.raises(RecipeError, match=r"good/2\.png is empty"):
        next(seen_whole(labelled_files(folder), WHOLE))


@pytest.mark.parametrize("view", [UPRIGHT, ViewEntry(kind="polar", rows=112, columns=392)])
def test_cups_are_seen_as_the_line_sees_them_with_their_masks_turned_alike(
    tmp_path: Path, view: ViewEntry
) -> None:
    frame, truth = draw_cup("type-02", 52, defect=DefectKind.HOLE, severity=1.0, droplets=0)
    clean = draw_cup("type-02", 52, droplets=0).frame
    labelled: list[Labelled] = []
    for kind, picture in (("hole", frame), ("good", clean), ("good", empty_belt(0))):
        path = tmp_path / f"{len(labelled)}.png"
        cv2.imwrite(str(path), picture[..., ::-1])
        labelled.append(Labelled(kind, path, tmp_path / "mask.bmp" if kind == "hole" else None))
    cv2.imwrite(str(tmp_path / "mask.bmp"), truth.defect_mask.astype(np.uint8))
    segment = load_network(PROJECT / "models" / "background.onnx").run
    hole, good, belt = seen_cups(labelled, segment, None, view)
    assert (belt.view, belt.picture, belt.mask) == (None, None, None)
    assert hole.picture is not None
    assert hole.mask is not None
    assert good.picture is not None
    assert good.mask is not None
    assert hole.view is not None
    assert hole.view.shape == (view.rows, view.columns, 3)
    assert not good.mask.any()
    changed = cv2.absdiff(hole.picture, good.picture).sum(axis=2)
    assert changed[hole.mask].mean() > 5 * changed[~hole.mask].mean()


@pytest.mark.skipif(not BOTTLE.is_dir(), reason="needs ../shared/data/mvtec_bottle")
def test_bottles_judged_by_their_difference_to_the_median_picture() -> None:
    view = ViewEntry(kind="whole", rows=64, columns=64)
    clean = views_of(clean_files(BOTTLE)[:20], view).views
    median = np.median(clean, axis=0)

    def difference(views: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(-np.abs(views - median).mean(axis=-1) / 100, np.float32)

    few = [one for one in labelled_files(BOTTLE) if one.path.stem < "006"]
    result = evaluate(CALIBRATION, view, seen_whole(few, view), difference)
    assert {kind: counts.images for kind, counts in result.kinds.items()} == {
        "broken_large": 6,
        "broken_small": 6,
        "contamination": 6,
        "good": 6,
    }
    assert result.figures.pixel_auroc > 0.75
    assert result.figures.au_pro > 0.5
    assert {one.mask.shape for one in result.judged} == {(SIZE, SIZE)}
