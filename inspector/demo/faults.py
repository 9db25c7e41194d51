"""Fault scenarios of the demo: what happens to the plant, and at which part."""

from collections.abc import Callable
from dataclasses import dataclass

from inspector.core.errors import ConfigurationError
from inspector.twin.rig import Rig

Deed = Callable[[Rig], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """One deed, done when so many seconds have passed since the belt was switched on."""

    at_s: float
    says: str
    deed: Deed


def _unplug(rig: Rig) -> None:
    rig.unplug()


def _replug(rig: Rig) -> None:
    rig.replug()


SCENARIOS: dict[str, tuple[Fault, ...]] = {
    "none": (),
    "unplug": (
        Fault(12.0, "camera unplugged", _unplug),
        Fault(17.0, "camera plugged in again", _replug),
    ),
    "frames": (
        Fault(8.0, "two frames dropped on the wire", lambda rig: rig.drop_next(2)),
        Fault(14.0, "two frames incomplete", lambda rig: rig.incomplete_next(2)),
    ),
    "freeze": (
        Fault(10.0, "camera frozen", lambda rig: rig.freeze()),
        Fault(14.0, "camera thawed", lambda rig: rig.freeze(frozen=False)),
    ),
}


def scenario(name: str) -> tuple[Fault, ...]:
    """The faults of a scenario.

    Raises:
        ConfigurationError: no such scenario; the message lists them.
    """
    try:
        return SCENARIOS[name]
    except KeyError:
        raise ConfigurationError(
            f"there is no fault scenario {name!r}", f"use one of: {', '.join(SCENARIOS)}"
        ) from None
