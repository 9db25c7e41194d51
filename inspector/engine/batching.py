"""Several lanes' pictures in one run of a network: a GPU takes eight in little more than one's time.

Whoever asks while the network is busy is gathered; when it is free, it runs for all of them at once. An idle
network may be told to wait a little for others, never longer than its slack.
"""

import threading
import time
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import EngineError
from inspector.engine.network import MOST, Network


class _Batch:
    """Pictures that go through the network together; whoever brought the first runs it for all."""

    def __init__(self, due: float) -> None:
        self.due = due
        self.asked: list[NDArray[Any]] = []
        self.results: list[NDArray[np.float32]] | None = None
        self.error: EngineError | None = None

    @property
    def size(self) -> int:
        return sum(len(pictures) for pictures in self.asked)

    @property
    def done(self) -> bool:
        return self.results is not None or self.error is not None


class BatchingNetwork:
    """See :class:`inspector.engine.Network`. What fails for one picture of a batch fails for all of them.

    Args:
        network: what is run, one batch after the other.
        slack_s: how long a picture may wait for others while the network is idle, s.
    """

    def __init__(self, network: Network, slack_s: float = 0.0) -> None:
        self._network = network
        self._slack_s = slack_s
        self._changed = threading.Condition()
        self._waiting: deque[_Batch] = deque()
        self._busy = False
        self.input_shape = network.input_shape
        self.output_shape = network.output_shape

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """See :class:`inspector.engine.Network`."""
        if batch.shape[1:] != self.input_shape or not 0 < len(batch) < MOST:
            # What does not fit is refused for whoever asked alone; what is a batch already needs no company.
            return self._network.run(batch)
        with self._changed:
            mine, place = self._join(batch)
            if place == 0:
                self._changed.wait_for(lambda: self._may_run(mine), self._until_due(mine))
                self._changed.wait_for(lambda: self._next_is(mine))
                self._waiting.popleft()
                self._busy = True
        if place == 0:
            self._run(mine)
        else:
            with self._changed:
                self._changed.wait_for(lambda: mine.done)
        if mine.error is not None:
            raise EngineError(mine.error.what, mine.error.remedy) from mine.error
        assert mine.results is not None
        return mine.results[place]

    def _join(self, batch: NDArray[Any]) -> tuple[_Batch, int]:
        """The batch that waits last, if there is room in it, and the place in it."""
        if not self._waiting or self._waiting[-1].size + len(batch) > MOST:
            self._waiting.append(_Batch(time.monotonic() + self._slack_s))
        mine = self._waiting[-1]
        mine.asked.append(batch)
        self._changed.notify_all()
        return mine, len(mine.asked) - 1

    def _until_due(self, mine: _Batch) -> float:
        return max(0.0, mine.due - time.monotonic())

    def _may_run(self, mine: _Batch) -> bool:
        """It need not wait for more: it is full, or others wait behind it."""
        return self._next_is(mine) and (mine.size == MOST or len(self._waiting) > 1)

    def _next_is(self, mine: _Batch) -> bool:
        return not self._busy and self._waiting[0] is mine

    def _run(self, mine: _Batch) -> None:
        """Nobody joins it any more: it no longer waits."""
        results: list[NDArray[np.float32]] | None = None
        error: EngineError | None = None
        try:
            whole = self._network.run(np.concatenate(mine.asked))
            ends = np.cumsum([len(pictures) for pictures in mine.asked])[:-1]
            results = np.split(whole, ends)
        except EngineError as refused:
            error = refused
        except Exception as failed:  # noqa: BLE001 - those who wait for it must hear of it
            error = EngineError(f"{type(failed).__name__}: {failed}", "restart the line")
        with self._changed:
            mine.results, mine.error = results, error
            self._busy = False
            self._changed.notify_all()
