"""Whole camera frames become cup images that all lie alike, and what shows no cup is left out."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.core.errors import RecipeError
from inspector.detector.preparation import ORIENTATION, Prepared, prepare_frames
from inspector.engine import load_network
from inspector.recipe.manifest import ViewEntry
from inspector.twin.cups import draw_cup, empty_belt
from inspector.vision import UPRIGHT, OrientationReference

BACKGROUND = Path(__file__).parents[2] / "models" / "background.onnx"
POLAR = ViewEntry(kind="polar", rows=112, columns=392)
segment = load_network(BACKGROUND).run


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Ten clean cups at angles all around, and one empty belt."""
    folder = tmp_path_factory.mktemp("frames")
    frames = [draw_cup("type-01", seed, angle_deg=36.0 * seed).frame for seed in range(10)]
    files = []
    for number, frame in enumerate([*frames, empty_belt(0)]):
        files.append(folder / f"{number}.jpg")
        cv2.imwrite(str(files[-1]), frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    return files


@pytest.fixture(scope="module")
def prepared(files: list[Path]) -> Prepared:
    return prepare_frames(files, segment, UPRIGHT, orientation="learn")


def likeness(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_every_cup_becomes_an_image_and_the_empty_belt_is_left_out(
    prepared: Prepared, files: list[Path]
) -> None:
    assert prepared.views.shape == (10, 384, 384, 3)
    assert prepared.files == tuple(files[:10])
    assert prepared.refused == ((files[10], "no whole cup in the picture"),)
    assert prepared.rejected == 1


def test_all_lie_alike_however_they_came(prepared: Prepared) -> None:
    images = prepared.views.astype(np.float32)
    row, column = np.mgrid[:384, :384]
    distance = np.hypot(row - 191.5, column - 191.5)
    printed_ring = np.where((distance > 100) & (distance < 150), 1, 0)
    green = (images[..., 1] - images[..., 0]) * printed_ring
    green_print = np.where(printed_ring, green - np.median(green[:, printed_ring > 0]), 0)
    expected = green_print.mean(axis=0)
    for one in green_print:
        # Cups lean, so the print on the wall moves a little against the rim.
        assert likeness(one, expected) > 0.7 > likeness(np.rot90(one), expected)


def test_the_reference_learned_turns_further_frames_alike(
    prepared: Prepared, files: list[Path], tmp_path: Path
) -> None:
    assert prepared.orientation is not None
    (tmp_path / ORIENTATION).write_bytes(prepared.orientation)
    reference = OrientationReference.load(tmp_path / ORIENTATION)
    again = prepare_frames(files[:2], segment, UPRIGHT, orientation=reference)
    assert np.array_equal(again.views, prepared.views[:2])
    assert again.orientation is None


@pytest.mark.parametrize("view", [UPRIGHT, POLAR])
def test_a_few_frames_are_enough_where_cups_are_left_as_they_lie(
    files: list[Path], view: ViewEntry
) -> None:
    steps: list[tuple[int, int]] = []
    seen = prepare_frames(
        files[:3],
        segment,
        view,
        orientation=None,
        on_progress=lambda done, of: steps.append((done, of)),
    )
    assert seen.views.shape == (3, view.rows, view.columns, 3)
    assert seen.orientation is None
    assert steps == [(step, 9) for step in range(1, 10)]
    if view is UPRIGHT:
        # 36° further, the print of one cup does not lie on that of the next.
        first, second = (one[..., 1].astype(float) - one[..., 0] for one in seen.views[:2])
        turn = cv2.getRotationMatrix2D((191.5, 191.5), 36.0, 1.0)
        turned = cv2.warpAffine(first, turn, (384, 384))
        assert likeness(turned, second) > likeness(first, second)


def test_several_cups_in_one_frame_teach_nothing_but_the_line_would_not_refuse_them(
    files: list[Path], tmp_path: Path
) -> None:
    frame = cv2.imread(str(files[0]))
    assert frame is not None
    two = cv2.resize(np.hstack([frame, frame]), (frame.shape[1], frame.shape[0] // 2))
    above = cv2.copyMakeBorder(two, 0, frame.shape[0] - len(two), 0, 0, cv2.BORDER_REPLICATE)
    cv2.imwrite(str(tmp_path / "two.png"), above)
    both = [*files[:2], files[10], tmp_path / "two.png"]
    seen = prepare_frames(both, segment, UPRIGHT, orientation=None)
    assert dict(seen.refused)[tmp_path / "two.png"] == "2 whole cups in the picture"
    assert seen.rejected == 1


def test_too_few_frames_for_a_print_are_refused_with_both_ways_out(files: list[Path]) -> None:
    with pytest.raises(RecipeError, match=r"too few to learn a print from.*8.*without turning"):
        prepare_frames(files[:3], segment, UPRIGHT, orientation="learn")


def test_pictures_without_any_cup_are_refused_with_the_way_out(files: list[Path]) -> None:
    with pytest.raises(RecipeError, match=r"none of 1 pictures .*10\.jpg; .*--no-background"):
        prepare_frames(files[10:], segment, UPRIGHT, orientation="learn")


def test_one_cup_is_too_few(files: list[Path]) -> None:
    with pytest.raises(RecipeError, match=r"1 of 2 clean pictures .* at least 2 are needed"):
        prepare_frames(files[9:], segment, UPRIGHT, orientation=None)


def test_a_broken_frame_is_named_before_anything_is_learned(
    files: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(files[0].read_bytes()[:50_000])
    looked: list[int] = []

    def watched(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        looked.append(len(pictures))
        return segment(pictures)

    with pytest.raises(RecipeError, match=r"broken\.jpg is truncated"):
        prepare_frames([*files, broken], watched, UPRIGHT, orientation="learn")
    assert not looked
