"""A bank of clean patches: what it knows is cold, where it knows it from, and who is left out."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from inspector.detector.memory_bank import Neighbourhood, learn_bank, leave_one_out
from inspector.recipe.view import cup_patches

pytestmark = pytest.mark.usefixtures("one_thread")

NEIGHBOURHOODS: tuple[Neighbourhood, ...] = ("everywhere", "radius")
quickly = settings(max_examples=25, deadline=None)


def _maps(count: int, seed: int, rows: int = 5, columns: int = 7, channels: int = 16) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn((count, channels, rows, columns), generator=random)


def _by_hand(feature: Tensor, patches: Tensor) -> float:
    return float(torch.cosine_similarity(feature[None], patches, dim=1).max()) - 1


def _patches(features: Tensor, rows: slice = slice(None)) -> Tensor:
    return features[:, :, rows].permute(0, 2, 3, 1).flatten(0, 2)


@pytest.mark.parametrize("neighbourhood", NEIGHBOURHOODS)
def test_a_patch_that_was_learned_is_cold_and_its_opposite_as_hot_as_can_be(
    neighbourhood: Neighbourhood,
) -> None:
    clean = _maps(3, 0)
    bank = learn_bank(clean, neighbourhood)
    assert bank.distance_map(5 * clean).abs().max() < 1e-3
    one = clean[:1, :, :1, :1]
    alone = learn_bank(one, neighbourhood)
    assert alone.distance_map(-one).item() == pytest.approx(-2, abs=1e-3)


@quickly
@given(st.integers(0, 1000), st.sampled_from(NEIGHBOURHOODS))
def test_distances_are_those_of_a_search_by_hand(seed: int, neighbourhood: Neighbourhood) -> None:
    clean, seen = _maps(3, seed), _maps(2, seed + 5000)
    distances = learn_bank(clean, neighbourhood).distance_map(seen)
    for row, column in ((0, 0), (2, 3), (4, 6)):
        rows = slice(max(row - 1, 0), row + 2) if neighbourhood == "radius" else slice(None)
        expected = _by_hand(seen[1, :, row, column], _patches(clean, rows))
        assert float(distances[1, row, column]) == pytest.approx(expected, abs=1e-3)


@quickly
@given(st.integers(1, 6), st.integers(0, 1000))
def test_turning_a_polar_view_turns_its_map_and_changes_nothing_else(by: int, seed: int) -> None:
    bank = learn_bank(_maps(3, seed), "radius")
    seen = _maps(1, seed + 5000)
    turned = bank.distance_map(seen.roll(by, dims=3))
    assert torch.allclose(turned, bank.distance_map(seen).roll(by, dims=2), atol=1e-5)


def test_a_patch_at_the_wrong_radius_is_hot_although_it_is_known_elsewhere() -> None:
    clean = _maps(2, 0)
    moved = clean.clone()
    moved[0, :, 0, 0] = clean[0, :, 3, 0]
    assert learn_bank(clean, "everywhere").distance_map(moved)[0, 0, 0] > -1e-3
    assert learn_bank(clean, "radius").distance_map(moved)[0, 0, 0] < -0.1


@quickly
@given(st.integers(0, 1000), st.sampled_from(NEIGHBOURHOODS))
def test_more_clean_pictures_never_make_a_position_hotter(
    seed: int, neighbourhood: Neighbourhood
) -> None:
    clean, seen = _maps(4, seed), _maps(2, seed + 5000)
    fewer = learn_bank(clean[:3], neighbourhood).distance_map(seen)
    more = learn_bank(clean, neighbourhood).distance_map(seen)
    assert (more >= fewer - 1e-6).all()


@pytest.mark.parametrize("neighbourhood", NEIGHBOURHOODS)
@pytest.mark.parametrize("count", [2, 5])
def test_a_picture_left_out_is_seen_as_by_a_bank_of_the_others(
    neighbourhood: Neighbourhood, count: int
) -> None:
    clean = _maps(count, 0)
    maps = leave_one_out(clean, neighbourhood)
    for index in range(count):
        others = torch.cat([clean[:index], clean[index + 1 :]])
        expected = learn_bank(others, neighbourhood).distance_map(clean[index : index + 1])[0]
        assert torch.allclose(maps[index], expected, atol=1e-5)


@pytest.mark.parametrize("neighbourhood", NEIGHBOURHOODS)
def test_of_too_many_patches_those_are_kept_that_stand_for_all(
    neighbourhood: Neighbourhood,
) -> None:
    """Pictures of many common patches and one rare one, at a place of its own."""
    common = normalize(_maps(1, 0, 1, 1), dim=1) + 0.05 * _maps(20, 1)
    rare = _maps(1, 2)[0, :, 2, 2]
    clean = common.clone()
    clean[7, :, 2, 2] = rare
    bank = learn_bank(clean, neighbourhood, most_patches=60)
    assert bank.patches.shape == ((5, 20, 16) if neighbourhood == "radius" else (1, 60, 16))
    assert bank.distance_map(clean)[7, 2, 2] > -1e-3
    again = learn_bank(clean, neighbourhood, most_patches=60)
    assert torch.equal(bank.patches, again.patches)


def test_a_rare_patch_does_not_excuse_the_picture_that_has_it() -> None:
    clean = normalize(_maps(1, 0, 1, 1), dim=1) + 0.05 * _maps(20, 1)
    clean[7, :, 2, 2] = _maps(1, 2)[0, :, 2, 2]
    maps = leave_one_out(clean, "everywhere", most_patches=60)
    assert int(maps.flatten().argmin()) == 7 * 35 + 2 * 7 + 2


def _round(count: int, seed: int) -> Tensor:
    """Clean pictures of round views: much alike on the cup, a row of ones beside it."""
    grid = (12, 12)
    shown = torch.zeros(grid, dtype=torch.bool)
    shown.view(-1)[torch.from_numpy(cup_patches(grid))] = True
    clean = _maps(1, 0, *grid) + 0.3 * _maps(count, seed, *grid)
    clean -= clean.mean(dim=1, keepdim=True)
    return torch.where(shown, clean, 1.0)


def test_beside_the_cup_no_picture_is_hot_whichever_of_them_is_left_out() -> None:
    """Of so many patches a part is kept, and what all pictures have beside the cup is kept of one."""
    clean = _round(8, 1)
    maps = leave_one_out(clean, "cup", most_patches=200)
    beside = (clean == 1).all(dim=1)
    assert maps[beside].abs().max() < 1e-3
    assert maps[~beside].max() < -1e-3
    seen = learn_bank(clean, "cup", most_patches=200).distance_map(_round(1, 2))
    assert seen[beside[:1]].abs().max() < 1e-3


def test_what_is_beside_the_cup_takes_one_patch_of_a_bank() -> None:
    clean = _round(8, 1)
    on_cup = int((clean[0] != 1).any(dim=0).sum())
    assert learn_bank(clean, "cup").patches.shape[1] == 8 * on_cup + 1
    assert learn_bank(clean, "cup", most_patches=200).patches.shape[1] == 200


def test_a_picture_alone_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match="alone"):
        leave_one_out(_maps(1, 0), "everywhere")


def test_maps_of_another_number_of_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="bank of 5 rows cannot judge maps of 6"):
        learn_bank(_maps(2, 0), "radius").distance_map(_maps(1, 1, rows=6))


def test_a_bank_of_many_pictures_holds_no_second_copy_of_all_their_features() -> None:
    clean = _maps(64, 0, rows=16, columns=56, channels=384)
    before = _kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    learn_bank(clean, "radius", most_patches=30)
    assert 1024 * (_kilobytes("VmHWM") - before) < clean.nbytes


def _kilobytes(of: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{of}:"))
