"""The method beside the paper: distance, loss, views."""

import numpy as np
import pytest
import torch

from inspector.detector.corruption import STRATEGIES
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


def test_without_mining_the_loss_is_the_mean_and_with_it_the_hardest_positions() -> None:
    distance = torch.arange(400.0).view(1, 20, 20)
    assert float(hard_feature_loss(distance, 0.0)) == pytest.approx(199.5)
    assert float(hard_feature_loss(distance, 0.99)) == pytest.approx((399 + 398 + 397 + 396) / 4)
    assert float(hard_feature_loss(distance, 1.0)) == 399


def test_mining_leaves_easy_positions_without_gradient() -> None:
    distance = torch.arange(100.0, requires_grad=True)
    hard_feature_loss(distance, 0.9).backward()  # type: ignore[no-untyped-call]
    assert distance.grad is not None
    assert torch.count_nonzero(distance.grad) == 10


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_changes_what_both_see_and_repeats_under_its_seed(name: str) -> None:
    pictures = torch.rand(2, 56, 56, 3) * 255
    views = [STRATEGIES[name](pictures, np.random.default_rng(4)) for _ in range(2)]
    (student, teacher), (again, _) = views
    assert torch.equal(student, teacher)
    assert torch.equal(student, again)
    assert student.shape == pictures.shape
    assert not torch.allclose(student, pictures)
    assert float(student.min()) >= 0
    assert float(student.max()) <= 255
