"""The threshold's promise: kept in 95 of 100 draws, and honest about how many pictures it takes."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from inspector.detector.promise import promised_threshold

DRAWS = 400
QUANTILES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "even": lambda u: u,
    "skewed": lambda u: -np.log1p(-u),
    "without a mean": lambda u: np.tan(np.pi * (u - 0.5)),
    "two kinds of cups": lambda u: np.where(u < 0.9, u, 50 + u),
    "in steps": lambda u: np.floor(7 * u),
}
"""Of distributions whose exact false-reject rate is known: 1 - u at a threshold's own u."""


def _exceeding(quantile: Callable[[NDArray[np.float64]], NDArray[np.float64]], at: float) -> float:
    """Share of the distribution above a value, counted on a fine grid."""
    return float(np.mean(quantile(np.linspace(0, 1, 20_001)[:-1] + 0.5 / 20_000) > at))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(QUANTILES)),
    st.integers(2, 120),
    st.sampled_from([0.01, 0.03, 0.1, 0.4]),
    st.integers(0, 10**6),
)
def test_the_promise_is_broken_in_no_more_draws_than_its_confidence_allows(
    distribution: str, count: int, wanted: float, seed: int
) -> None:
    quantile = QUANTILES[distribution]
    random = np.random.default_rng(seed)
    promises = [promised_threshold(quantile(random.random(count)), wanted) for _ in range(DRAWS)]
    realised = np.array([_exceeding(quantile, promise.threshold) for promise in promises])
    promised = promises[0].false_reject_rate
    broken = int(np.count_nonzero(realised > promised + 1e-4))
    assert broken <= binom.ppf(1 - 1e-4, DRAWS, 0.05)
    assert realised.mean() <= promises[0].expected_rate + 4 * realised.std() / np.sqrt(DRAWS)


def test_the_promise_is_no_more_careful_than_it_must_be() -> None:
    random = np.random.default_rng(0)
    promises = [promised_threshold(random.random(84), 0.01) for _ in range(4000)]
    broken = np.mean([1 - p.threshold > p.false_reject_rate for p in promises])
    assert broken == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize(("candidates", "broken"), [(1, 0.0975), (2, 0.0494)])
def test_the_promise_holds_for_the_one_of_two_that_was_chosen_on_the_same_pictures(
    candidates: int, broken: float
) -> None:
    """However it was: here the worse one always is. Without saying so every tenth promise is broken."""
    random = np.random.default_rng(0)
    kept = []
    for _ in range(4000):
        pair = [
            promised_threshold(random.random(84), 0.01, candidates=candidates) for _ in range(2)
        ]
        chosen = min(pair, key=lambda promise: promise.threshold)
        kept.append(1 - chosen.threshold <= chosen.false_reject_rate)
        assert chosen.confidence == 0.95
    assert 1 - np.mean(kept) == pytest.approx(broken, abs=0.015)


def test_a_choice_takes_more_pictures_for_the_same_rate() -> None:
    promise = promised_threshold(np.arange(84.0), 0.01, candidates=2)
    assert promise.false_reject_rate == pytest.approx(0.0430, abs=0.0005)
    assert promise.images_needed == 368
    assert not promised_threshold(np.arange(368.0), 0.01, candidates=2).images_needed


@pytest.mark.parametrize(
    ("count", "promised"), [(1, 0.95), (5, 0.451), (20, 0.139), (84, 0.0350), (298, 0.0100)]
)
def test_too_few_pictures_promise_less_and_say_how_many_it_takes(
    count: int, promised: float
) -> None:
    promise = promised_threshold(np.arange(float(count)), 0.01)
    assert promise.threshold == count - 1
    assert promise.false_reject_rate == pytest.approx(promised, abs=0.0005)
    assert promise.expected_rate == pytest.approx(1 / (count + 1))
    assert promise.images_needed == 299


def test_with_as_many_pictures_as_it_takes_the_rate_asked_for_is_promised() -> None:
    promise = promised_threshold(np.arange(299.0), 0.01)
    assert promise.images_needed == 0
    assert promise.false_reject_rate <= 0.01
    assert promised_threshold(np.arange(473.0), 0.01).threshold < 472


@given(st.integers(3, 400), st.integers(1, 6), st.sampled_from([0.01, 0.02, 0.05, 0.2]))
def test_pictures_left_out_count_as_clean_cups_above_the_threshold(
    count: int, left_out: int, wanted: float
) -> None:
    """As if they had been scored and were the hottest of all, but never the threshold themselves."""
    scores = np.arange(float(count))
    promise = promised_threshold(scores, wanted, left_out=left_out)
    with_them = np.append(scores, np.full(left_out, 1e9))
    counted = promised_threshold(with_them, wanted)
    assert promise.threshold == min(counted.threshold, scores.max())
    assert promise.false_reject_rate >= counted.false_reject_rate
    if counted.threshold <= scores.max():
        assert promise.false_reject_rate == counted.false_reject_rate
        assert promise.expected_rate == counted.expected_rate
    if promise.images_needed:
        enough, short = (
            promised_threshold(
                np.arange(float(promise.images_needed - left_out - less)), wanted, left_out=left_out
            )
            for less in (0, 1)
        )
        assert not enough.images_needed
        assert short.images_needed


@given(
    st.lists(st.floats(-10, 10), min_size=1, max_size=300),
    st.floats(0.001, 0.9),
    st.floats(0.5, 0.99),
)
def test_the_threshold_is_the_lowest_score_that_keeps_the_rate(
    scores: list[float], wanted: float, confidence: float
) -> None:
    promise = promised_threshold(np.array(scores), wanted, confidence)
    assert promise.threshold in scores
    assert promise.expected_rate < promise.false_reject_rate or confidence < 0.7
    if promise.images_needed:
        assert promise.threshold == max(scores)
        assert promise.false_reject_rate > wanted
        assert promise.images_needed > len(scores)
    else:
        assert promise.false_reject_rate <= wanted + 1e-6


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=200), st.floats(0.001, 0.5))
def test_asking_for_fewer_false_rejects_never_lowers_the_threshold(
    scores: list[float], wanted: float
) -> None:
    strict, lax = (promised_threshold(np.array(scores), w) for w in (wanted, 1.5 * wanted))
    assert strict.threshold >= lax.threshold
    assert strict.false_reject_rate <= lax.false_reject_rate
    surer = promised_threshold(np.array(scores), wanted, confidence=0.99)
    assert surer.threshold >= strict.threshold


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200), st.floats(0.001, 0.5))
def test_scores_that_tie_are_not_rejected(scores: list[int], wanted: float) -> None:
    values = np.array(scores, float)
    promise = promised_threshold(values, wanted)
    assert np.mean(values > promise.threshold) <= wanted


@pytest.mark.parametrize("scores", [[], [1.0, float("nan")]])
def test_no_threshold_without_finite_scores(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        promised_threshold(np.array(scores), 0.01)


@pytest.mark.parametrize(("wanted", "confidence"), [(0.0, 0.95), (1.0, 0.95), (0.1, 1.0)])
def test_a_rate_of_nothing_or_everything_is_refused(wanted: float, confidence: float) -> None:
    with pytest.raises(ValueError, match="between"):
        promised_threshold(np.arange(5.0), wanted, confidence)
