"""The rig: everything that is a wire or light in a real plant, in one memory-mapped file.

Three parties share it. The conveyor publishes the cups that will come past and their pictures; the
simulated Triton (`inspector/twin/triton/`, C++ inside the acquisition process) sees what is under
its lens and at the photo-eye; the PLC twin counts the photo-eye and moves the diverter. The line
itself never opens it.

The schedule stands in the rig ahead of time: a belt record says when its cup breaks the photo-eye
beam (`eye_ns`) and when it reaches the diverter (`gate_ns`), both on CLOCK_MONOTONIC. So no pulse
is ever sent, and none can be lost: the photo-eye's count at a time t is the number of parts with
`eye_ns` ≤ t. A belt that stops brings later what had not come yet: then the schedule moves.

What lies where is defined in `rig_layout.py`, for Python and C++ alike.
"""

import mmap
import os
import tempfile
import time
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import InspectorError
from inspector.twin.rig_layout import (
    CAMERA,
    FRAME,
    HEADER,
    HEIGHT,
    IMAGE_BYTES,
    IMAGES_OFFSET,
    LAYOUT_HASH,
    MAGIC,
    N_IMAGES,
    N_PARTS,
    PHOTO_EYE_PULSE_NS,
    RIG,
    RIG_BYTES,
    VERSION,
    WIDTH,
)

ENVIRONMENT_VARIABLE: Final = "INSPECTOR_TWIN_RIG"
"""Names the rig file; several, split by `os.pathsep`, are several cameras (TWIN-1, TWIN-2 …)."""
_DRAWN_AFTER_NS: Final = 100_000_000


class RigError(InspectorError):
    """The rig file is missing, of another version, or used against its rules."""


class Action(IntEnum):
    """What the gate did with a part."""

    NONE = 0
    PASSED = 1
    DIVERTED = 2


@dataclass(frozen=True, slots=True)
class BeltPart:
    """One part as the plant knows it. Times in ns on CLOCK_MONOTONIC."""

    number: int
    cup_id: int
    image_slot: int
    eye_ns: int
    gate_ns: int
    action: Action
    reason: int
    done: bool


@dataclass(frozen=True, slots=True)
class LoggedFrame:
    """One exposed frame and the cup that is really in it: the twin's own truth.

    `timestamp_ns` is on the device clock, `exposed_ns` on CLOCK_MONOTONIC; `part` is 0 when no cup
    is in view, `offset_px` tells how far right of the picture's centre that cup stands.
    """

    sequence: int
    stream: int
    frame_id: int
    timestamp_ns: int
    exposed_ns: int
    part: int
    offset_px: int


@dataclass(frozen=True, slots=True)
class CameraState:
    """What the plant can see of the camera from outside: its lines, lights and counters."""

    user_outputs: int
    output_lines: int
    acquiring: bool
    trigger_mode: bool
    opens: int
    streams: int
    producer_pid: int
    exposure_us: float
    gain_db: float
    frames_exposed: int
    frames_delivered: int
    frames_dropped: int
    frames_incomplete: int
    frames_underrun: int
    frames_lost: int


class Rig:
    """A mapped rig file. Make one with `create_rig` or `open_rig`; use it as a context manager."""

    def __init__(self, path: Path, *, owner: bool) -> None:
        self.path = path
        self._owner = owner
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), RIG_BYTES)
        root = np.frombuffer(self._map, dtype=RIG, count=1)
        # Arrays of one record, never scalars: a structured scalar may be a copy.
        self._header: NDArray[np.void] = root["header"]
        self._faults: NDArray[np.void] = root["faults"]
        self._camera: NDArray[np.void] = root["camera"]
        self._belt: NDArray[np.void] = root["belt"][0]
        self._log: NDArray[np.void] = root["frame_log"][0]
        self._images: NDArray[np.uint8] = np.frombuffer(
            self._map, dtype=np.uint8, count=(N_IMAGES + 1) * IMAGE_BYTES, offset=IMAGES_OFFSET
        ).reshape(N_IMAGES + 1, HEIGHT, WIDTH, 3)

    # -- the plant ---------------------------------------------------------------------------------

    @property
    def belt_px_per_s(self) -> float:
        """How fast a cup crosses the picture, in px/s towards larger x."""
        return float(self._header["belt_px_per_s"][0])

    @property
    def device_user_id(self) -> str:
        """The camera's user-defined name (DeviceUserID)."""
        return bytes(self._header["device_user_id"][0]).decode(errors="replace")

    @property
    def running(self) -> bool:
        """True while the plant runs: the twin's processes end when it becomes false."""
        return bool(self._header["running"][0])

    @running.setter
    def running(self, value: bool) -> None:
        self._header["running"][0] = value

    @property
    def belt_on(self) -> bool:
        """True once the belt may bring cups: the conveyor waits for it."""
        return bool(self._header["belt_on"][0])

    @belt_on.setter
    def belt_on(self, value: bool) -> None:
        self._header["belt_on"][0] = value

    def ask_belt_to_stop(self, for_ns: int) -> None:
        """Let the belt stand for so long, as soon as the conveyor hears of it; one stop at a time."""
        self._header["stop_asked_ns"][0] = for_ns

    def stop_belt_if_asked(self, now_ns: int) -> int:
        """Stop the belt if somebody asked: whatever it was about to bring comes later. Conveyor only.

        Returns:
            For how long it stands from ``now_ns`` on, ns; 0 when nobody asked.
        """
        for_ns = int(self._header["stop_asked_ns"][0])
        if not for_ns:
            return 0
        self._header["stop_asked_ns"][0] = 0
        self._header["stood_from_ns"][0] = now_ns
        self._header["stood_until_ns"][0] = now_ns + for_ns
        newest = self.parts_published
        # The newest first: at no moment does a part overtake the one before it.
        for number in range(newest, max(newest - N_PARTS, 0), -1):
            record = self._belt[number % N_PARTS : number % N_PARTS + 1]
            for name in ("gate_ns", "eye_ns"):
                if record[name][0] > now_ns:
                    record[name][0] += for_ns
        return for_ns

    def belt_runs(self, at_ns: int) -> bool:
        """Whether the belt's drive ran at a time, as far back as its last stop."""
        return not self._header["stood_from_ns"][0] <= at_ns < self._header["stood_until_ns"][0]

    # -- pictures ----------------------------------------------------------------------------------

    def image(self, slot: int) -> NDArray[np.uint8]:
        """Writable view of an image slot, (1860, 2880, 3) uint8 RGB, its cup centred."""
        if not 0 <= slot < N_IMAGES:
            raise RigError(f"image slot {slot} does not exist", f"use 0 to {N_IMAGES - 1}")
        picture: NDArray[np.uint8] = self._images[slot]
        return picture

    def background(self) -> NDArray[np.uint8]:
        """Writable view of the picture of the empty belt, (1860, 2880, 3) uint8 RGB."""
        picture: NDArray[np.uint8] = self._images[N_IMAGES]
        return picture

    def free_image_slot(self, now_ns: int) -> int | None:
        """An image slot that no cup in view or yet to come uses; None when all are taken.

        A slot is in use from `publish_part` until its picture has left the camera's view at
        `belt_px_per_s`, and 100 ms longer for the exposure and the drawing of it. Its old
        picture counts as gone from here on: a camera that comes to draw it even later than that
        loses the frame instead of showing another cup.
        """
        transit_ns = int(WIDTH / self.belt_px_per_s * 1e9) + _DRAWN_AFTER_NS
        used = (self._belt["number"] > 0) & (self._belt["eye_ns"] + transit_ns > now_ns)
        taken = set(self._belt["image_slot"][used].tolist())
        slot = next((slot for slot in range(N_IMAGES) if slot not in taken), None)
        if slot is not None:
            self._header["slot_uses"][0, slot] += 1
        return slot

    # -- the belt ----------------------------------------------------------------------------------

    @property
    def parts_published(self) -> int:
        """Number of the newest part; parts are numbered from 1 without gaps."""
        return int(self._header["parts_published"][0])

    def publish_part(self, *, cup_id: int, image_slot: int, eye_ns: int, gate_ns: int) -> int:
        """Put the next part on the belt and return its number. Conveyor only.

        Its picture must be in its slot already. Raises RigError when times run backwards or when
        the part that is `N_PARTS` older has not reached the diverter yet.
        """
        if not 0 <= image_slot < N_IMAGES:
            raise RigError(f"image slot {image_slot} does not exist", f"use 0 to {N_IMAGES - 1}")
        newest = self.part(self.parts_published)
        if newest is not None and (eye_ns < newest.eye_ns or gate_ns < newest.gate_ns):
            raise RigError(
                "a part cannot overtake the one before it", "publish parts in belt order"
            )
        if gate_ns < eye_ns:
            raise RigError("a part reaches the diverter before the camera", "gate_ns must be later")
        number = self.parts_published + 1
        record = self._belt[number % N_PARTS : number % N_PARTS + 1]
        if record["number"][0] and record["gate_ns"][0] > time.monotonic_ns():
            raise RigError(f"the belt holds {N_PARTS} parts", "publish later")
        record["number"][0] = 0
        record["cup_id"][0] = cup_id
        record["eye_ns"][0] = eye_ns
        record["gate_ns"][0] = gate_ns
        record["image_slot"][0] = image_slot
        record["slot_use"][0] = self._header["slot_uses"][0, image_slot]
        record["action"][0] = Action.NONE
        record["reason"][0] = 0
        record["done"][0] = 0
        record["number"][0] = number
        self._header["parts_published"][0] = number
        return number

    def part(self, number: int) -> BeltPart | None:
        """The part with this number, or None when it is not (or no longer) on the belt."""
        record = self._belt[number % N_PARTS : number % N_PARTS + 1]
        if number < 1 or int(record["number"][0]) != number:
            return None
        part = BeltPart(
            number=number,
            cup_id=int(record["cup_id"][0]),
            image_slot=int(record["image_slot"][0]),
            eye_ns=int(record["eye_ns"][0]),
            gate_ns=int(record["gate_ns"][0]),
            action=Action(int(record["action"][0])),
            reason=int(record["reason"][0]),
            done=bool(record["done"][0]),
        )
        return part if int(record["number"][0]) == number else None

    def photo_eye_count(self, now_ns: int) -> int:
        """How many parts have broken the photo-eye beam until `now_ns`."""
        # Numbers first and only once: the conveyor may be writing a record at this moment.
        numbers = self._belt["number"].copy()
        passed = self._belt["eye_ns"] <= now_ns
        return int(numbers[passed].max(initial=0))

    def photo_eye_broken(self, now_ns: int) -> bool:
        """True while a cup stands in the beam: `PHOTO_EYE_PULSE_NS` from its `eye_ns`."""
        ago = now_ns - self._belt["eye_ns"]
        held = (self._belt["number"] > 0) & (ago >= 0) & (ago < PHOTO_EYE_PULSE_NS)
        return bool(held.any())

    def parts_due(self, after: int, now_ns: int) -> list[BeltPart]:
        """Parts with a number above `after` that have broken the beam until `now_ns`, in order."""
        return [part for part in self._parts(after) if part.eye_ns <= now_ns]

    def parts_at_gate(self, after: int, now_ns: int) -> list[BeltPart]:
        """Parts with a number above `after` that have reached the diverter until `now_ns`."""
        return [part for part in self._parts(after) if part.gate_ns <= now_ns]

    def _parts(self, after: int) -> list[BeltPart]:
        numbers = self._belt["number"]
        parts = (self.part(int(number)) for number in np.sort(numbers[numbers > after]))
        return [part for part in parts if part is not None]

    def set_result(self, number: int, action: Action, reason: int = 0) -> None:
        """Note what the gate did with a part. PLC only. RigError when it left the belt already."""
        if self.part(number) is None:
            raise RigError(
                f"part {number} is not on the belt", f"results are due before {N_PARTS} more"
            )
        record = self._belt[number % N_PARTS : number % N_PARTS + 1]
        record["action"][0] = action
        record["reason"][0] = reason
        record["done"][0] = 1

    # -- the camera, seen from the plant -----------------------------------------------------------

    def camera(self) -> CameraState:
        """The camera's outputs, settings and counters as they are now."""
        values = {name: self._camera[name][0].item() for name in CAMERA.names or ()}
        timer_lines, until_ns = values.pop("timer_lines"), values.pop("timer_until_ns")
        if time.monotonic_ns() < until_ns:
            values["output_lines"] |= timer_lines
        for flag in ("acquiring", "trigger_mode"):
            values[flag] = bool(values[flag])
        return CameraState(**values)

    def user_output(self, output: int) -> bool:
        """What was written to UserOutputValue of UserOutput0 to UserOutput3."""
        return bool(int(self._camera["user_outputs"][0]) >> output & 1)

    def output_line(self, line: int) -> bool:
        """Level at the connector: high when LineMode is Output and LineSource drives it."""
        return bool(self.camera().output_lines >> line & 1)

    def frames_seen(self, after: int = 0) -> list[LoggedFrame]:
        """Exposed frames with a sequence above `after`, oldest first.

        The log holds the newest `N_FRAMES_LOGGED`; a gap in `sequence` says that some were
        overwritten before they were read.
        """
        newer = self._log[self._log["sequence"] > after]
        newer = np.sort(newer, order="sequence")
        names = FRAME.names or ()
        return [LoggedFrame(**dict(zip(names, row.item(), strict=True))) for row in newer]

    # -- faults on command -------------------------------------------------------------------------

    @property
    def unplugged(self) -> bool:
        """True while the camera's cable is out."""
        return bool(self._faults["unplugged"][0])

    def unplug(self) -> None:
        """Pull the camera's cable."""
        self._faults["unplugged"][0] = 1

    def replug(self) -> None:
        """Plug the cable in again: the camera is back, powered up anew."""
        if self.unplugged:
            self._faults["power_cycles"][0] += 1
            self._faults["unplugged"][0] = 0

    def drop_next(self, frames: int) -> None:
        """Lose the next frames on the wire: their ids advance, nothing arrives."""
        self._faults["drop_next"][0] = frames

    def incomplete_next(self, frames: int) -> None:
        """Deliver the next frames with their lower half missing, marked incomplete."""
        self._faults["incomplete_next"][0] = frames

    def freeze(self, frozen: bool = True) -> None:
        """Let the camera ignore triggers and free run, without any error, until freed."""
        self._faults["frozen"][0] = frozen

    def slow_down(self, microseconds: int) -> None:
        """Let every frame spend so many µs longer on the wire; 0 for normal speed."""
        self._faults["slow_us"][0] = microseconds

    def wrap_frame_ids(self) -> None:
        """Let frame ids go from 65535 to 1, as in GigE Vision 1.x."""
        self._faults["wrap16"][0] = 1

    def start_frame_ids_at(self, frame_id: int) -> None:
        """First frame id of the streams started from now on."""
        self._faults["start_frame_id"][0] = frame_id

    # -- life --------------------------------------------------------------------------------------

    def close(self) -> None:
        """Unmap the file; the creator also stops the plant and removes it."""
        if self._map.closed:
            return
        if self._owner:
            self.running = False
            self.path.unlink(missing_ok=True)
        del self._header, self._faults, self._camera, self._belt, self._log, self._images
        try:
            self._map.close()
        except BufferError:
            # Someone still holds a picture of it; the map goes with that view.
            self._map = mmap.mmap(-1, 1)
            self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def create_rig(
    path: Path | None = None, *, belt_px_per_s: float = 20_000.0, device_user_id: str = "twin"
) -> Rig:
    """Make a new rig file, empty belt and black pictures; the caller owns it and removes it.

    Without a `path` it lies in /dev/shm when that has room (a container's may be too small), else
    in the temporary directory. The file is sparse: unused image slots cost nothing.
    """
    if belt_px_per_s <= 0:
        raise RigError(
            f"belt_px_per_s is {belt_px_per_s}", "the belt must move, give a positive speed"
        )
    if path is None:
        handle, name = tempfile.mkstemp(prefix="inspector-rig-", dir=_roomy_directory())
        os.close(handle)
        path = Path(name)
    header = np.zeros(1, HEADER)
    header["magic"] = MAGIC
    header["version"] = VERSION
    header["running"] = 1
    header["layout_hash"] = LAYOUT_HASH
    header["width"] = WIDTH
    header["height"] = HEIGHT
    header["n_images"] = N_IMAGES
    header["creator_pid"] = os.getpid()
    header["belt_px_per_s"] = belt_px_per_s
    header["device_user_id"] = device_user_id.encode()
    # A new file under the name, never the old one emptied: whoever still maps that would die of it.
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("wb") as file:
        file.truncate(RIG_BYTES)
        file.write(header.tobytes())
    fresh.replace(path)
    return Rig(path, owner=True)


def open_rig(path: Path) -> Rig:
    """Map a rig that another process made. RigError when it is missing or of another layout."""
    try:
        size = path.stat().st_size
        header = np.fromfile(path, HEADER, count=1)
    except OSError as error:
        raise RigError(f"no rig at {path}", "start the plant first: inspector demo") from error
    if size != RIG_BYTES or int(header["layout_hash"][0]) != LAYOUT_HASH:
        raise RigError(f"{path} is not a rig of this version", "end the plant and start it anew")
    return Rig(path, owner=False)


def _roomy_directory() -> Path:
    """The shared-memory directory when a rig fits twice into it, else the temporary one."""
    shared = Path("/dev/shm")  # noqa: S108 — mkstemp makes the name
    try:
        room = os.statvfs(shared)
    except OSError:
        return Path(tempfile.gettempdir())
    if os.access(shared, os.W_OK) and room.f_bavail * room.f_frsize > 2 * RIG_BYTES:
        return shared
    return Path(tempfile.gettempdir())
