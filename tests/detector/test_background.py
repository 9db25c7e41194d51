"""The background network's training: the same every time, resumable, and exported as it is."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from inspector.core.errors import RecipeError
from inspector.detector import background
from inspector.detector.background import BackgroundPlan, export, overlap, train
from inspector.detector.scenes import Pictures, batch_of_scenes, read_pictures

PLAN = BackgroundPlan(channels=2, levels=2, steps=10, batch=2)


@pytest.fixture
def discs(tmp_path: Path) -> Pictures:
    """Clean sets of two types as the twin writes them: here dark discs on a bright belt."""
    for cup_type, centre in (("type-a", (150, 100)), ("type-b", (180, 110))):
        mask = cv2.circle(np.zeros((200, 300), np.uint8), centre, 70, 255, -1)
        frame = cv2.merge([np.where(mask > 0, 60, 190).astype(np.uint8)] * 3)
        for path, picture in (
            (tmp_path / cup_type / "train/good/0000.png", frame),
            (tmp_path / cup_type / "cup_mask/train/good/0000_mask.png", mask),
        ):
            path.parent.mkdir(parents=True)
            cv2.imwrite(str(path), picture)
    return read_pictures(tmp_path)


def test_pictures_of_all_types_below_a_folder_are_read(discs: Pictures) -> None:
    assert len(discs.names) == len(discs.frames) == 2
    inside = discs.coverage == 1.0
    assert (discs.frames[inside] < 70).all()
    assert 0.2 < inside.mean() < 0.3


def test_a_folder_without_masks_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"holds no cup masks.*inspector\.twin\.cups images"):
        read_pictures(tmp_path)


def test_a_missing_frame_is_named(discs: Pictures, tmp_path: Path) -> None:
    (tmp_path / "type-b/train/good/0000.png").unlink()
    with pytest.raises(RecipeError, match=r"type-b/train/good/0000\.jpg is missing"):
        read_pictures(tmp_path)


def test_scenes_are_the_same_for_the_same_seed_and_differ_otherwise(discs: Pictures) -> None:
    first, again, other = (
        batch_of_scenes(discs, 6, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])
    assert first[0].shape == (6, 160, 240, 3)
    assert first[1].min() >= 0.0
    assert first[1].max() <= 1.0


def test_an_interrupted_training_ends_like_an_uninterrupted_one(
    discs: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCutError(Exception):
        pass

    def cut(step: int, _loss: float) -> None:
        if step == 6:
            raise PowerCutError

    monkeypatch.setattr(background, "CHECKPOINT_EVERY", 4)
    checkpoint = tmp_path / "network.checkpoint"
    whole = train(discs, PLAN)
    with pytest.raises(PowerCutError):
        train(discs, PLAN, checkpoint, cut)
    steps: list[int] = []
    resumed = train(discs, PLAN, checkpoint, lambda step, _loss: steps.append(step))
    assert steps[0] == 5
    for mine, its in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, its)
    with pytest.raises(RecipeError, match="another plan"):
        train(discs, replace(PLAN, seed=1), checkpoint)


def test_the_exported_graph_says_what_the_network_says(discs: Pictures, tmp_path: Path) -> None:
    network = train(discs, replace(PLAN, steps=5))
    export(network, tmp_path / "background.onnx")
    session = onnxruntime.InferenceSession(
        tmp_path / "background.onnx", providers=["CPUExecutionProvider"]
    )
    images, _ = batch_of_scenes(discs, 3, np.random.default_rng(5))
    with torch.inference_mode():
        expected = torch.sigmoid(network(torch.from_numpy(images))).numpy()
    (said,) = session.run(None, {"picture": images})
    assert np.abs(said - expected).max() < 1e-5


def test_overlap_counts_what_both_say() -> None:
    left, right = np.zeros((2, 4), np.float32), np.zeros((2, 4), np.float32)
    left[:, :3], right[:, 1:] = 1.0, 1.0
    assert overlap(left, right) == 0.5
    assert overlap(left * 0, right * 0) == 1.0
