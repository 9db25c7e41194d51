"""A cup's angle is told by its own print, or said to be unknown."""

from pathlib import Path

import numpy as np
import pytest

from inspector.core.errors import RecipeError
from inspector.core.verdict import Reason
from inspector.twin.cups import DefectKind, draw_cup
from inspector.vision import (
    CupImage,
    OrientationReference,
    Refusal,
    learn_orientation,
    prepare,
)
from tests.vision.bench import (
    FORMAT,
    TYPES,
    difference_deg,
    mosaic,
    reference,
    segment,
    with_print_hidden,
)


def angle_of(cup_type: str, seed: int, angle_deg: float, defect: DefectKind | None = None) -> float:
    picture = draw_cup(cup_type, seed, angle_deg=angle_deg, defect=defect)
    cup = prepare(mosaic(picture.frame), FORMAT, segment(), reference(cup_type))
    assert isinstance(cup, CupImage)
    assert cup.orientation is not None
    return cup.orientation.angle_deg


@pytest.mark.parametrize("cup_type", TYPES)
def test_a_cup_turned_by_so_much_is_found_turned_by_so_much(cup_type: str) -> None:
    first = angle_of(cup_type, 1, 10.0)
    for seed, angle, defect in (
        (2, 55.0, None),
        (3, 130.0, DefectKind.CHIP),
        (4, 215.0, DefectKind.MOULD),
        (5, 350.0, None),
    ):
        turned = difference_deg(angle_of(cup_type, seed, angle, defect), first)
        assert abs(difference_deg(turned, angle - 10.0)) < 2.5


@pytest.mark.parametrize("cup_type", TYPES)
def test_a_cup_whose_print_is_hidden_is_refused(cup_type: str) -> None:
    raw = mosaic(with_print_hidden(draw_cup(cup_type, 6)))
    refusal = prepare(raw, FORMAT, segment(), reference(cup_type))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.NO_ORIENTATION
    assert refusal.outline is not None


@pytest.mark.parametrize(("cup_type", "other"), [*zip(TYPES, TYPES[1:] + TYPES[:1], strict=True)])
def test_a_cup_of_another_type_is_refused(cup_type: str, other: str) -> None:
    refusal = prepare(mosaic(draw_cup(other, 7).frame), FORMAT, segment(), reference(cup_type))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.NO_ORIENTATION


def test_upright_is_the_same_whatever_pictures_it_was_learned_from() -> None:
    raw = mosaic(draw_cup("type-03", 8).frame)
    angles = []
    for pictures in (10, 12):
        cup = prepare(raw, FORMAT, segment(), reference("type-03", pictures))
        assert isinstance(cup, CupImage)
        assert cup.orientation is not None
        angles.append(cup.orientation.angle_deg)
    assert abs(difference_deg(*angles)) < 3.0


def test_a_saved_reference_says_the_same(tmp_path: Path) -> None:
    raw = mosaic(draw_cup("type-01", 9).frame)
    reference("type-01").save(tmp_path / "orientation.npz")
    before, after = (
        prepare(raw, FORMAT, segment(), each)
        for each in (
            reference("type-01"),
            OrientationReference.load(tmp_path / "orientation.npz"),
        )
    )
    assert isinstance(before, CupImage)
    assert isinstance(after, CupImage)
    assert before.orientation == after.orientation


def test_a_damaged_reference_is_named(tmp_path: Path) -> None:
    path = tmp_path / "orientation.npz"
    with pytest.raises(RecipeError, match="cannot read"):
        OrientationReference.load(path)
    path.write_bytes(b"no reference at all")
    with pytest.raises(RecipeError, match=r"orientation\.npz is no orientation reference"):
        OrientationReference.load(path)
    np.savez(path, version=np.array([{"a": 1}], dtype=object))
    with pytest.raises(RecipeError, match=r"orientation\.npz is no orientation reference"):
        OrientationReference.load(path)


def test_a_reference_of_other_spectra_is_refused_and_says_that_the_type_must_be_taught_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "orientation.npz"
    with monkeypatch.context() as before:
        before.setattr("inspector.vision.orientation._VERSION", 1)
        reference("type-01").save(path)
    with pytest.raises(RecipeError, match=r"orientation\.npz .*version 1.*; teach the type anew"):
        OrientationReference.load(path)


def test_pictures_without_any_print_teach_nothing() -> None:
    random = np.random.default_rng(0)
    shape = reference("type-01").ink.shape
    noise = random.normal(size=(12, *shape)) + 1j * random.normal(size=(12, *shape))
    with pytest.raises(RecipeError, match="no print or relief"):
        learn_orientation(list(noise.astype(np.complex64)))


def test_too_few_pictures_are_refused() -> None:
    spectrum = reference("type-01").ink
    with pytest.raises(RecipeError, match="too few"):
        learn_orientation([spectrum] * 3)
