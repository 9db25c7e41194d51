"""The sheet shows what tells most about a detector: its misses and false alarms first."""

import unicodedata
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.core.errors import RecipeError
from inspector.decision import Calibration
from inspector.detector.evaluation import Judged
from inspector.detector.overlays import ROWS, heat_colours, telling_cases, write_sheet

CALIBRATION = Calibration(q_a=-1.0, q_b=-0.5, image_threshold=1.0, pixel_threshold=2.0)
MISSED, ALARMS, MEDIAN, BEST = ROWS
PINK = (255, 0, 255)


def judged(kind: str, score: float, rows: int = 90, columns: int = 90) -> Judged:
    mask = np.zeros((rows, columns), np.bool_)
    mask[20:40, 20:40] = kind != "good"
    heat = np.zeros((rows, columns), np.float32)
    heat[50:70, 50:70] = score
    picture = np.full((rows, columns, 3), 90, np.uint8)
    return Judged(f"{kind}/{score:g}", kind, picture, mask, heat, score, not score <= 1.0)


def row(judgements: list[Judged], title: str, each: int = 4) -> list[float]:
    cases = telling_cases(judgements, CALIBRATION, each)
    return [case.judged.score for case in cases if case.row == title]


ALL = [judged("crack", s) for s in (0.2, 5.0, 0.1, 2.0, 3.0)] + [
    judged("good", s) for s in (0.3, 1.5, 0.5, 4.0)
]


def test_the_worst_misses_and_the_loudest_false_alarms_come_first() -> None:
    assert row(ALL, MISSED) == [0.1, 0.2]
    assert row(ALL, ALARMS) == [4.0, 1.5]
    assert row(ALL, BEST) == [5.0, 3.0, 2.0]
    assert row(ALL, BEST, each=1) == [5.0]


def test_the_median_row_shows_the_middle_of_both() -> None:
    assert row(ALL, MEDIAN, each=2) == [2.0, 0.5]


def test_a_score_that_is_no_number_is_the_loudest() -> None:
    loud = row([*ALL, judged("good", float("nan"))], ALARMS, each=1)
    assert np.isnan(loud).all()


def test_the_colours_say_where_the_heat_stands_to_its_threshold() -> None:
    cold, at, hot = heat_colours(np.array([[0.0, 2.0, 4.0]], np.float32), 2.0)[0].astype(int)
    assert cold.argmax() == 2
    assert at.argmax() == 1
    assert hot.argmax() == 0


def sheet(path: Path, judgements: list[Judged]) -> NDArray[np.uint8]:
    write_sheet(path, telling_cases(judgements, CALIBRATION))
    read = cv2.imread(str(path))
    assert read is not None
    return np.asarray(read[..., ::-1], np.uint8)


def pixels_of(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> int:
    return int((np.abs(picture.astype(int) - colour) < 10).all(axis=-1).sum())


def test_the_sheet_outlines_the_truth_and_shows_the_heat(tmp_path: Path) -> None:
    outlined = pixels_of(sheet(tmp_path / "a.png", ALL), PINK)
    clean = pixels_of(sheet(tmp_path / "b.png", ALL[5:]), PINK)
    # A 20 px square, enlarged 300/90 times and a little way off, in picture and heat of seven cells.
    assert outlined - clean == pytest.approx(7 * 2 * 4 * (20 * 300 / 90 + 8), rel=0.1)
    hot = sheet(tmp_path / "c.png", [judged("crack", 9.0), judged("good", 0.1)]).astype(int)
    assert ((hot[..., 0] - hot[..., 2]) > 60).sum() > 2000


def test_a_defect_of_one_pixel_is_outlined_wherever_it_lies(tmp_path: Path) -> None:
    one = judged("crack", 3.0, 384, 384)
    unmarked = pixels_of(sheet(tmp_path / "none.png", [replace(one, mask=one.mask & False)]), PINK)
    for place in range(200, 205):
        mask = np.zeros((384, 384), np.bool_)
        mask[place, place] = True
        marked = sheet(tmp_path / f"{place}.png", [replace(one, mask=mask)])
        assert pixels_of(marked, PINK) > unmarked


def test_names_are_written_in_letters_that_the_sheet_has(tmp_path: Path) -> None:
    def named(name: str) -> NDArray[np.uint8]:
        return sheet(tmp_path / "a.png", [replace(ALL[0], name=name), *ALL[5:]])

    assert np.array_equal(named("Stoß/grün-é"), named("Stoss/gruen-e"))
    decomposed = unicodedata.normalize("NFD", "grün")  # as a Mac names files
    assert np.array_equal(named(decomposed), named("gruen"))
    assert np.array_equal(named("kratzer/杯"), named("kratzer/?"))


def test_rows_without_cases_say_so_and_take_no_room(tmp_path: Path) -> None:
    right = [judged("crack", 3.0), judged("good", 0.1)]
    assert sheet(tmp_path / "a.png", right).shape[0] < sheet(tmp_path / "b.png", ALL).shape[0] - 400


@pytest.mark.parametrize("size", [(90, 200), (200, 90), (500, 384)])
def test_pictures_of_any_shape_fit(tmp_path: Path, size: tuple[int, int]) -> None:
    pictures = [judged("crack", 3.0, *size), judged("good", 0.1), judged("good", 2.0, *size)]
    assert sheet(tmp_path / "a.png", pictures).shape[1] < 2600


def test_a_sheet_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RecipeError, match=r"cannot write .*; make room, or choose another folder"):
        write_sheet(tmp_path / "file" / "sheet.png", telling_cases(ALL, CALIBRATION))
