"""The state of the art that the paper compares with (Table 3): EfficientAD and reverse distillation.

Both come from anomalib (the extra ``peers``) with its own settings and its own input of 256×256 px; as in
§5 they train for 160 epochs at batch 1. Their backbones learned elsewhere: at first use anomalib fetches
their weights, and for EfficientAD the pictures of ImageNette, from the internet. So neither has been
measured in this project yet: with random weights and a few steps on noise they were run here, to see that
this module works.
"""

import importlib
import importlib.util
import math
import tempfile
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import EngineError
from inspector.recipe.teacher import cache_folder

Peer = Literal["efficient-ad", "reverse-distillation"]


def check_peers() -> None:
    """Raise EngineError where anomalib is not installed, or cannot be used as it is."""
    if importlib.util.find_spec("anomalib") is None:
        raise EngineError(
            "the package 'anomalib', which holds the paper's peers, is not installed",
            "run: pip install 'inspector[peers]'",
        )
    try:
        importlib.import_module("anomalib.models")
    except (ImportError, RuntimeError) as error:
        # A torchvision that was built for another torch fails with a RuntimeError.
        raise EngineError(
            f"anomalib cannot be imported: {error}",
            "install the torchvision that belongs to this torch, for the same CPU or GPU",
        ) from error


def peer_maps(
    peer: Peer,
    clean: NDArray[np.uint8],
    test: NDArray[np.uint8],
    steps: int,
    seed: int,
    pretrained: bool = True,
) -> NDArray[np.float32]:
    """Train a peer on clean pictures and look at others.

    Args:
        peer: which.
        clean: n×R×K×3 uint8 RGB.
        test: m×R×K×3 uint8 RGB.
        steps: of training, one picture each; rounded up to whole epochs.
        seed: of everything random.
        pretrained: whether the backbone of reverse distillation has its weights; without them nothing
            but this module can be tested.

    Returns:
        m×h×w anomaly maps, the hotter the more defective.

    Raises:
        EngineError: anomalib is not installed, or weights cannot be fetched.
    """
    check_peers()
    from anomalib.data import Folder, PredictDataset
    from anomalib.engine import Engine
    from lightning import seed_everything

    seed_everything(seed, verbose=False)
    with tempfile.TemporaryDirectory(prefix="inspector-") as name:
        root = Path(name)
        _write(root / "clean", clean)
        _write(root / "test", test)
        # EfficientAD takes q_a and q_b from clean pictures after an epoch; there are no others.
        pictures = Folder(
            name="clean",
            root=root,
            normal_dir="clean",
            normal_test_dir="clean",
            val_split_mode="same_as_test",
            train_batch_size=1,
            num_workers=0,
            seed=seed,
        )
        epochs = math.ceil(steps / len(clean))
        engine = Engine(
            max_epochs=epochs,
            check_val_every_n_epoch=epochs,
            default_root_dir=root / "runs",
            logger=False,
            enable_progress_bar=False,
        )
        try:
            model = _model(peer, pretrained)
            engine.fit(model=model, datamodule=pictures)
        except OSError as error:
            raise EngineError(
                f"what {peer} learned elsewhere cannot be fetched: {error}",
                "connect this machine to the internet once, or leave the row out",
            ) from error
        seen = engine.predict(model=model, dataset=PredictDataset(path=root / "test"))
        maps = {
            Path(path).name: np.asarray(one.float().cpu().numpy(), np.float32).squeeze()
            for batch in seen or []
            for path, one in zip(batch.image_path, batch.anomaly_map, strict=True)
        }
    return np.stack([maps[file] for file in sorted(maps)])


def _model(peer: Peer, pretrained: bool) -> Any:
    """The network without what needs defective pictures or draws."""
    from anomalib.models import EfficientAd, ReverseDistillation

    bare = {"post_processor": False, "evaluator": False, "visualizer": False}
    if peer == "efficient-ad":
        return EfficientAd(imagenet_dir=cache_folder() / "imagenette", **bare)
    return ReverseDistillation(pre_trained=pretrained, **bare)


def _write(folder: Path, pictures: NDArray[np.uint8]) -> None:
    """As files, which is how anomalib reads pictures."""
    folder.mkdir()
    for number, picture in enumerate(pictures):
        file = folder / f"{number:05d}.png"
        cv2.imwrite(str(file), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
