"""Numbers from clean maps: what is quiet stays quiet, what is promised is kept."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.decision import Calibration, heat_map, image_score, judge, normalised
from inspector.detector.calibrating import (
    calibrate,
    calibrate_left_out,
    position_scale,
    radius_scale,
    round_scale,
)
from inspector.recipe.view import cup_patches

ScaleOf = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def _maps(count: int, seed: int) -> NDArray[np.float32]:
    """Clean maps that are three times as busy along one row."""
    random = np.random.default_rng(seed)
    maps = random.gamma(4, 0.02, (count, 12, 12))
    maps[:, 5] *= 3
    return -maps.astype(np.float32)


def _rejected(maps: NDArray[np.float32], calibration: Calibration) -> float:
    """Share whose score exceeds the threshold."""
    heat = normalised(heat_map(maps, calibration.position_scale), calibration)
    scores = [image_score(one, calibration.score_share) for one in heat]
    return float(np.mean(np.array(scores) > calibration.image_threshold))


def test_a_busy_place_gets_a_larger_scale_and_no_place_a_tiny_one() -> None:
    maps = _maps(50, 0)
    maps[:, :3] = 0
    scale = position_scale(maps)
    assert scale.shape == (12, 12)
    assert scale[5].min() > 1.5 * np.median(scale)
    assert scale.min() == pytest.approx(0.5)


def test_a_radius_is_scaled_by_how_far_it_ever_goes_at_any_angle() -> None:
    maps = _maps(50, 0)
    maps[17, 8, 3] = -4
    scale = radius_scale(maps)
    assert (scale == scale[:, :1]).all()
    # By the root of it: one position of one cup is also a chance.
    assert 2 * np.median(scale) < scale[8, 0] < 8 * np.median(scale)
    assert np.argsort(scale[:, 0])[-2] == 5


def test_what_is_beside_the_cup_makes_no_rim_look_quiet() -> None:
    maps = -np.random.default_rng(0).gamma(4, 0.02, (50, 24, 24)).astype(np.float32)
    beside = np.ones((24, 24), np.bool_)
    beside.flat[cup_patches((24, 24))] = False
    maps[:, beside] = 0
    scale = round_scale(maps)
    assert (scale[beside] == 1).all()
    assert 0.8 < scale[~beside].min() < scale[~beside].max() < 1.2
    assert position_scale(maps)[~beside].min() < 0.7


def test_what_is_beside_the_cup_changes_no_verdict() -> None:
    """It is the coldest there is: six positions, 1 % of all or more of the cup's alone, are the same six."""
    clean, to_come = (
        -np.random.default_rng(seed).gamma(4, 0.02, (200, 24, 24)).astype(np.float32)
        for seed in (0, 1)
    )
    shown = cup_patches((24, 24))
    beside = np.ones(24 * 24, np.bool_)
    beside[shown] = False
    verdicts = []
    for on_cup in (False, True):
        one, other = (each.reshape(-1, 1, 24 * 24).copy() for each in (clean, to_come))
        one[..., beside] = other[..., beside] = 0
        if on_cup:
            one, other = one[..., shown], other[..., shown]
        calibration, _ = calibrate(one, None, 0.05, 6 / one.shape[2])
        verdicts.append([judge(each, calibration).defective for each in other])
    assert verdicts[0] == verdicts[1]
    assert any(verdicts[0])


@pytest.mark.parametrize("scale_of", [position_scale, radius_scale])
def test_a_scale_from_few_pictures_is_nearer_to_one(scale_of: ScaleOf) -> None:
    few, many = (scale_of(np.tile(_maps(1, 0), (count, 1, 1))) for count in (2, 100))
    assert (np.abs(np.log(few)) <= np.abs(np.log(many)) + 1e-6).all()
    assert np.log(few[5]).mean() == pytest.approx(
        np.log(many[5]).mean() * 0.2 / (100 / 108), rel=0.02
    )


@pytest.mark.parametrize("scale_of", [position_scale, radius_scale, round_scale])
def test_a_place_that_is_the_same_in_all_pictures_is_only_a_quiet_one(scale_of: ScaleOf) -> None:
    """A blank background: what is left of its distances is rounding, to either side of nought."""
    distances = _maps(100, seed=0)
    distances[:, 7:10] = 3e-8
    scale = scale_of(distances)
    assert np.isfinite(scale).all()
    assert scale[8].min() == pytest.approx(0.5)


def test_the_quantiles_of_clean_heat_become_nought_and_one() -> None:
    clean = _maps(99, 1)
    calibration, promise = calibrate(clean, position_scale(_maps(50, 0)), 0.05)
    heat = np.concatenate([judge(m, calibration).heat.ravel() for m in clean])
    assert np.quantile(heat, 0.9) == pytest.approx(0, abs=1e-4)
    assert np.quantile(heat, 0.995) == pytest.approx(1, abs=1e-4)
    assert 0.04 < promise.false_reject_rate <= 0.05


def test_clean_cups_to_come_are_rejected_as_seldom_as_promised() -> None:
    calibration, promise = calibrate(_maps(199, 1), position_scale(_maps(84, 0)), 0.05)
    rejected = np.mean([judge(m, calibration).defective for m in _maps(2000, 2)])
    assert 0.2 * promise.false_reject_rate < rejected < 2 * promise.false_reject_rate


def test_maps_without_any_difference_give_no_calibration() -> None:
    with pytest.raises(ValueError, match="q_b above q_a"):
        calibrate(np.full((5, 4, 4), -0.1, np.float32), None, 0.1)


@pytest.mark.parametrize("scale_of", [position_scale, radius_scale, None])
def test_leaving_one_out_keeps_its_promise_although_the_scale_comes_from_the_same_pictures(
    scale_of: ScaleOf | None,
) -> None:
    """The maps are as independent as a bank's are not: what is tested here is the scale."""
    kept = []
    for seed in range(100):
        calibration, promise = calibrate_left_out(_maps(20, seed), scale_of, 0.05, 0.0)
        to_come = _maps(100, 1000 + seed)
        kept.append(_rejected(to_come, calibration) <= promise.false_reject_rate)
        assert promise.scored_on == "leave-one-out"
    assert np.mean(kept) >= 0.88


def test_a_scale_that_knew_its_own_pictures_rejects_more_clean_cups_to_come() -> None:
    """On average: the root of the greatest distance knows less of it than the distance itself."""
    blind, knowing = [], []
    for seed in range(20):
        maps, to_come = _maps(20, seed), _maps(200, 1000 + seed)
        left_out, _ = calibrate_left_out(maps, radius_scale, 0.05, 0.0)
        fitted, _ = calibrate(maps, radius_scale(maps), 0.05, 0.0)
        blind.append(_rejected(to_come, left_out))
        knowing.append(_rejected(to_come, fitted))
    assert np.mean(knowing) > np.mean(blind)


def test_two_pictures_are_the_fewest_of_which_one_can_be_left_out() -> None:
    _, promise = calibrate_left_out(_maps(2, 0), position_scale, 0.05)
    assert promise.images == 2
    with pytest.raises(ValueError, match="two pictures"):
        calibrate_left_out(_maps(1, 0), position_scale, 0.05)
