"""The state of the art that the paper compares with (Table 3): EfficientAD and reverse distillation.

Both through anomalib, an extra.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import EngineError

Peer = Literal["efficient-ad", "reverse-distillation"]
INSTALL = "run: pip install 'inspector[peers]'"


def peer_maps(
    peer: Peer,
    clean: NDArray[np.uint8],
    test: NDArray[np.uint8],
    seed: int,
    on_step: Callable[[int, float], None] = lambda _step, _loss: None,
) -> NDArray[np.float32]:
    """Train a peer on clean pictures and look at others.

    Args:
        peer: which.
        clean: n×R×K×3 uint8 RGB.
        test: m×R×K×3 uint8 RGB.
        seed: of everything random.
        on_step: called after each training step with its number and loss.

    Returns:
        m×h×w anomaly maps, the hotter the more defective.

    Raises:
        EngineError: anomalib is not installed.
    """
    raise EngineError("the package 'anomalib', which holds the peers, is not installed", INSTALL)
