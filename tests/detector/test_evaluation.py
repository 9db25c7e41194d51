"""The figures of an evaluation are those one would count by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.core.errors import RecipeError
from inspector.decision import Calibration
from inspector.detector.evaluation import Seen, evaluate
from inspector.vision import UPRIGHT

CALIBRATION = Calibration(q_a=-1.0, q_b=-0.5, image_threshold=0.5, pixel_threshold=0.5)


def _distances(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """As hot as the picture is bright, in 12×12 cells."""
    cells = images[:, ::32, ::32, 0].astype(np.float32)
    return np.asarray(-cells / 100, np.float32)


def _seen(kind: str, brightness: int, masked: bool = True) -> Seen:
    image = np.zeros((384, 384, 3), np.uint8)
    image[:64, :64] = brightness
    mask = np.zeros((192, 192), np.bool_)
    mask[:32, :32] = masked and kind != "good"
    return Seen(kind, image, mask)


def test_every_figure_by_hand() -> None:
    pictures = [
        _seen("good", 5),
        _seen("good", 60),
        _seen("good", 1),
        Seen("good", None, None),
        _seen("crack", 90),
        _seen("crack", 20),
        Seen("hole", None, None),
    ]
    result = evaluate(CALIBRATION, UPRIGHT, pictures, _distances)
    assert result.detection_rate == pytest.approx(2 / 3)
    assert result.false_reject_rate == pytest.approx(2 / 4)
    assert result.image_auroc == pytest.approx(5 / 6)
    assert result.pixel_auroc > 0.9
    assert (result.kinds["crack"].images, result.kinds["crack"].rejected) == (2, 1)
    assert (result.kinds["hole"].rejected, result.kinds["hole"].refused) == (1, 1)


def test_without_defective_cups_there_is_nothing_to_tell() -> None:
    with pytest.raises(RecipeError, match="both clean and defective"):
        evaluate(CALIBRATION, UPRIGHT, [_seen("good", 5)], _distances)
