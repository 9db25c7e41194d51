"""The figures are those one would count by hand, and those that scikit-learn computes."""

from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import f1_score, precision_recall_curve, roc_auc_score

from inspector.detector.figures import PRO_LIMIT, figures

Maps = list[NDArray[np.float32]]
Masks = list[NDArray[np.bool_]]


def drawn(seed: int, skill: float, levels: int = 0) -> tuple[list[float], list[bool], Maps, Masks]:
    """Eight pictures, half of them defective; heat is noise, raised by ``skill`` where defective."""
    random = np.random.default_rng(seed)
    masks = [np.zeros((24, 30), np.bool_) for _ in range(8)]
    for mask in masks[4:]:
        row, column = random.integers(0, 16, 2)
        mask[row : row + random.integers(2, 8), column : column + random.integers(2, 8)] = True
    heats = [(random.random(mask.shape) + skill * mask).astype(np.float32) for mask in masks]
    if levels:
        heats = [np.floor(heat * levels).astype(np.float32) for heat in heats]
    return [float(heat.max()) for heat in heats], [bool(m.any()) for m in masks], heats, masks


def test_a_perfect_map_scores_one_everywhere() -> None:
    scores, labels, heats, masks = drawn(0, skill=2.0)
    found = figures(scores, labels, heats, masks, 1.5, 1.5)
    assert astuple(found) == pytest.approx((1.0,) * 7)


def test_chance_scores_a_half_and_its_overlap_grows_with_the_false_positives() -> None:
    random = np.random.default_rng(1)
    masks = [random.random((200, 200)) < 0.1 for _ in range(4)]
    heats = [random.random((200, 200)).astype(np.float32) for _ in range(4)]
    found = figures([0.0, 1.0, 0.0, 1.0], [True, False, False, True], heats, masks, 0.5, 0.5)
    assert found.pixel_auroc == pytest.approx(0.5, abs=0.01)
    assert found.image_auroc == 0.5
    # Overlap equals the false-positive rate t: ∫t dt up to the limit, over the limit.
    assert found.au_pro == pytest.approx(PRO_LIMIT / 2, abs=0.01)
    # All called defective: precision is their share.
    assert found.pixel_f1_best == pytest.approx(2 * 0.1 / 1.1, abs=0.01)


def test_a_small_region_weighs_as_much_as_a_large_one() -> None:
    mask = np.zeros((10, 12), np.bool_)
    mask[:5, :4] = True
    mask[8, 8] = True
    assert mask.sum() == 21
    large, small = mask.copy(), mask.copy()
    large[8, 8] = False
    small[:5, :4] = False
    clean = np.zeros((10, 12), np.bool_)
    labels, masks = [True, False], [mask, clean]

    def au_pro(region: NDArray[np.bool_]) -> float:
        """Of a map that finds one region before any clean pixel, and the other last of all."""
        heat = np.where(region, 2.0, np.where(mask, 0.0, 1.0)).astype(np.float32)
        return figures([1, 0], labels, [heat, clean.astype(np.float32) + 1], masks, 1, 1).au_pro

    # Half of the regions found from the start; clean pixels come all at once, which leaves it at that.
    assert au_pro(large) == pytest.approx(0.5)
    assert au_pro(small) == pytest.approx(0.5)


def test_the_overlap_between_two_thresholds_is_taken_from_the_line_between_them() -> None:
    mask = np.zeros((1, 14), np.bool_)
    mask[0, 0:2] = True
    mask[0, 3] = True
    heat = np.full((1, 14), 0.0, np.float32)
    heat[0, 0] = 5
    heat[0, [1, 12, 13]] = 4
    found = figures([1, 0], [True, False], [heat, heat[:, 4:]], [mask, mask[:, 4:]], 3, 3)
    # Of 21 clean pixels 4 come at heat 4, the other 17 with the small region at heat 0.
    at_limit = 0.5 + 0.5 * (0.3 - 4 / 21) / (17 / 21)
    area = 4 / 21 * (0.25 + 0.5) / 2 + (0.3 - 4 / 21) * (0.5 + at_limit) / 2
    assert found.au_pro == pytest.approx(area / 0.3)


@pytest.mark.filterwarnings("error")
def test_a_picture_that_is_defective_all_over_is_one_region() -> None:
    heats = [np.full((4, 4), heat, np.float32) for heat in (0.0, 1.0)]
    masks = [np.zeros((4, 4), np.bool_), np.ones((4, 4), np.bool_)]
    assert figures([0.0, 1.0], [False, True], heats, masks, 0.5, 0.5).au_pro == 1.0


def test_regions_that_touch_at_a_corner_are_one() -> None:
    mask = np.eye(4, 8, dtype=np.bool_)
    mask[0, 7] = True
    heat = np.zeros((4, 8), np.float32)
    heat[0, 7] = 1.0
    # The diagonal is one region and the corner the other: half found at once, and the rest with the
    # clean pixels, on the line from (0, 0.5) to (1, 1).
    found = figures([1, 0], [True, False], [heat, heat * 0], [mask, mask & False], 0, 0)
    assert found.au_pro == pytest.approx(0.5 + 0.5 * PRO_LIMIT / 2)


@pytest.mark.parametrize("levels", [0, 5])
@pytest.mark.parametrize("skill", [0.0, 0.3])
def test_areas_and_f1_are_what_scikit_learn_computes(skill: float, levels: int) -> None:
    scores, labels, heats, masks = drawn(2, skill, levels)
    threshold = float(np.median(heats))
    found = figures(scores, labels, heats, masks, max(scores[:4]), threshold)
    heat, mask = np.ravel(heats), np.ravel(masks)
    precision, recall, _ = precision_recall_curve(mask, heat)
    assert found.pixel_auroc == pytest.approx(roc_auc_score(mask, heat))
    assert found.pixel_f1_best == pytest.approx(
        np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))
    )
    assert found.pixel_f1 == pytest.approx(f1_score(mask, heat > threshold))
    assert found.image_auroc == pytest.approx(roc_auc_score(labels, scores))
    rejected = np.array(scores) > max(scores[:4])
    assert found.image_f1 == pytest.approx(f1_score(labels, rejected))
    # Weighted by their region's size, the ROC curve's overlap is the regions' mean overlap; sklearn
    # standardises a partial area (McClish), which is undone here.
    weight = np.concatenate([np.where(m, 1.0 / max(m.sum(), 1), 1.0).ravel() for m in masks])
    standard = roc_auc_score(mask, heat, sample_weight=weight, max_fpr=PRO_LIMIT)
    least = 0.5 * PRO_LIMIT**2
    area = (2 * standard - 1) * (PRO_LIMIT - least) + least
    assert found.au_pro == pytest.approx(area / PRO_LIMIT)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    skill=st.floats(0, 1),
    levels=st.sampled_from([0, 4]),
    stretch=st.sampled_from([np.exp, np.cbrt, lambda heat: 3 * heat - 7]),
)
def test_only_the_order_of_the_heat_matters(
    seed: int, skill: float, levels: int, stretch: Callable[[Any], Any]
) -> None:
    scores, labels, heats, masks = drawn(seed, skill, levels)

    def stretched(value: float | NDArray[np.float32]) -> Any:
        return stretch(np.asarray(value, np.float64))

    before = figures(scores, labels, heats, masks, 0.9, 0.9)
    after = figures(
        [float(stretched(score)) for score in scores],
        labels,
        [stretched(heat) for heat in heats],
        masks,
        float(stretched(0.9)),
        float(stretched(0.9)),
    )
    assert after == before
    assert before.pixel_f1_best >= before.pixel_f1
    assert before.image_f1_best >= before.image_f1


def test_a_score_that_is_no_number_ranks_as_rejected() -> None:
    _, labels, heats, masks = drawn(3, 0.0)
    scores = [0.1] * 7 + [float("nan")]
    found = figures(scores, labels, heats, masks, 0.5, 0.5)
    assert found.image_auroc == pytest.approx((4 * 3 * 0.5 + 4) / 16)
    assert found.image_f1 == pytest.approx(2 / (2 + 3))


def test_a_threshold_above_everything_finds_nothing() -> None:
    found = figures(*drawn(4, 0.5), 9.0, 9.0)
    assert (found.image_f1, found.pixel_f1) == (0.0, 0.0)


def test_without_defects_nothing_can_be_told() -> None:
    scores, labels, heats, masks = drawn(5, 0.5)
    with pytest.raises(ValueError, match="both needed"):
        figures(scores[:4], labels[:4], heats[:4], masks[:4], 0.5, 0.5)
