"""A training half way, in one safetensors file: the student, its optimiser and what both come from."""

import hashlib
import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from inspector.core.errors import RecipeError
from inspector.core.files import write_atomically


def arrays_sha256(arrays: Mapping[str, NDArray[Any]]) -> str:
    """One hash of named arrays with their names and shapes."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a training is kept.

    Attributes:
        path: the file.
        plan: the plan and the student's shape, as JSON.
        origin: hash of what is learned from: all pictures and the teacher.
    """

    path: Path
    plan: str
    origin: str

    def save(self, student: nn.Module, optimiser: Optimizer, step: int) -> None:
        """Write the state behind ``step`` steps, atomically.

        Raises:
            RecipeError: the file cannot be written.
        """
        tensors = {f"student.{name}": value for name, value in student.state_dict().items()}
        for index, state in optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": value for name, value in state.items()}
        about = {"plan": self.plan, "origin": self.origin, "step": str(step)}
        try:
            write_atomically(self.path, save(tensors, about))
        except OSError as error:
            raise RecipeError(
                f"cannot write the checkpoint {self.path}: {error.strerror}", "make room there"
            ) from error

    def resume(self, student: nn.Module, optimiser: Optimizer) -> int:
        """Load the state where there is one; returns the steps it has behind it, 0 without one.

        Raises:
            RecipeError: the file belongs to another plan, other pictures or another teacher, or
                is damaged.
        """
        if not self.path.exists():
            return 0
        start_anew = f"delete {self.path} to train from the start"
        try:
            with safe_open(self.path, framework="pt") as stored:
                about = stored.metadata()
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            if json.loads(about["plan"]) != json.loads(self.plan):
                what = f"the checkpoint {self.path} belongs to another training plan"
                raise RecipeError(what, start_anew)
            if about["origin"] != self.origin:
                what = f"the checkpoint {self.path} learned from other pictures or another teacher"
                raise RecipeError(what, start_anew)
            student.load_state_dict(
                {
                    n.removeprefix("student."): v
                    for n, v in tensors.items()
                    if n.startswith("student.")
                }
            )
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                if name.startswith("adam."):
                    _, index, key = name.split(".")
                    state.setdefault(int(index), {})[key] = value
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
            return int(about["step"])
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RecipeError(f"the checkpoint {self.path} is damaged", start_anew) from error


@contextmanager
def when_stopped(save: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C ends what is done within, but only after a last checkpoint: no step is lost."""
    try:
        yield
    except KeyboardInterrupt:
        save()
        raise


@contextmanager
def going_on(checkpoint: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Whoever presses Ctrl-C is told that what is trained is not lost, and how to go on.

    Args:
        checkpoint: file of the training; nothing is told before there is one.
        tell: told it in a sentence.
    """
    try:
        yield
    except KeyboardInterrupt:
        if checkpoint.exists():
            tell(
                f"Stopped. What is trained is in {checkpoint}; the same command goes on from there."
            )
        raise


@contextmanager
def undivided() -> Iterator[None]:
    """Ctrl-C takes effect at the end, so that no checkpoint holds half a step.

    It only ever reaches the main thread; elsewhere there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)
    if pressed:
        signal.raise_signal(signal.SIGINT)
