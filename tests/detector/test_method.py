"""The method beside the paper: distance, loss, networks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from inspector.detector.corruption import STRATEGIES
from inspector.detector.loss import cosine_distance, distance_map, hard_feature_loss
from inspector.detector.networks import (
    Architecture,
    VisionTransformer,
    load_teacher,
    plain_weights,
)
from inspector.engine import load_network
from inspector.recipe import Teacher, teacher_path
from inspector.recipe.graph import write_transformer

SMALL = Architecture(rows=56, columns=56, width=24, depth=2, heads=3, outputs=32)


def _maps(seed: int) -> torch.Tensor:
    return torch.randn(2, 32, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_equation_one_by_hand() -> None:
    student, teacher = _maps(1), _maps(2)
    by_hand = sum(-0.5 / 32 * (student[1, c, 2, 3] - teacher[1, c, 2, 3]) ** 2 for c in range(32))
    assert float(distance_map(student, teacher)[1, 2, 3]) == pytest.approx(float(by_hand), rel=1e-5)


def test_with_normalised_outputs_equation_one_is_the_cosine_distance_of_equation_four() -> None:
    torch.manual_seed(0)
    first, second = VisionTransformer(SMALL).eval(), VisionTransformer(SMALL).eval()
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


@pytest.mark.parametrize(("rows", "columns"), [(280, 280), (224, 784)])
def test_the_exported_student_computes_what_torch_computes(
    tmp_path: Path, rows: int, columns: int
) -> None:
    torch.manual_seed(1)
    student = VisionTransformer(Architecture(rows=rows, columns=columns)).eval()
    path = tmp_path / "student.onnx"
    write_transformer(plain_weights(student), 3, (rows, columns), path)
    pictures = np.random.default_rng(0).integers(0, 255, (2, rows, columns, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = student(torch.from_numpy(pictures)).numpy()
    assert np.abs(load_network(path).run(pictures) - expected).max() < 1e-3
    assert path.stat().st_size < 9_000_000


def test_the_teacher_is_the_same_in_torch_and_as_a_graph(tmp_path: Path) -> None:
    teacher = Teacher()
    pictures = np.random.default_rng(0).integers(0, 255, (1, 280, 280, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = load_teacher(teacher)(torch.from_numpy(pictures)).numpy()
    graph = load_network(teacher_path(teacher, cache=tmp_path))
    assert np.abs(graph.run(pictures) - expected).max() < 1e-3


def test_the_teacher_does_not_learn() -> None:
    assert not any(weight.requires_grad for weight in load_teacher(Teacher()).parameters())
