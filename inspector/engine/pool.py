"""The networks of one process, each loaded once: lanes that look with the same teacher share it."""

import threading
from pathlib import Path
from weakref import WeakValueDictionary

from inspector.engine.batching import BatchingNetwork
from inspector.engine.loading import load_network
from inspector.engine.network import Backend, Network, verified


class NetworkPool:
    """What loads networks, and gives the same one to all who ask for it while anybody holds it.

    Args:
        threads: CPU threads a network may use for one picture.
        callers: pictures looked at side by side.
        slack_s: how long a picture may wait for others' where a backend gains by batches, s.
    """

    def __init__(self, threads: int = 1, callers: int = 1, slack_s: float = 0.0) -> None:
        self._threads = threads
        self._callers = callers
        self._slack_s = slack_s
        self._loaded: WeakValueDictionary[tuple[str, str, Backend, bool], Network] = (
            WeakValueDictionary()
        )
        self._loading = threading.Lock()

    def load(
        self,
        path: Path,
        sha256: str | None,
        backend: Backend,
        *,
        half: bool = False,
        compared: tuple[Path, str | None] | None = None,
    ) -> Network:
        """See :func:`inspector.engine.load_network`; ``compared`` comes with its hash."""
        other = "" if compared is None else verified(*compared)
        key = (verified(path, sha256), other, backend, half)
        with self._loading:
            network = self._loaded.get(key)
            if network is None:
                network = load_network(
                    path,
                    sha256,
                    self._threads,
                    backend,
                    half=half,
                    callers=self._callers,
                    compared=compared[0] if compared is not None else None,
                )
                if backend.gains_by_batches and self._callers > 1:
                    network = BatchingNetwork(network, self._slack_s)
                self._loaded[key] = network
            return network
