"""Cups are found and turned in processes of their own where several are looked at side by side.

Threads of one Python process do that hardly faster than one of them: it takes many short steps, and between
any two of them a thread waits for its turn. Networks stay where they are, in the process that decides, since
lanes share them and a GPU takes several cups at once; a process that needs one asks for it.

What is large (frames, views) is put into memory mapped at both ends; the rest goes through a socket.
"""

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

import inspector.vision
from inspector.core.errors import InspectorError
from inspector.core.process import child_environment, die_with_parent
from inspector.inspection.shared_room import ROOM, SharedRoom
from inspector.inspection.sight import Sight, SightHere
from inspector.recipe.manifest import ViewEntry
from inspector.vision import CupImage, CupOutline, OrientationReference, Refusal, Segment
from inspector.vision.cores import share_cores
from inspector.vision.pixels import Raw

_PATIENCE_S = 10.0
"""For a step that takes hundredths of a second, on a machine that is very busy."""
_START_S = 60.0


class SightError(InspectorError):
    """A process that finds cups died or hangs; the next frame gets another."""


def sights(workers: int) -> list[Sight]:
    """One for each of so many threads: a process, or nothing of the kind for one that has nobody to wait for.

    Raises:
        SightError: a process does not come up.
    """
    if workers == 1:
        return [SightHere()]
    processes = [SightProcess(workers) for _ in range(workers)]
    for process in processes:
        process.wait()
    return list(processes)


class SightProcess:
    """See :class:`Sight`: the near end of a process that finds cups.

    Args:
        workers: how many of them share the cores.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._ready = False
        self._asked_for = 0
        self._start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def room(self, count: int) -> NDArray[np.uint8]:
        """See :class:`Sight`."""
        return self._there.keep(count)

    def locate(self, raw: Raw, pixel_format: str, segment: Segment) -> tuple[CupOutline, ...]:
        """See :class:`Sight`."""
        found: tuple[CupOutline, ...] = self._asked(
            "locate", segment, raw=raw, pixel_format=pixel_format
        )
        return found

    def prepare(
        self,
        raw: Raw,
        pixel_format: str,
        segment: Segment,
        reference: OrientationReference | None,
        outline: CupOutline | None,
        view: ViewEntry,
    ) -> CupImage | Refusal:
        """See :class:`Sight`."""
        seen: CupImage | Refusal = self._asked(
            "prepare",
            segment,
            raw=raw,
            pixel_format=pixel_format,
            reference=reference,
            outline=outline,
            view=view,
        )
        return seen

    def centred_view(self, raw: Raw, pixel_format: str, outline: CupOutline) -> NDArray[np.uint8]:
        """See :class:`Sight`."""
        seen: NDArray[np.uint8] = self._asked(
            "centred_view", None, raw=raw, pixel_format=pixel_format, outline=outline
        )
        return seen.copy()

    def wait(self) -> None:
        """Until it is ready to look.

        Raises:
            SightError: it did not come up.
        """
        if not self._ready:
            self._heard(_START_S)
            self._ready = True

    def close(self) -> None:
        """End it."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        self._ready = False
        ours, theirs = socket.socketpair()
        rooms = [os.memfd_create("inspector-sight", os.MFD_CLOEXEC) for _ in range(2)]
        with theirs:
            for room in rooms:
                os.ftruncate(room, ROOM)
            self._there, self._here = (SharedRoom(room) for room in rooms)
            handed = [theirs.fileno(), *rooms]
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(self._workers), *map(str, handed)],
                pass_fds=handed,
                env=child_environment(),
            )
            for room in rooms:
                os.close(room)
        self._connection = Connection(ours.detach())

    def _asked(self, step: str, segment: Segment | None, **given: Any) -> Any:
        self.wait()
        self._asked_for += 1
        try:
            self._connection.send((self._asked_for, step, self._there.lay(given)))
            while (heard := self._heard(_PATIENCE_S))[1] == "segment":
                self._connection.send(self._segmented(segment, heard[2]))
        except OSError as error:
            raise self._begun_anew("died") from error
        number, said, what = heard
        if number != self._asked_for:
            # Never seen; what was found in another frame must not become this part's verdict.
            raise self._begun_anew("answered about another frame")
        if said == "failed":
            raise what
        return self._here.take(what)

    def _segmented(self, segment: Segment | None, picture: NDArray[np.uint8]) -> Any:
        assert segment is not None
        try:
            return segment(picture)
        except BaseException:
            # It waits for an answer, and would take that of the next frame for it.
            self._connection.send(None)
            raise

    def _heard(self, patience_s: float) -> tuple[int, str, Any]:
        try:
            if self._connection.poll(patience_s):
                heard: tuple[int, str, Any] = self._connection.recv()
                return heard
        except (EOFError, OSError) as error:
            raise self._begun_anew("died") from error
        raise self._begun_anew(f"said nothing for {patience_s:g} s")

    def _begun_anew(self, what: str) -> SightError:
        """After it died or hung: another in its place."""
        self.close()
        error = SightError(
            f"a process that finds cups {what} (exit code {self._process.returncode})",
            "another was started; if this comes again, look for what kills it, memory say",
        )
        structlog.get_logger().error("sight_lost", why=str(error))
        self._start()
        return error


class _AbandonedError(Exception):
    """The network that was asked for failed; whoever wanted the cup knows."""


def _serve(connection: Connection, mine: SharedRoom, theirs: SharedRoom) -> None:
    """The far end: look at what is handed over until there is nobody to hand it."""
    number = 0

    def say(what: str, more: Any = None) -> None:
        connection.send((number, what, more))

    def segment(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        say("segment", picture)
        answer: NDArray[np.float32] | None = connection.recv()
        if answer is None:
            raise _AbandonedError
        return answer

    say("ready")
    while True:
        number, step, told = connection.recv()
        given = mine.take(told)
        if step != "centred_view":
            given["segment"] = segment
        try:
            seen = getattr(inspector.vision, step)(**given)
        except _AbandonedError:
            continue
        except InspectorError as error:
            say("failed", error)
        except Exception as error:  # noqa: BLE001 - what breaks on one frame must not end it
            say("failed", RuntimeError(f"{type(error).__name__}: {error}"))
        else:
            say("done", theirs.lay(seen))


def main() -> None:
    """``python -m inspector.inspection.sight_process WORKERS SOCKET MINE THEIRS``: a number, descriptors."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the line's end is told by its first process
    workers, *handed = map(int, sys.argv[1:])
    share_cores(workers)
    mine, theirs = (SharedRoom(descriptor) for descriptor in handed[1:])
    gc.freeze()  # what was imported stays: looking through it for rubbish would only delay a frame
    with contextlib.suppress(EOFError, ConnectionError):
        _serve(Connection(handed[0]), mine, theirs)


if __name__ == "__main__":
    main()
