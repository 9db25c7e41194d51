"""Numbers from clean maps: what is quiet stays quiet, what is promised is kept."""

import numpy as np
import pytest

from inspector.decision import judge
from inspector.detector.calibrating import calibrate, position_scale


def _maps(count: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Clean maps that are three times as busy along one row."""
    random = np.random.default_rng(seed)
    maps = random.gamma(4, 0.02, (count, 12, 12))
    maps[:, 5] *= 3
    return -maps.astype(np.float32)


def test_a_busy_place_gets_a_larger_scale_and_no_place_a_tiny_one() -> None:
    maps = _maps(50, 0)
    maps[:, :3] = 0
    scale = position_scale(maps)
    assert scale.shape == (12, 12)
    assert scale[5].min() > 1.5 * np.median(scale)
    assert scale.min() == pytest.approx(0.5)


def test_the_quantiles_of_clean_heat_become_nought_and_one() -> None:
    clean = _maps(99, 1)
    calibration, promise = calibrate(clean, position_scale(_maps(50, 0)), 0.05)
    heat = np.concatenate([judge(m, calibration).heat.ravel() for m in clean])
    assert np.quantile(heat, 0.9) == pytest.approx(0, abs=1e-4)
    assert np.quantile(heat, 0.995) == pytest.approx(1, abs=1e-4)
    assert promise.false_reject_rate == pytest.approx(0.05)


def test_clean_cups_to_come_are_rejected_as_seldom_as_promised() -> None:
    calibration, promise = calibrate(_maps(199, 1), position_scale(_maps(84, 0)), 0.05)
    rejected = np.mean([judge(m, calibration).defective for m in _maps(2000, 2)])
    assert 0.2 * promise.false_reject_rate < rejected < 2 * promise.false_reject_rate


def test_maps_without_any_difference_give_no_calibration() -> None:
    with pytest.raises(ValueError, match="q_b above q_a"):
        calibrate(np.full((5, 4, 4), -0.1, np.float32), None, 0.1)
