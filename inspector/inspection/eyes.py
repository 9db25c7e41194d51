"""What a lane's frames are looked at with."""

from collections.abc import Callable
from dataclasses import dataclass

from inspector.camera.client import Acquisition
from inspector.inspection.judge import Examine
from inspector.inspection.sight import Sight
from inspector.vision import CupOutline
from inspector.vision.pixels import Raw

Locate = Callable[[Sight, Raw, str], tuple[CupOutline, ...]]


@dataclass(frozen=True, slots=True)
class Eyes:
    """One lane's camera and recipe.

    Attributes:
        acquisition: where pixels come from.
        examine: frame to verdict.
        locate: frame to the cups in it.
        label: of the recipe that judges.
        fault: why no recipe does and everything is rejected, "what; remedy"; empty where one does.
        prove: looks whether the recipe's networks are still right; called when no frame waits.
    """

    acquisition: Acquisition
    examine: Examine
    locate: Locate
    label: str = "none"
    fault: str = ""
    prove: Callable[[], None] = lambda: None
