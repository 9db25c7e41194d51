"""The cells of a sweep on a ray cluster (the extra ``ray``): each is a task of its own."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from inspector.core.errors import EngineError, InspectorError
from inspector.detector.cells import Cell, Measured, Work, measured
from inspector.detector.study_sets import StudySet

LOCAL = "local"
"""Address of a cluster that is started on this machine for the sweep alone."""


def on_ray(models: Path, address: str, threads: int) -> Work:
    """Measure on a cluster, as many cells at once as it has room for.

    Args:
        models: folder of the committed networks, the same on every machine.
        address: of the cluster, or ``LOCAL``.
        threads: CPUs that a cell takes; on a cluster with GPUs it takes one of these, too.

    Raises:
        EngineError: ray is not installed; on measuring, that there is no cluster, or a cell's own.
    """
    try:
        import ray
    except ImportError as error:
        raise EngineError(
            "the package 'ray' is not installed", "run: pip install 'inspector[ray]'"
        ) from error

    def work(
        cells: Iterable[Cell], _on_step: Callable[[Cell, int], None]
    ) -> Iterator[tuple[Cell, Measured]]:
        try:
            where = None if address == LOCAL else address
            ray.init(where, log_to_driver=False, include_dashboard=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise EngineError(
                f"there is no ray cluster at {address}", "start one with: ray start --head"
            ) from error
        try:
            gpus = 1 if ray.cluster_resources().get("GPU") else 0
            task = ray.remote(num_cpus=threads, num_gpus=gpus)(_measured)
            # Pictures travel once, not with every cell.
            sent: dict[StudySet, Any] = {}

            def reference(pictures: StudySet) -> Any:
                if pictures not in sent:
                    sent[pictures] = ray.put(pictures)
                return sent[pictures]

            waiting = {}
            for cell in cells:
                rest = {f.name: getattr(cell, f.name) for f in fields(cell)}
                others = [reference(other) for other in rest.pop("others")]
                on = reference(rest.pop("on"))
                waiting[task.remote(rest, models, threads, on, *others)] = cell
            while waiting:
                (ready, *_), _ = ray.wait(list(waiting))
                result = ray.get(ready)
                if isinstance(result, tuple):
                    raise EngineError(*result)
                yield waiting.pop(ready), result
        finally:
            ray.shutdown()

    return work


def _measured(
    rest: dict[str, Any], models: Path, threads: int, on: StudySet, *others: StudySet
) -> Measured | tuple[str, str]:
    """In the worker: the figures; or what is wrong and the remedy, which no exception carries intact."""
    torch.set_num_threads(threads)
    try:
        return measured(Cell(on=on, others=others, **rest), models)
    except InspectorError as error:
        return error.what, error.remedy
