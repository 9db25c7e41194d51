"""Clean pictures of things that are no cups become views as they are; too few or too odd ones do not."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.core.errors import RecipeError
from inspector.detector.preparation import chosen, views_of
from inspector.recipe.manifest import ViewEntry

VIEW = ViewEntry(kind="whole", rows=24, columns=36)


def pictures(folder: Path, shapes: Sequence[tuple[int, int]]) -> list[Path]:
    """Grey from left to right, each a little brighter."""
    files = []
    for number, (rows, columns) in enumerate(shapes):
        ramp = np.linspace(0, 200, columns, dtype=np.float32) + 5 * number
        files.append(folder / f"{number}.png")
        cv2.imwrite(str(files[-1]), np.tile(ramp.astype(np.uint8), (rows, 1)))
    return files


def ramp(number: int) -> NDArray[np.float32]:
    edges = (np.arange(36, dtype=np.float32) + 0.5) / 36
    return np.asarray(edges * 200 + 5 * number, np.float32)


def test_each_picture_is_a_view_of_the_size_asked_for(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    files = pictures(tmp_path, [(80, 120)] * 3)
    prepared = views_of(files, VIEW, lambda done, of: steps.append((done, of)))
    assert prepared.views.shape == (3, 24, 36, 3)
    assert prepared.views.dtype == np.uint8
    assert prepared.files == tuple(files)
    for number, view in enumerate(prepared.views):
        assert np.abs(view[..., 1].astype(float) - ramp(number)).max() < 4
    assert (prepared.refused, prepared.rejected) == ((), 0)
    assert (prepared.orientation, prepared.notes) == (None, ())
    assert steps == [(step, 6) for step in range(1, 7)]


def test_small_pictures_are_enlarged_smoothly(tmp_path: Path) -> None:
    view = views_of(pictures(tmp_path, [(8, 12)] * 2), VIEW).views[0]
    assert np.diff(view[0, :, 1].astype(int)).max() < 9


def test_pictures_of_several_sizes_are_taken_and_it_is_said_once(tmp_path: Path) -> None:
    prepared = views_of(pictures(tmp_path, [(80, 120), (40, 60), (80, 124), (40, 60)]), VIEW)
    assert prepared.views.shape[0] == 4
    (note,) = [note for note in prepared.notes if "sizes" in note]
    assert "3 sizes, from 60×40 to 124×80" in note


def test_a_picture_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"2\.png \(120×120\)"):
        views_of(pictures(tmp_path, [(80, 120), (80, 120), (120, 120)]), VIEW)


def test_exact_copies_are_reported_because_they_break_the_promise(tmp_path: Path) -> None:
    files = pictures(tmp_path, [(80, 120)] * 3)
    files[2].write_bytes(files[0].read_bytes())
    (note,) = views_of(files, VIEW).notes
    assert "1 of 3 pictures are exact copies" in note
    assert f"{files[2]} of {files[0]}" in note
    assert "promise more than they keep" in note


@pytest.mark.parametrize("count", [0, 1])
def test_one_picture_or_none_is_too_few_and_it_says_how_many_are_needed(
    tmp_path: Path, count: int
) -> None:
    with pytest.raises(RecipeError, match="at least 2 are needed; record more"):
        views_of(pictures(tmp_path, [(80, 120)] * count), VIEW)


def test_pictures_for_training_and_for_thresholds_are_never_the_same() -> None:
    training, held_out = chosen(20, 8, seed=3)
    assert len(training) == 8
    assert sorted(training + held_out) == list(range(20))
    assert chosen(20, 8, seed=3) == (training, held_out)
    assert chosen(20, 8, seed=4) != (training, held_out)
