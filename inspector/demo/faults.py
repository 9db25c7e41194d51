"""Fault scenarios of the demo: what happens to the plant, and when."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from inspector.core.errors import ConfigurationError
from inspector.demo.wall_clock import WallClock
from inspector.demo.wire import Condition, Wire
from inspector.records.ledger import ledger_file
from inspector.twin.rig import Rig


@dataclass(slots=True)
class Scene:
    """What a fault can lay hands on.

    Attributes:
        rig: camera and belt.
        wire: between line and PLC.
        line_pid: of the line's supervisor.
        recipe: folder of the recipe that runs, a copy.
        records: folder of ledger and pictures.
        plc_pid: of the PLC.
        wall_clock: the line's; None where no fault is wanted.
        ledger_lock: holds the ledger while a fault locks it.
        hogs: programs that take the processor's time.
    """

    rig: Rig
    wire: Wire
    line_pid: int
    recipe: Path
    records: Path
    plc_pid: int
    wall_clock: WallClock | None
    ledger_lock: sqlite3.Connection | None = None
    hogs: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def kill(self, module: str) -> None:
        """``kill -9`` of the line's process that runs this module."""
        for pid in _descendants(self.line_pid):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if f"inspector.{module}".encode() in words:
                    os.kill(pid, signal.SIGKILL)


DISK_FULL = "disk-full"
"""The scenario whose records lie on a small disk."""
FILLER = "somebody-elses.bin"
Deed = Callable[[Scene], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """One deed, done when so many seconds have passed since the belt was switched on."""

    at_s: float
    says: str
    deed: Deed
    mends: bool = False
    """It ends a fault instead of beginning one."""


def _kill(at_s: float, module: str, says: str) -> Fault:
    return Fault(at_s, f"{says} killed", lambda scene: scene.kill(module))


def _wire(at_s: float, condition: Condition, says: str) -> Fault:
    def deed(scene: Scene) -> None:
        scene.wire.condition = condition

    return Fault(at_s, says, deed, mends=condition is Condition.SOUND)


def _lock_ledger(scene: Scene) -> None:
    scene.ledger_lock = sqlite3.connect(ledger_file(scene.records), isolation_level=None)
    scene.ledger_lock.execute("BEGIN EXCLUSIVE")


def _unlock_ledger(scene: Scene) -> None:
    if scene.ledger_lock is not None:
        scene.ledger_lock.rollback()
        scene.ledger_lock.close()
        scene.ledger_lock = None


def _overload(scene: Scene) -> None:
    """Three programs a core, as important as the line: it gets about a quarter of its time."""
    for _ in range(3 * (os.cpu_count() or 1)):
        scene.hogs.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))


def _end_overload(scene: Scene) -> None:
    for hog in scene.hogs:
        hog.kill()
        hog.wait()
    scene.hogs.clear()


def _fill_disk(scene: Scene) -> None:
    with contextlib.suppress(OSError), (scene.records / FILLER).open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(65_536))


def _set_clock(at_s: float, hours: int, says: str, *, mends: bool = False) -> Fault:
    def deed(scene: Scene) -> None:
        assert scene.wall_clock is not None
        scene.wall_clock.set_off_by(3600 * hours)

    return Fault(at_s, says, deed, mends)


def _wrap_frame_ids(scene: Scene) -> None:
    """Ids of 16 bits, near their end when the camera is back from being unplugged."""
    scene.rig.wrap_frame_ids()
    scene.rig.start_frame_ids_at(65_530)
    scene.rig.unplug()


def _turn_recipe_over(scene: Scene) -> None:
    """One bit of the recipe, there and back; the inspection that starts anew must see it."""
    scale = scene.recipe / "position-scale.npy"
    content = bytearray(scale.read_bytes())
    content[-1] ^= 1
    scale.write_bytes(content)
    scene.kill("inspection")


NONE = "none"
SCENARIOS: dict[str, tuple[Fault, ...]] = {
    NONE: (),
    "unplug": (
        Fault(10.0, "camera unplugged", lambda scene: scene.rig.unplug()),
        Fault(14.0, "camera plugged in again", lambda scene: scene.rig.replug(), mends=True),
    ),
    "frames": (
        Fault(8.0, "two frames dropped on the wire", lambda scene: scene.rig.drop_next(2)),
        Fault(10.0, "two frames incomplete", lambda scene: scene.rig.incomplete_next(2)),
    ),
    "freeze": (
        Fault(10.0, "camera frozen", lambda scene: scene.rig.freeze()),
        Fault(14.0, "camera thawed", lambda scene: scene.rig.freeze(frozen=False), mends=True),
    ),
    "kill-inspection": (_kill(10.0, "inspection", "inspection"),),
    "kill-acquisition": (_kill(10.0, "camera.acquire", "acquisition"),),
    "kill-records": (_kill(10.0, "records", "records"),),
    "kill-page": (_kill(10.0, "hmi", "page"),),
    "plc-away": (
        _wire(10.0, Condition.CUT, "the wire to the PLC is cut"),
        _wire(14.0, Condition.SOUND, "the wire to the PLC is whole again"),
    ),
    "plc-slow": (
        _wire(10.0, Condition.SLOW, "the PLC answers too slowly"),
        _wire(14.0, Condition.SOUND, "the PLC answers in time again"),
    ),
    "plc-noisy": (
        _wire(10.0, Condition.NOISY, "the PLC's answers are garbled"),
        _wire(14.0, Condition.SOUND, "the PLC's answers are sound again"),
    ),
    "ledger-locked": (
        Fault(10.0, "ledger locked by another program", _lock_ledger),
        Fault(14.0, "ledger free again", _unlock_ledger, mends=True),
    ),
    "belt-stop": (
        Fault(10.0, "the belt stops", lambda scene: scene.rig.ask_belt_to_stop(3_000_000_000)),
        Fault(13.2, "the belt runs again", lambda _: None, mends=True),
    ),
    "plc-clock": (
        Fault(10.0, "the PLC's clock is set", lambda scene: os.kill(scene.plc_pid, signal.SIGUSR1)),
    ),
    "clock-jump": (
        _set_clock(10.0, 5, "the wall clock is set forward by five hours"),
        _set_clock(11.0, -24, "the wall clock is set back to yesterday"),
        _kill(12.0, "inspection", "while it is yesterday, inspection"),
        _set_clock(14.0, 0, "the wall clock is right again", mends=True),
    ),
    "changeover": (
        Fault(
            10.0,
            "the PLC asks for another product",
            lambda scene: os.kill(scene.plc_pid, signal.SIGUSR2),
        ),
    ),
    "frame-ids": (
        Fault(10.0, "camera unplugged, its frame ids near their end", _wrap_frame_ids),
        Fault(11.0, "camera plugged in again", lambda scene: scene.rig.replug(), mends=True),
    ),
    "overload": (
        Fault(10.0, "the computer is overloaded", _overload),
        Fault(15.0, "the computer is free again", _end_overload, mends=True),
    ),
    "recipe": (
        Fault(10.0, "recipe damaged, inspection starts anew", _turn_recipe_over),
        Fault(15.0, "recipe mended, inspection starts anew", _turn_recipe_over, mends=True),
    ),
}


def _all_in_turn() -> Iterator[Fault]:
    """Every scenario, each beginning a few seconds after the one before it has ended."""
    next_s = 5.0
    for faults in SCENARIOS.values():
        for fault in faults:
            yield replace(fault, at_s=next_s + fault.at_s - faults[0].at_s)
        if faults:
            next_s += faults[-1].at_s - faults[0].at_s + 3.0


SCENARIOS["all"] = tuple(_all_in_turn())
# It needs a disk of its own, so it stays out of the others' run.
SCENARIOS[DISK_FULL] = (
    Fault(10.0, "the disk of the records is full", _fill_disk),
    Fault(16.0, "the disk has room again", lambda s: (s.records / FILLER).unlink(), mends=True),
)


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


def _descendants(pid: int) -> Iterator[int]:
    """Children of a process, their children, and so on, as the kernel lists them."""
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield int(child)
                yield from _descendants(int(child))
