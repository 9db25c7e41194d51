"""Free run: from what each frame shows to the cups that crossed the picture, each once.

At a known belt speed every sighting of a cup says when that cup's centre crosses the picture's centre,
wherever in the picture it stands. All sightings of one cup say nearly the same time, two cups' times lie
at least one spacing apart: so cups are told apart by crossing time, and a lost frame or a cup missed in
one needs no special care. Every cup seen is a part, were it once and cut: whoever is in doubt is told, and
rejected for want of a frame. Where so many frames are lost that a cup could have crossed the picture
unseen, that is told, too. Pure: no clock; times come with the frames.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from inspector.core.frame import FrameInfo

_SAME_SHARE = 0.5
"""Two sightings nearer than this part of a spacing are of one cup."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One cup in one frame.

    Attributes:
        x_px: its centre, from the left edge; it is in the picture.
        y_px: likewise, from the top.
        whole: it is not cut by the picture's edge.
    """

    x_px: float
    y_px: float
    whole: bool


@dataclass(frozen=True, slots=True)
class Crossed:
    """A cup crossed the picture: a part to be numbered.

    Attributes:
        at_ns: when its centre crossed the picture's centre, host monotonic clock.
        frame: the frame in which it was whole and nearest to the centre; None when never seen whole.
        x_px: where its centre is in that frame, None without one.
        y_px: likewise.
        first_ns: not before then: a cup never seen whole may have taken another circle for itself, and its
            sightings then do not agree. `at_ns` for all others.
        last_ns: not after then; likewise.
    """

    at_ns: int
    frame: FrameInfo | None
    x_px: float | None
    y_px: float | None
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class Unwatched:
    """What crossed is not sure.

    So many frames are lost that a cup may have gone by unseen, or one was found only after the one behind
    it was told.

    Attributes:
        until_ns: until then.
    """

    until_ns: int


@dataclass(slots=True, eq=False)
class _Cup:
    """A cup in view: when it crosses, its best frame so far, and whether it has been told."""

    at_ns: int
    off_px: float
    frame: FrameInfo | None = None
    sighting: Sighting | None = None
    told: bool = False
    times_ns: list[int] = field(default_factory=list)
    """What its sightings say; forgotten once it was seen whole."""

    @property
    def first_ns(self) -> int:
        """Not before then."""
        return min(self.times_ns, default=self.at_ns)

    @property
    def last_ns(self) -> int:
        """Not after then."""
        return max(self.times_ns, default=self.at_ns)


class Crossing:
    """Finds the cups that cross one lane's picture.

    Args:
        width_px: columns of the picture.
        belt_px_per_s: speed of cups across it, + is rightward; not 0.
        spacing_px: least distance between two cups' centres; at least a cup's diameter.
        patience_ns: how long after the time a frame should have come it is given up.

    Raises:
        ValueError: a belt that stands, or a size that is not positive.
    """

    def __init__(
        self, width_px: int, belt_px_per_s: float, spacing_px: float, patience_ns: int
    ) -> None:
        if belt_px_per_s == 0 or width_px <= 0 or spacing_px <= 0 or patience_ns <= 0:
            raise ValueError("width, spacing and patience must be positive, the belt must move")
        self._width_px = width_px
        self._px_per_ns = belt_px_per_s / 1e9
        self._spacing_px = spacing_px
        self._spacing_ns = spacing_px / abs(self._px_per_ns)
        self._in_view_ns = round(width_px / 2 / abs(self._px_per_ns))
        self._patience_ns = patience_ns
        self._cups: list[_Cup] = []
        self._exposed_ns: int | None = None
        self._told_ns: int | None = None

    @property
    def settled_ns(self) -> int | None:
        """No cup that crossed before this time is still to be told; None before the first frame."""
        if self._exposed_ns is None:
            return None
        untold = (cup.first_ns for cup in self._cups if not cup.told)
        pending = min(untold, default=self._exposed_ns)
        return min(pending, self._exposed_ns - self._in_view_ns)

    def observe(self, frame: FrameInfo, cups: Sequence[Sighting]) -> list[Crossed | Unwatched]:
        """A frame shows these cups, the surest first. Frames come in the order of their exposure.

        A frame that nobody could look at is not to be told: it would stand for an empty belt.
        """
        told: list[Crossed | Unwatched] = []
        if self._exposed_ns is not None and frame.exposed_ns - self._exposed_ns >= (
            2 * self._in_view_ns
        ):
            told = [
                *self._decided(frame.exposed_ns),
                Unwatched(frame.exposed_ns - self._in_view_ns),
            ]
        unmatched = [(self._crossing_ns(frame, one), one) for one in self._distinct(cups)]
        free = list(self._cups)
        # The closest pair first, so that no sighting takes the cup that another fits better.
        while pairs := [
            (self._apart(c, at_ns), c, (at_ns, s)) for c in free for at_ns, s in unmatched
        ]:
            apart, cup, seen = min(pairs, key=lambda pair: pair[0])
            if apart >= _SAME_SHARE:
                break
            free.remove(cup)
            unmatched.remove(seen)
            self._improve(cup, frame, *seen)
        for at_ns, sighting in unmatched:
            cup = _Cup(at_ns, float("inf"))
            self._improve(cup, frame, at_ns, sighting)
            self._cups.append(cup)
        self._cups.sort(key=lambda cup: cup.at_ns)
        self._exposed_ns = max(frame.exposed_ns, self._exposed_ns or frame.exposed_ns)
        told += self._decided(self._exposed_ns)
        # A cup that was told stays known until frames come from after it left, however late they are, or
        # it would be told twice.
        gone_ns = self._exposed_ns - self._in_view_ns - self._spacing_ns
        self._cups = [cup for cup in self._cups if not cup.told or cup.at_ns > gone_ns]
        return told

    def tick(self, now_ns: int) -> list[Crossed | Unwatched]:
        """Time passes without frames: cups in view are given up after ``patience_ns``."""
        return self._decided(now_ns - self._patience_ns)

    def _distinct(self, cups: Sequence[Sighting]) -> list[Sighting]:
        """One sighting a cup: no two cups stand nearer than half a spacing, whatever vision made of one.

        Of two that are nearer, the whole one stays, else the one told first.
        """
        kept: list[Sighting] = []
        for cup in sorted(cups, key=lambda cup: not cup.whole):
            apart = (math.hypot(cup.x_px - one.x_px, cup.y_px - one.y_px) for one in kept)
            if all(px >= _SAME_SHARE * self._spacing_px for px in apart):
                kept.append(cup)
        return kept

    def _crossing_ns(self, frame: FrameInfo, sighting: Sighting) -> int:
        to_go_px = self._width_px / 2 - sighting.x_px
        return frame.exposed_ns + round(to_go_px / self._px_per_ns)

    def _apart(self, cup: _Cup, at_ns: int) -> float:
        """How far from a cup's crossing another time is, in spacings."""
        return abs(cup.at_ns - at_ns) / self._spacing_ns

    def _improve(self, cup: _Cup, frame: FrameInfo, at_ns: int, sighting: Sighting) -> None:
        """Keep the better frame: a whole cup before a partial one, then the nearer to the centre."""
        off_px = abs(sighting.x_px - self._width_px / 2)
        if cup.told or (cup.frame is not None and not sighting.whole):
            return
        if sighting.whole:
            cup.times_ns.clear()
        else:
            cup.times_ns.append(at_ns)
        if off_px < cup.off_px or (sighting.whole and cup.frame is None):
            cup.at_ns, cup.off_px = at_ns, off_px
            if sighting.whole:
                cup.frame, cup.sighting = frame, sighting

    def _decided(self, exposed_ns: int) -> list[Crossed | Unwatched]:
        """Cups of which no better frame can come, given all frames exposed until then; in order."""
        crossed: list[Crossed | Unwatched] = []
        for cup in self._cups:
            if cup.told:
                continue
            if exposed_ns < self._settled_at(cup):
                break
            cup.told = True
            x_px, y_px = (
                (None, None)
                if cup.sighting is None
                else (
                    cup.sighting.x_px,
                    cup.sighting.y_px,
                )
            )
            crossed.append(Crossed(cup.at_ns, cup.frame, x_px, y_px, cup.first_ns, cup.last_ns))
            if self._told_ns is not None and cup.at_ns < self._told_ns:
                crossed.append(Unwatched(self._told_ns))
            else:
                self._told_ns = cup.at_ns
        return crossed

    def _settled_at(self, cup: _Cup) -> int:
        """From this exposure on the cup is further from the centre than in its best frame."""
        if cup.frame is None:
            return cup.at_ns + self._in_view_ns
        return cup.at_ns + abs(cup.frame.exposed_ns - cup.at_ns)
