"""The threads that look at frames: cups found, pictures compared, verdicts made.

One makes a part's verdict soonest, if it may use several CPUs for its networks; several look at more parts a
second. Their queue is bounded; what does not fit is refused to the caller, who rejects the part.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inspector.core.errors import InspectorError
from inspector.core.frame import FrameInfo
from inspector.core.part import PartId
from inspector.core.verdict import Reason, rejected
from inspector.inspection.events import Event, Examined, Located
from inspector.inspection.eyes import Eyes
from inspector.inspection.judge import Examination
from inspector.inspection.sight import Sight
from inspector.tracking import frame_key
from inspector.vision import CupOutline

_HANGS_NS = 600_000_000_000
"""Longer than any engine takes that is built anew while a frame waits for it: what has not come back by then,
such as a GPU that answers no more, never will."""
_OVERWRITTEN = "frames are overwritten before they are looked at; see what else the computer does"


@dataclass(frozen=True, slots=True)
class _Examine:
    eyes: Eyes
    part: PartId
    frame: FrameInfo
    outline: CupOutline | None
    deadline_ns: int
    queued_ns: int


@dataclass(frozen=True, slots=True)
class _Locate:
    eyes: Eyes
    frame: FrameInfo


class Workbench:
    """Works through what the loop hands it, as many frames at once as it has workers.

    Args:
        lanes: what to look with, by lane name.
        post: takes the results; called from its threads.
        limit: jobs that may wait.
        sights: a thread for each; in free run one, since frames are searched in their order.
    """

    def __init__(
        self,
        lanes: dict[str, Eyes],
        post: Callable[[Event], None],
        limit: int,
        sights: Sequence[Sight],
    ) -> None:
        self._lanes = lanes
        self._post = post
        self._jobs: queue.Queue[_Examine | _Locate | None] = queue.Queue(limit)
        self._begun_ns: list[int | None] = [None] * len(sights)
        self._workers = [
            threading.Thread(target=self._work, args=(n, sight), name=f"workbench-{n}", daemon=True)
            for n, sight in enumerate(sights)
        ]
        for worker in self._workers:
            worker.start()

    def look_with(self, lane: str, eyes: Eyes) -> None:
        """Another recipe for a lane's frames from now on; those that wait keep the one they came for."""
        self._lanes[lane] = eyes

    @property
    def waiting(self) -> int:
        """Jobs not yet begun."""
        return self._jobs.qsize()

    @property
    def alive(self) -> bool:
        """All threads work; if one died, or hangs, the process must be started anew."""
        now_ns = time.monotonic_ns()
        hangs = any(begun is not None and now_ns - begun > _HANGS_NS for begun in self._begun_ns)
        return not hangs and all(worker.is_alive() for worker in self._workers)

    def examine(
        self, part: PartId, frame: FrameInfo, outline: CupOutline | None, deadline_ns: int
    ) -> bool:
        """Judge this frame for this part before ``deadline_ns``; False when the queue is full."""
        return self._offer(
            _Examine(self._lanes[part.lane], part, frame, outline, deadline_ns, time.monotonic_ns())
        )

    def locate(self, frame: FrameInfo) -> bool:
        """Find the cups in this frame; False when the queue is full."""
        return self._offer(_Locate(self._lanes[frame.lane], frame))

    def stop(self) -> None:
        """Finish the frames in hand, drop the rest, end the threads."""
        while True:
            try:
                self._jobs.get_nowait()
            except queue.Empty:
                break
        for _ in self._workers:
            self._jobs.put(None)
        for worker in self._workers:
            worker.join(1.0)

    def _offer(self, job: _Examine | _Locate) -> bool:
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        return True

    def _work(self, number: int, sight: Sight) -> None:
        while (job := self._jobs.get()) is not None:
            self._begun_ns[number] = time.monotonic_ns()
            if isinstance(job, _Locate):
                self._post(self._located(sight, job))
            else:
                began_ns = time.monotonic_ns()
                waited_ns = began_ns - job.queued_ns
                examination = self._examined(sight, job, began_ns)
                self._post(Examined(job.part, frame_key(job.frame), examination, waited_ns))
            if self._jobs.empty():
                job.eyes.prove()
            self._begun_ns[number] = None
        sight.close()

    def _examined(self, sight: Sight, job: _Examine, now_ns: int) -> Examination:
        if now_ns >= job.deadline_ns:
            # Nobody waits for it any more; the time belongs to the parts that can still be saved.
            return Examination(rejected(job.part, Reason.LATE), None, None, {})
        try:
            raw = job.eyes.acquisition.pixels(job.frame, sight.room)
            if raw is None:
                return Examination(rejected(job.part, Reason.FRAME_OVERWRITTEN), None, None, {})
            return job.eyes.examine(sight, job.part, raw, job.frame.pixel_format, job.outline)
        except Exception as error:  # noqa: BLE001 - one frame must not end the line
            verdict = rejected(job.part, Reason.ENGINE_ERROR)
            return Examination(verdict, None, None, {}, _in_words(error))

    def _located(self, sight: Sight, job: _Locate) -> Located:
        frame = job.frame
        try:
            raw = job.eyes.acquisition.pixels(frame, sight.room)
            if raw is None:
                return Located(frame, (), _OVERWRITTEN)
            cups = job.eyes.locate(sight, raw, frame.pixel_format)
        except Exception as error:  # noqa: BLE001 - one frame must not end the line
            return Located(frame, (), _in_words(error))
        return Located(frame, cups)


def _in_words(error: Exception) -> str:
    """What failed with a frame, as "what; remedy"."""
    if isinstance(error, InspectorError):
        return str(error)
    what = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return f"a frame cannot be looked at ({what}); report this with the log and such a frame"
