"""What a training shows in a terminal, and what it writes where there is none."""

import io

import numpy as np
import pytest
from rich.console import Console

from inspector.detector import thumbnail as thumbnails
from inspector.detector.thumbnail import TrainingProgress, half_blocks, thumbnail


def _console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=80, color_system="truecolor")


def _written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("shape", "lines", "columns"), [((20, 20), 14, 28), ((16, 56), 8, 56), ((24, 24), 14, 28)]
)
def test_a_thumbnail_keeps_the_shape_of_its_map(
    shape: tuple[int, int], lines: int, columns: int
) -> None:
    text = thumbnail(np.zeros(shape, np.float32)).plain.split("\n")
    assert [len(line) for line in text] == [columns] * lines


def test_the_hottest_place_is_red_and_the_coldest_blue() -> None:
    heat = np.full((28, 28), -0.9, np.float32)
    heat[4, 7] = -0.4
    text = thumbnail(heat)
    colours = [str(span.style) for span in text.spans]
    assert len(colours) == 28 * 14
    red, green, blue = map(int, colours[2 * 28 + 7].split(" on ")[0][4:-1].split(","))
    assert red > 100
    assert green == blue == 0
    assert colours[0] == "rgb(0,0,128) on rgb(0,0,128)"


def test_where_all_agree_nothing_is_hot() -> None:
    heat = np.random.default_rng(0).normal(-0.99, 0.001, (20, 20)).astype(np.float32)
    assert "rgb(255" not in str(thumbnail(heat).spans)


def test_the_lower_pixel_is_the_ground_of_its_character() -> None:
    picture = np.zeros((28, 28, 3), np.uint8)
    picture[0::2] = (1, 2, 3)
    assert {str(span.style) for span in half_blocks(picture).spans} == {"rgb(1,2,3) on rgb(0,0,0)"}


@pytest.mark.parametrize("shape", [(20, 20), (16, 56)])
def test_a_terminal_shows_bar_loss_and_both_pictures(shape: tuple[int, int]) -> None:
    console = _console(terminal=True)
    picture = np.full((14 * shape[0], 14 * shape[1], 3), 200, np.uint8)
    with TrainingProgress(100, console) as progress:
        progress.on_step(40, 0.5)
        progress.on_look(40, np.zeros(shape, np.float32), picture)
    written = _written(console)
    for told in ("step 40 of 100", "loss 0.5000", "heat at step 40", "what the student saw"):
        assert told in written
    assert written.count("▀") == 2 * (28 * 14 if shape[0] == shape[1] else 56 * 8)


def test_without_a_terminal_a_plain_line_is_written_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(thumbnails, "PLAIN_SECONDS", 1e6)
    console = _console(terminal=False)
    with TrainingProgress(100, console) as progress:
        for step in range(1, 101):
            progress.on_step(step, 1 / step)
            progress.on_look(step, np.zeros((20, 20), np.float32), np.zeros((9, 9, 3), np.uint8))
    first, last = _written(console).splitlines()
    assert first.startswith("step 1 of 100, loss 1.0000")
    assert last.startswith("step 100 of 100, loss 0.0")
