"""Cups are found and turned in processes of their own where several are looked at side by side.

Threads of one Python process do that hardly faster than one of them: it takes many short steps, and between
any two of them a thread waits for its turn. Networks stay where they are, in the process that decides, since
lanes share them and a GPU takes several cups at once; a process that needs one asks for it.

What is large (frames, views) is put into memory mapped at both ends; the rest goes through a socket.
"""

import contextlib
import gc
import mmap
import os
import pickle
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

import inspector.vision
from inspector.core.errors import InspectorError
from inspector.core.process import die_with_parent
from inspector.recipe.manifest import ViewEntry
from inspector.vision import CupImage, CupOutline, OrientationReference, Refusal, Segment
from inspector.vision.cores import share_cores
from inspector.vision.pixels import Raw

_ROOM = 128 * 1024 * 1024
"""For what goes one way at a time. Pages that nobody writes take no memory."""
_ALIGNED = 64
_PATIENCE_S = 10.0
"""For a step that takes hundredths of a second, on a machine that is very busy."""
_START_S = 60.0


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
        """See :func:`inspector.vision.centred_view`; holds as long."""

    def close(self) -> None:
        """Look no more."""


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


class SightHere:
    """See :class:`Sight`: in this process."""

    locate = staticmethod(inspector.vision.locate)
    prepare = staticmethod(inspector.vision.prepare)
    centred_view = staticmethod(inspector.vision.centred_view)

    def room(self, count: int) -> NDArray[np.uint8]:
        """See :class:`Sight`."""
        return np.empty(count, np.uint8)

    def close(self) -> None:
        """See :class:`Sight`."""


class SightProcess:
    """See :class:`Sight`: the near end of a process that finds cups.

    Args:
        workers: how many of them share the cores.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._ready = False
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
        return seen

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
                os.ftruncate(room, _ROOM)
            self._there, self._here = (_Room(room) for room in rooms)
            handed = [theirs.fileno(), *rooms]
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(self._workers), *map(str, handed)],
                pass_fds=handed,
            )
            for room in rooms:
                os.close(room)
        self._connection = Connection(ours.detach())

    def _asked(self, step: str, segment: Segment | None, **given: Any) -> Any:
        self.wait()
        try:
            self._connection.send((step, self._there.lay(given)))
            while (heard := self._heard(_PATIENCE_S))[0] == "segment":
                self._connection.send(self._segmented(segment, heard[1]))
        except OSError as error:
            raise self._begun_anew("died") from error
        said, what = heard
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

    def _heard(self, patience_s: float) -> tuple[str, Any]:
        try:
            if self._connection.poll(patience_s):
                heard: tuple[str, Any] = self._connection.recv()
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


class _Room:
    """Memory that two processes have mapped, for what one hands the other.

    Args:
        descriptor: of the memory; may be closed afterwards.
    """

    def __init__(self, descriptor: int) -> None:
        self._bytes = np.frombuffer(mmap.mmap(descriptor, _ROOM), np.uint8)
        self._address = self._bytes.ctypes.data
        self._kept = 0

    def keep(self, count: int) -> NDArray[np.uint8]:
        """Room for what is written here, not laid down, until the next time; elsewhere if it is too large."""
        self._kept = count if count <= _ROOM else 0
        return self._bytes[:count] if self._kept else np.empty(count, np.uint8)

    def lay(self, what: Any) -> tuple[bytes, list[tuple[int, int]]]:
        """Arrays laid down here, over what lay here before; and what tells of them."""
        places: list[tuple[int, int]] = []
        free = self._kept

        def here(buffer: pickle.PickleBuffer) -> bool:
            nonlocal free
            content = np.frombuffer(buffer.raw(), np.uint8)
            start = content.ctypes.data - self._address
            if not 0 <= start < self._kept:
                start = -(-free // _ALIGNED) * _ALIGNED
                if start + content.size > _ROOM:
                    return True  # it goes with the rest
                # Of numpy, which lets other threads run meanwhile.
                np.copyto(self._bytes[start : start + content.size], content)
                free = start + content.size
            places.append((start, content.size))
            return False

        return pickle.dumps(what, protocol=5, buffer_callback=here), places

    def take(self, told: tuple[bytes, list[tuple[int, int]]]) -> Any:
        """What was laid down, its arrays where they lie."""
        content, places = told
        return pickle.loads(  # noqa: S301 - of a process that this one started or was started by
            content, buffers=[self._bytes[start : start + size] for start, size in places]
        )


class _AbandonedError(Exception):
    """The network that was asked for failed; whoever wanted the cup knows."""


def _serve(connection: Connection, mine: _Room, theirs: _Room) -> None:
    """The far end: look at what is handed over until there is nobody to hand it."""

    def segment(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        connection.send(("segment", picture))
        answer: NDArray[np.float32] | None = connection.recv()
        if answer is None:
            raise _AbandonedError
        return answer

    connection.send(("ready", None))
    while True:
        step, told = connection.recv()
        given = mine.take(told)
        if step != "centred_view":
            given["segment"] = segment
        try:
            seen = getattr(inspector.vision, step)(**given)
        except _AbandonedError:
            continue
        except InspectorError as error:
            connection.send(("failed", error))
        except Exception as error:  # noqa: BLE001 - what breaks on one frame must not end it
            connection.send(("failed", RuntimeError(f"{type(error).__name__}: {error}")))
        else:
            connection.send(("done", theirs.lay(seen)))


def main() -> None:
    """``python -m inspector.inspection.sight WORKERS SOCKET MINE THEIRS``; see :class:`SightProcess`."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the line's end is told by its first process
    workers, *handed = map(int, sys.argv[1:])
    share_cores(workers)
    mine, theirs = (_Room(descriptor) for descriptor in handed[1:])
    gc.freeze()  # what was imported stays: looking through it for rubbish would only delay a frame
    with contextlib.suppress(EOFError, ConnectionError):
        _serve(Connection(handed[0]), mine, theirs)


if __name__ == "__main__":
    main()
