"""The paper's peers run through anomalib where it is installed; where not, it says how to get it."""

import sys

import numpy as np
import pytest

from inspector.core.errors import EngineError
from inspector.detector.peers import check_peers, peer_maps

PICTURES = np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), np.uint8)


def test_without_anomalib_the_command_to_install_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "anomalib", None)
    with pytest.raises(EngineError, match=r"run: pip install 'inspector\[peers\]'"):
        check_peers()
    with pytest.raises(EngineError, match="anomalib"):
        peer_maps("efficient-ad", PICTURES, PICTURES, steps=2, seed=0)


def test_reverse_distillation_trains_and_gives_a_map_for_each_picture() -> None:
    """Without its weights, which only the internet has: that it runs, not how well."""
    pytest.importorskip("anomalib", reason="needs the extra 'peers'")
    maps = peer_maps(
        "reverse-distillation", PICTURES[:2], PICTURES[2:], steps=3, seed=0, pretrained=False
    )
    assert maps.shape == (3, 256, 256)
    assert maps.dtype == np.float32
    assert np.isfinite(maps).all()
    assert len({float(one.max()) for one in maps}) == 3
