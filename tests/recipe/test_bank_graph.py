"""The bank that the line runs gives what the bank of torch gives."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from inspector.detector.memory_bank import Neighbourhood, learn_bank
from inspector.recipe.bank_graph import bank_graph

GRID = (6, 9)
NEIGHBOURHOODS: tuple[Neighbourhood, ...] = ("everywhere", "radius")


def _maps(count: int, seed: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn((count, 24, *GRID), generator=random)


def _run(path: Path, features: torch.Tensor) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (distances,) = session.run(["distances"], {"features": features.numpy()})
    return np.asarray(distances, np.float32)


@pytest.mark.parametrize("neighbourhood", NEIGHBOURHOODS)
@pytest.mark.parametrize("most", [60, 4000])
def test_the_graph_gives_the_banks_maps_for_any_number_of_pictures(
    tmp_path: Path, neighbourhood: Neighbourhood, most: int
) -> None:
    bank = learn_bank(_maps(8, 0), neighbourhood, most)
    (tmp_path / "bank.onnx").write_bytes(bank_graph(bank.patches.numpy(), bank.reach, GRID))
    for count in (1, 3):
        features = 7 * _maps(count, 1)
        expected = bank.distance_map(features).numpy()
        found = _run(tmp_path / "bank.onnx", features)
        assert found.shape == (count, *GRID)
        assert np.abs(found - expected).max() < 2e-3


def test_features_that_are_no_numbers_are_never_clean(tmp_path: Path) -> None:
    bank = learn_bank(_maps(4, 0), "everywhere")
    (tmp_path / "bank.onnx").write_bytes(bank_graph(bank.patches.numpy(), bank.reach, GRID))
    features = _maps(1, 1)
    features[0, :, 2, 3] = float("nan")
    features[0, :, 4, 5] = 0
    distances = _run(tmp_path / "bank.onnx", features)
    for row, column in ((2, 3), (4, 5)):
        assert not distances[0, row, column] > -1


@pytest.mark.parametrize("neighbourhood", NEIGHBOURHOODS)
def test_the_same_bank_is_the_same_file_and_half_as_large_as_its_numbers(
    tmp_path: Path, neighbourhood: Neighbourhood
) -> None:
    bank = learn_bank(_maps(40, 0), neighbourhood)
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(bank_graph(bank.patches.numpy(), bank.reach, GRID))
    content = (tmp_path / "one").read_bytes()
    assert content == (tmp_path / "two").read_bytes()
    graph = 1700 + 150 * len(bank.patches)  # the nodes, for each row of the bank some of its own
    assert 2 * bank.patches.numel() < len(content) < 2 * bank.patches.numel() + graph


def test_a_bank_of_other_rows_than_the_maps_is_refused() -> None:
    with pytest.raises(ValueError, match="5 rows cannot judge maps of 6"):
        bank_graph(np.ones((5, 3, 24), np.float32), 1, GRID)
