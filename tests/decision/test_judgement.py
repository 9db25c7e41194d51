"""From a distance map to a decision: what must hold whatever the map."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, Region
from inspector.decision import (
    Calibration,
    enlarged,
    heat_map,
    image_score,
    judge,
    normalised,
    regions,
    verdict,
)

Map = NDArray[np.float32]

maps = hnp.arrays(
    np.float32,
    st.tuples(st.integers(2, 24), st.integers(2, 24)),
    elements=st.floats(-2, 0, width=32),
)
calibrations = st.builds(
    Calibration,
    q_a=st.floats(-1, -0.6),
    q_b=st.floats(-0.55, 0),
    image_threshold=st.floats(-1, 5),
    pixel_threshold=st.floats(-1, 5),
    score_share=st.floats(0, 1),
)
quickly = settings(max_examples=50, deadline=None)
CALIBRATION = Calibration(q_a=-0.95, q_b=-0.85, image_threshold=1.5, pixel_threshold=1.5)


@quickly
@given(maps)
def test_heat_lies_between_minus_one_and_zero(distance: Map) -> None:
    heat = heat_map(distance)
    assert (heat >= -1).all()
    assert (heat < 0).all()


@quickly
@given(maps, st.floats(0.1, 10))
def test_a_place_where_clean_cups_differ_more_gets_less_heat(distance: Map, factor: float) -> None:
    scale = np.full(distance.shape, factor, np.float32)
    cooler, hotter = (heat_map(distance, scale), heat_map(distance))
    if factor < 1:
        cooler, hotter = hotter, cooler
    assert (cooler <= hotter + 1e-6).all()


@quickly
@given(maps, calibrations)
def test_normalisation_maps_its_two_quantiles_to_nought_and_one(
    distance: Map, calibration: Calibration
) -> None:
    ends = np.array([calibration.q_a, calibration.q_b], np.float32)
    assert normalised(ends, calibration) == pytest.approx([0, 1], abs=1e-4)
    order = np.argsort(heat_map(distance), axis=None, kind="stable")
    assert (np.diff(normalised(heat_map(distance), calibration).ravel()[order]) >= 0).all()


@quickly
@given(maps, calibrations)
def test_a_defective_part_always_shows_where_and_the_hottest_place_first(
    distance: Map, calibration: Calibration
) -> None:
    judgement = judge(distance, calibration)
    assert judgement.defective == (judgement.score > calibration.image_threshold)
    if judgement.defective:
        assert judgement.regions
    peaks = [region.peak for region in judgement.regions]
    assert peaks == sorted(peaks, reverse=True)
    for region in judgement.regions:
        assert 0 <= region.x < region.x + region.width <= 384
        assert 0 <= region.y < region.y + region.height <= 384


@quickly
@given(maps, calibrations, st.data())
def test_more_distance_anywhere_never_makes_a_part_better(
    distance: Map, calibration: Calibration, data: st.DataObject
) -> None:
    row = data.draw(st.integers(0, distance.shape[0] - 1))
    column = data.draw(st.integers(0, distance.shape[1] - 1))
    worse = distance.copy()
    worse[row, column] -= 1
    assert judge(worse, calibration).score >= judge(distance, calibration).score - 1e-5


@quickly
@given(maps, st.floats(0, 1))
def test_the_score_lies_between_mean_and_maximum(heat: Map, share: float) -> None:
    score = image_score(heat, share)
    assert heat.mean() - 1e-5 <= score <= heat.max() + 1e-5


def test_the_smallest_share_is_the_maximum_and_the_whole_is_the_mean() -> None:
    heat = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert image_score(heat, 0.0) == 11
    assert image_score(heat, 1.0) == pytest.approx(5.5)
    assert image_score(heat, 0.25) == pytest.approx(10)


def test_a_map_that_is_no_number_rejects() -> None:
    distance = np.full((20, 20), -0.01, np.float32)
    distance[3, 3] = np.nan
    judgement = judge(distance, CALIBRATION)
    assert judgement.defective
    assert judgement.regions


def test_a_hot_spot_is_found_where_it_is() -> None:
    distance = np.full((20, 20), -0.01, np.float32)
    distance[4:6, 10:12] = -1.0
    region = judge(distance, CALIBRATION).regions[0]
    assert region.x <= 11 * 384 / 20 <= region.x + region.width
    assert region.y <= 5 * 384 / 20 <= region.y + region.height
    assert region.width < 100


def test_regions_are_boxes_around_what_is_hot_the_hottest_first() -> None:
    picture = np.zeros((384, 384), np.float32)
    picture[10:14, 20:30] = 2.0
    picture[300:310, 350:352] = 3.0
    assert regions(picture, 1.0) == (Region(350, 300, 2, 10, 3.0), Region(20, 10, 10, 4, 2.0))
    assert regions(picture, 3.0) == ()


@quickly
@given(maps, calibrations)
def test_only_a_cup_with_nothing_hot_on_it_has_no_heat_folded_onto_its_image(
    distance: Map, calibration: Calibration
) -> None:
    judgement = judge(distance, calibration)
    hot = judgement.defective or bool((judgement.heat > calibration.pixel_threshold).any())
    assert (judgement.picture is not None) == hot
    # Heat between two positions is between theirs, up to rounding.
    assert hot or not regions(enlarged(judgement.heat), calibration.pixel_threshold + 1e-5)


def test_a_map_of_another_size_than_the_recipes_is_refused() -> None:
    scaled = Calibration(-0.9, -0.8, 1, 1, 0, np.ones((20, 20), np.float32))
    with pytest.raises(ValueError, match="cannot be scaled"):
        judge(np.zeros((10, 10), np.float32), scaled)


@pytest.mark.parametrize(
    "wrong",
    [
        {"q_a": -0.5, "q_b": -0.5},
        {"image_threshold": float("nan")},
        {"score_share": 1.5},
        {"position_scale": np.zeros((2, 2), np.float32)},
    ],
)
def test_a_calibration_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    plain: dict[str, object] = {
        "q_a": -0.9,
        "q_b": -0.8,
        "image_threshold": 1.0,
        "pixel_threshold": 1.0,
    }
    with pytest.raises(ValueError):
        Calibration(**(plain | wrong))  # type: ignore[arg-type]


def test_a_verdict_names_its_part_its_reason_and_its_recipe() -> None:
    part = PartId("lane-1", 7, 42)
    clean = verdict(part, judge(np.full((4, 4), -0.01, np.float32), CALIBRATION), "type-01 v1")
    bad = verdict(part, judge(np.full((4, 4), -1.5, np.float32), CALIBRATION), "type-01 v1")
    assert (clean.part, clean.outcome, clean.reason) == (part, Outcome.PASS, Reason.CLEAN)
    assert (bad.outcome, bad.reason, bad.recipe) == (Outcome.REJECT, Reason.DEFECT, "type-01 v1")
    assert bad.regions
