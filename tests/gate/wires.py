"""Wires without a machine, for what cannot run here: no chip with GPIO lines is needed to try the logic."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class WiresInTheAir:
    """A photo-eye that a test breaks, and a diverter that holds a pass no longer than it was told.

    Attributes:
        coming: when parts will break the beam, ns.
        now_ns: the test's clock.
        running: what the belt's drive says.
        broken: an error that the next call raises.
    """

    coming: list[int] = field(default_factory=list)
    now_ns: int = 0
    running: bool = True
    broken: Exception | None = None
    closed: bool = False
    passes: list[int] = field(default_factory=list)
    _until_ns: int = 0

    def edges(self) -> Sequence[int]:
        if self.broken is not None:
            raise self.broken
        due = [at for at in self.coming if at <= self.now_ns]
        self.coming = [at for at in self.coming if at > self.now_ns]
        return due

    def belt_runs(self) -> bool:
        return self.running

    def pass_until(self, until_ns: int) -> None:
        self._until_ns = until_ns
        self.passes.append(until_ns)

    def reject(self) -> None:
        self._until_ns = 0

    def close(self) -> None:
        self.reject()
        self.closed = True

    def open_at(self, at_ns: int) -> bool:
        """Whether a part goes through now; ``at_ns`` lies before the next scan."""
        return at_ns < self._until_ns
