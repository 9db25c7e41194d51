"""The method beside the paper: distance and loss."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from inspector.detector.loss import cosine_distance, distance_map, hard_feature_loss
from inspector.detector.networks import Architecture, FeatureNetwork

SMALL = Architecture(rows=56, columns=56, width=24, depth=2, heads=3, outputs=32)


def _maps(seed: int) -> torch.Tensor:
    return torch.randn(2, 32, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_equation_one_by_hand() -> None:
    student, teacher = _maps(1), _maps(2)
    by_hand = sum(-0.5 / 32 * (student[1, c, 2, 3] - teacher[1, c, 2, 3]) ** 2 for c in range(32))
    assert float(distance_map(student, teacher)[1, 2, 3]) == pytest.approx(float(by_hand), rel=1e-5)


def test_with_normalised_outputs_equation_one_is_the_cosine_distance_of_equation_four() -> None:
    torch.manual_seed(0)
    first, second = FeatureNetwork(SMALL).eval(), FeatureNetwork(SMALL).eval()
    pictures = torch.randint(0, 255, (2, 56, 56, 3), dtype=torch.uint8)
    with torch.inference_mode():
        one, other = first(pictures), second(pictures)
    assert torch.allclose(distance_map(one, other), -cosine_distance(one, other), atol=1e-3)


unhurried = settings(deadline=None)
DISTANCES = arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 24), st.integers(1, 24)),
    elements=st.floats(0, 2, width=32),
)


@unhurried
@given(DISTANCES)
def test_without_mining_the_loss_is_the_mean(distance: NDArray[np.float32]) -> None:
    loss = float(hard_feature_loss(torch.from_numpy(distance), 0.0))
    assert loss == pytest.approx(distance.mean(dtype=np.float64), abs=1e-5)


@unhurried
@given(DISTANCES)
@example(np.eye(1, 450, dtype=np.float32)[None])  # half a position over: a tie in the rounding
def test_with_mining_the_loss_is_the_mean_of_the_hardest_hundredth(
    distance: NDArray[np.float32],
) -> None:
    hardest = np.sort(distance, axis=None)[-max(1, round(distance.size / 100)) :]
    loss = float(hard_feature_loss(torch.from_numpy(distance), 0.99))
    assert loss == pytest.approx(hardest.mean(dtype=np.float64), abs=1e-5)


@unhurried
@given(DISTANCES, st.floats(0, 1), st.data())
def test_what_may_not_be_mined_is_as_if_it_were_not_there(
    distance: NDArray[np.float32], p_hard: float, data: st.DataObject
) -> None:
    minable = data.draw(arrays(np.bool_, distance.shape))
    minable.flat[data.draw(st.integers(0, distance.size - 1))] = True
    everything = torch.from_numpy(distance).requires_grad_()
    loss = hard_feature_loss(everything, p_hard, torch.from_numpy(minable))
    alone = hard_feature_loss(torch.from_numpy(distance[minable]), p_hard)
    assert float(loss.detach()) == pytest.approx(float(alone), abs=1e-6)
    loss.backward()  # type: ignore[no-untyped-call]
    assert everything.grad is not None
    assert not everything.grad[~torch.from_numpy(minable)].any()


def test_mining_leaves_easy_positions_without_gradient() -> None:
    distance = torch.arange(100.0, requires_grad=True)
    hard_feature_loss(distance, 0.9).backward()  # type: ignore[no-untyped-call]
    assert distance.grad is not None
    assert torch.count_nonzero(distance.grad) == 10
