"""What finds cups in frames and turns them, for the threads that judge."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

import inspector.vision
from inspector.camera.ring import new_room
from inspector.recipe.manifest import ViewEntry
from inspector.vision import CupImage, CupOutline, OrientationReference, Refusal, Segment
from inspector.vision.pixels import Raw


class Sight(Protocol):
    """What finds cups in frames, for one thread at a time."""

    def room(self, count: int) -> NDArray[np.uint8]:
        """Memory for a frame of so many bytes, in which it is seen without being copied once more.

        It holds until the next time.
        """

    def locate(self, raw: Raw, pixel_format: str, segment: Segment) -> tuple[CupOutline, ...]:
        """See :func:`inspector.vision.locate`."""

    def prepare(
        self,
        raw: Raw,
        pixel_format: str,
        segment: Segment,
        reference: OrientationReference | None,
        outline: CupOutline | None,
        view: ViewEntry,
    ) -> CupImage | Refusal:
        """See :func:`inspector.vision.prepare`. Pictures in it hold until something else is looked at."""

    def centred_view(self, raw: Raw, pixel_format: str, outline: CupOutline) -> NDArray[np.uint8]:
        """See :func:`inspector.vision.centred_view`; it holds for good."""

    def close(self) -> None:
        """Look no more."""


class SightHere:
    """See :class:`Sight`: in this process."""

    room = staticmethod(new_room)
    locate = staticmethod(inspector.vision.locate)
    prepare = staticmethod(inspector.vision.prepare)
    centred_view = staticmethod(inspector.vision.centred_view)

    def close(self) -> None:
        """See :class:`Sight`."""
