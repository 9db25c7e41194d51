"""The threshold's promise: kept, and honest about how many pictures it takes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.decision import promised_threshold


@pytest.mark.parametrize(("count", "wanted"), [(5, 0.2), (24, 0.05), (84, 0.05), (116, 0.01)])
def test_the_realised_false_reject_rate_keeps_the_promise(count: int, wanted: float) -> None:
    random = np.random.default_rng(count)
    draws = random.gamma(2.0, size=(4000, count + 1))
    promises = [promised_threshold(draw[:-1], wanted) for draw in draws]
    exceeded = np.mean([d[-1] > p.threshold for d, p in zip(draws, promises, strict=True)])
    assert exceeded <= promises[0].false_reject_rate + 3 * np.sqrt(wanted / len(draws))
    assert exceeded >= 0.5 * promises[0].false_reject_rate


def test_too_few_pictures_promise_less_and_say_how_many_more_it_takes() -> None:
    promise = promised_threshold(np.arange(24.0), 0.01)
    assert promise.threshold == 23
    assert promise.false_reject_rate == pytest.approx(1 / 25)
    assert promise.images_needed == 99
    assert promised_threshold(np.arange(98.0), 0.01).images_needed == 99
    assert promised_threshold(np.arange(99.0), 0.01).images_needed == 0


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=300), st.floats(0.001, 0.5))
def test_the_promise_is_never_better_than_asked_for_by_more_than_one_picture(
    scores: list[float], wanted: float
) -> None:
    promise = promised_threshold(np.array(scores), wanted)
    assert promise.threshold in scores
    if not promise.images_needed:
        assert promise.false_reject_rate <= wanted + 1e-9
        assert promise.false_reject_rate > wanted - 1 / (len(scores) + 1) - 1e-9


@pytest.mark.parametrize("scores", [[], [1.0, float("nan")]])
def test_no_threshold_without_finite_scores(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        promised_threshold(np.array(scores), 0.01)


@pytest.mark.parametrize("wanted", [0.0, 1.0])
def test_a_rate_of_nothing_or_everything_is_refused(wanted: float) -> None:
    with pytest.raises(ValueError, match="between"):
        promised_threshold(np.arange(5.0), wanted)
