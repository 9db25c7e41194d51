"""What the student and the teacher see of a clean picture, strategy by strategy and combined."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from inspector.core.errors import RecipeError
from inspector.detector.corruption import (
    LATENT_STRENGTH,
    STRATEGIES,
    Supplies,
    Views,
    changed_views,
    check_strategies,
)
from inspector.detector.networks import Architecture, FeatureNetwork
from inspector.detector.stains import HALF_AXIS, MOST, OPACITY, WAVE, stain

SMALL = Architecture(rows=56, columns=84, width=24, depth=1, heads=3, outputs=32)
NETWORK = FeatureNetwork(SMALL).eval().requires_grad_(requires_grad=False)
PAIRS = np.random.default_rng(1).integers(0, 255, (3, 2, 56, 84, 3), dtype=np.uint8)
SUPPLIES = Supplies(NETWORK, NETWORK, {"transfer": PAIRS})
BOTH_SEE = ("rotation", "turn", "brightness-contrast")
STUDENT_ALONE = ("stained-shape", "latent", "transfer")

unhurried = settings(deadline=None)
seeds = st.integers(0, 2**32 - 1)
some_strategies = st.lists(st.sampled_from(list(STRATEGIES)), unique=True).map(tuple)


def _pictures(count: int = 2) -> Tensor:
    return torch.rand(count, 56, 84, 3, generator=torch.Generator().manual_seed(3)) * 255


def _plain() -> Views:
    pictures = _pictures()
    return Views((0, 1), pictures, pictures, torch.ones(2, 4, 6, dtype=torch.bool))


def _applied(name: str, seed: int) -> Views:
    return STRATEGIES[name].apply(_plain(), SUPPLIES, np.random.default_rng(seed))


def _step(names: Sequence[str], seed: int) -> Views:
    random = np.random.default_rng(seed)
    return changed_views(_pictures(), (0, 1), names, SUPPLIES, random)


def _same(one: Views, other: Views) -> bool:
    offsets = (one.offset is None and other.offset is None) or (
        one.offset is not None and other.offset is not None and one.offset.equal(other.offset)
    )
    return (
        offsets
        and one.student.equal(other.student)
        and one.teacher.equal(other.teacher)
        and one.minable.equal(other.minable)
    )


@unhurried
@given(seed=seeds, name=st.sampled_from(BOTH_SEE))
def test_rotation_and_light_are_seen_by_both_alike(seed: int, name: str) -> None:
    views = _applied(name, seed)
    assert views.student.equal(views.teacher)
    assert views.student.shape == _pictures().shape
    assert 0 <= float(views.student.min()) <= float(views.student.max()) <= 255
    assert views.teacher_changed
    assert views.offset is None
    assert views.minable.all()


@unhurried
@given(seed=seeds, name=st.sampled_from(STUDENT_ALONE))
def test_the_teacher_never_sees_a_corruption(seed: int, name: str) -> None:
    views = _applied(name, seed)
    assert views.teacher.equal(_pictures())
    assert not views.teacher_changed
    assert views.offset is not None or not views.student.equal(views.teacher)


@unhurried
@given(seed=seeds)
def test_no_stained_pixel_lies_where_the_loss_may_mine(seed: int) -> None:
    views = _applied("stained-shape", seed)
    stained = (views.student != views.teacher).any(dim=3)
    minable = views.minable.repeat_interleave(14, dim=1).repeat_interleave(14, dim=2)
    assert stained.flatten(1).any(dim=1).all()
    assert not (stained & minable).any()
    assert views.student.isfinite().all()
    assert 0 <= float(views.student.min()) <= float(views.student.max()) <= 255


@unhurried
@given(seed=seeds, rows=st.integers(56, 400), columns=st.integers(56, 800))
def test_stains_stay_within_the_sizes_they_state(seed: int, rows: int, columns: int) -> None:
    one = stain((rows, columns), np.random.default_rng(seed))
    widest = HALF_AXIS[1] * min(rows, columns) * (1 + WAVE)
    covered = one.opacity > 0
    assert 0 < np.count_nonzero(covered) <= MOST * np.pi * (widest + 1) ** 2
    assert one.opacity[covered].min() >= OPACITY[0]
    assert one.opacity.max() <= OPACITY[1]


def test_stains_leave_clean_positions_to_mine_in_every_view() -> None:
    random = np.random.default_rng(0)
    shares = [np.mean(stain((280, 280), random).opacity > 0) for _ in range(300)]
    assert max(shares) < 0.15
    assert np.std(shares) > 0.005


def test_latent_noise_follows_the_spread_of_each_channel() -> None:
    offset = torch.cat([_step_offset("latent", seed) for seed in range(60)])
    spread = NETWORK.embed(_pictures()).std(dim=(0, 1))
    ratio = offset.std(dim=(0, 1)) / (LATENT_STRENGTH * spread)
    assert ratio.sub(1).abs().max() < 0.1
    assert offset.mean(dim=(0, 1)).abs().div(spread).max() < 0.05


def _step_offset(name: str, seed: int) -> Tensor:
    offset = _applied(name, seed).offset
    assert offset is not None
    return offset


def test_transfer_noise_is_the_difference_between_the_two_embeddings_of_a_pair() -> None:
    differences = [
        NETWORK.embed(torch.from_numpy(pair[:1])) - NETWORK.embed(torch.from_numpy(pair[1:]))
        for pair in PAIRS
    ]
    drawn = {
        next(i for i, one in enumerate(differences) if torch.allclose(one[0], offset, atol=1e-5))
        for seed in range(20)
        for offset in _step_offset("transfer", seed)
    }
    assert drawn == {0, 1, 2}


def test_latent_and_transfer_noise_add_up() -> None:
    both = STRATEGIES["transfer"].apply(
        STRATEGIES["latent"].apply(_plain(), SUPPLIES, np.random.default_rng(1)),
        SUPPLIES,
        np.random.default_rng(2),
    )
    assert both.offset is not None
    alone = _step_offset("latent", 1) + _step_offset("transfer", 2)
    assert torch.allclose(both.offset, alone, atol=1e-6)


@unhurried
@given(seed=seeds, names=some_strategies)
def test_a_step_repeats_under_its_seed_in_whatever_order_strategies_are_named(
    seed: int, names: tuple[str, ...]
) -> None:
    assert _same(_step(names, seed), _step(names[::-1], seed))


def test_a_strategy_is_applied_in_half_of_the_steps_and_independently_of_others() -> None:
    names = ("brightness-contrast", "latent")
    counts = np.zeros((2, 2), int)
    for seed in range(400):
        views = _step(names, seed)
        counts[int(views.teacher_changed), int(views.offset is not None)] += 1
    assert counts.min() > 70


@pytest.mark.parametrize("names", list(combinations(STRATEGIES, 3)))
def test_corruptions_come_on_top_of_what_both_see(names: tuple[str, ...]) -> None:
    for seed in range(8):
        views = _step(names, seed)
        untouched = ~(views.student != views.teacher).any(dim=3)
        if "stained-shape" not in names:
            assert untouched.all()
        assert untouched.float().mean() > 0.5
        assert views.teacher_changed or views.teacher.equal(_pictures())


def test_what_both_see_is_changed_alike_when_the_student_already_sees_another_picture() -> None:
    other = _pictures().flip(0)
    views = STRATEGIES["turn"].apply(
        Views((0, 1), other, _pictures(), _plain().minable), SUPPLIES, np.random.default_rng(5)
    )
    assert views.student.equal(views.teacher.flip(0))


@pytest.mark.parametrize("pairs", [None, PAIRS[:0]])
def test_transfer_without_pictures_of_other_types_is_refused(
    pairs: NDArray[np.uint8] | None,
) -> None:
    supplies = Supplies(NETWORK, NETWORK, {} if pairs is None else {"transfer": pairs})
    with pytest.raises(RecipeError, match=r"no pictures of other cup types.*; hand over pairs"):
        STRATEGIES["transfer"].check(supplies)


def test_transfer_pairs_of_another_size_are_refused() -> None:
    supplies = Supplies(NETWORK, NETWORK, {"transfer": PAIRS[:, :, :28]})
    with pytest.raises(RecipeError, match="hand over pairs of pictures of 56×84 px"):
        STRATEGIES["transfer"].check(supplies)


def test_transfer_from_a_wider_teacher_is_refused() -> None:
    wide = FeatureNetwork(Architecture(rows=56, columns=84, width=48, depth=1, outputs=None))
    with pytest.raises(RecipeError, match="give the student its teacher's width"):
        STRATEGIES["transfer"].check(Supplies(NETWORK, wide, {"transfer": PAIRS}))


def test_an_unknown_strategy_is_refused_with_the_list_of_those_that_are_known() -> None:
    with pytest.raises(RecipeError, match=r"'sunshine'; use any of: rotation, turn, .*transfer"):
        check_strategies(("rotation", "sunshine"))
