"""The rig file, field by field: the only definition of it.

`inspector/twin/rig.py` maps it for Python; the producer's `rig_layout.h` is generated from these
dtypes when it is built (`inspector/twin/triton/generate.py`), so the two cannot disagree. Every
field has one writer, named in its comment. Records are published by writing their number last;
all stores are aligned words, which x86-64 keeps in order.
"""

import hashlib
from typing import Any, Final

import numpy as np

WIDTH: Final = 2880
HEIGHT: Final = 1860
N_IMAGES: Final = 10
"""A cup holds one from 250 ms before the photo-eye until it is out of view: 14 a second need seven."""
N_PARTS: Final = 256
N_FRAMES_LOGGED: Final = 4096
PHOTO_EYE_PULSE_NS: Final = 10_000_000
"""How long a cup holds the photo-eye beam broken (Line0 of the camera is high), from `eye_ns`."""

MAGIC: Final = b"INSPRIG\0"
VERSION: Final = 1
IMAGE_BYTES: Final = WIDTH * HEIGHT * 3
_PAGE: Final = 4096

HEADER: Final = np.dtype(
    [
        ("magic", "S8"),  # written last by the creator: the rig is ready
        ("version", np.uint32),
        ("running", np.uint32),  # creator: 1 while the plant runs
        ("layout_hash", np.uint64),  # of these dtypes, see `LAYOUT_HASH`
        ("width", np.uint32),  # px of the sensor and of every image
        ("height", np.uint32),
        ("n_images", np.uint32),  # image slots, the background not counted
        ("creator_pid", np.uint32),
        ("belt_on", np.uint32),  # creator: 1 once the belt may bring cups
        ("stop_asked_ns", np.int64),  # creator: stand for so long; the conveyor takes it back to 0
        ("stood_from_ns", np.int64),  # conveyor: when the belt last stopped
        ("stood_until_ns", np.int64),  # conveyor: and ran again
        ("belt_px_per_s", np.float64),  # how fast a cup crosses the picture, towards larger x
        ("parts_published", np.uint64),  # conveyor: number of the newest part
        ("slot_uses", np.uint32, (N_IMAGES,)),  # conveyor: how often each image slot was taken
        ("device_user_id", "S32"),  # creator, or the camera when DeviceUserID is written
    ],
    align=True,
)
FAULTS: Final = np.dtype(
    [
        ("unplugged", np.uint32),  # the cable is out
        ("power_cycles", np.uint32),  # how often it was plugged in again: old handles stay dead
        ("drop_next", np.uint32),  # drop so many frames: the id advances, nothing arrives
        ("incomplete_next", np.uint32),  # deliver so many frames with half of their data missing
        ("frozen", np.uint32),  # acquiring, but triggers and free run are ignored, without an error
        ("slow_us", np.uint32),  # µs every frame spends longer on the wire
        ("wrap16", np.uint32),  # frame ids go 65535 → 1, as in GigE Vision 1.x
        ("start_frame_id", np.uint32),  # id of the first frame of a stream; 0 means 1
    ],
    align=True,
)
CAMERA: Final = np.dtype(
    [
        ("user_outputs", np.uint32),  # bit n: UserOutputValue of UserOutput n
        ("output_lines", np.uint32),  # bit n: level of line n where it is an output, the next apart
        ("timer_lines", np.uint32),  # bit n: line n is an output that is high while the timer runs
        ("timer_until_ns", np.int64),  # the camera's timer runs until then, whatever the host does
        ("acquiring", np.uint32),  # 1 between AcquisitionStart and AcquisitionStop
        ("trigger_mode", np.uint32),  # 1: TriggerMode = On
        ("opens", np.uint32),  # how often the device was opened
        ("streams", np.uint32),  # how often acquisition was started: the `stream` of the frame log
        ("producer_pid", np.uint32),  # process that holds the device, 0 when nobody does
        ("exposure_us", np.float64),
        ("gain_db", np.float64),
        ("frames_exposed", np.uint64),  # the sum of the five below and of what is on the wire
        ("frames_delivered", np.uint64),
        ("frames_dropped", np.uint64),  # by `faults.drop_next`
        ("frames_incomplete", np.uint64),
        ("frames_underrun", np.uint64),  # no queued host buffer
        ("frames_lost", np.uint64),  # memory full, drawn too late, stopped or unplugged on the wire
    ],
    align=True,
)
PART: Final = np.dtype(
    [
        ("number", np.uint64),  # conveyor: 1-based, written last; 0: no part here
        ("cup_id", np.uint64),  # conveyor: which cup it is, for its own books
        ("eye_ns", np.int64),  # conveyor: centred under the camera, breaks the beam
        ("gate_ns", np.int64),  # conveyor: arrives at the diverter
        ("image_slot", np.uint32),  # conveyor: its picture, as seen at `eye_ns`
        ("slot_use", np.uint32),  # conveyor: which use of the slot; another one since: it is gone
        ("action", np.uint32),  # PLC: see `Action`
        ("reason", np.uint32),  # PLC: its own code for why
        ("done", np.uint32),  # PLC: 1, written last
    ],
    align=True,
)
FRAME: Final = np.dtype(
    [
        ("sequence", np.uint64),  # 1-based over the life of the rig, written last; 0: empty
        ("frame_id", np.uint64),  # as the host sees it
        ("timestamp_ns", np.uint64),  # device clock, as the host sees it
        ("exposed_ns", np.int64),  # the same instant on CLOCK_MONOTONIC
        ("part", np.uint64),  # part whose cup is nearest to the picture's centre, 0: none in view
        ("offset_px", np.int32),  # how far right of the centre that cup is
        ("stream", np.uint32),  # which acquisition start it belongs to: frame ids begin anew
    ],
    align=True,
)
RIG: Final = np.dtype(
    [
        ("header", HEADER),
        ("faults", FAULTS),
        ("camera", CAMERA),
        ("belt", PART, (N_PARTS,)),  # part n at index n % N_PARTS
        ("frame_log", FRAME, (N_FRAMES_LOGGED,)),  # camera: frame n at index n % N_FRAMES_LOGGED
    ],
    align=True,
)
IMAGES_OFFSET: Final = -(-RIG.itemsize // _PAGE) * _PAGE
"""Where the image slots begin in the file: RGB8, rows on top of each other; the background last."""
RIG_BYTES: Final = IMAGES_OFFSET + (N_IMAGES + 1) * IMAGE_BYTES


def _describe(dtype: np.dtype[Any]) -> str:
    """One line that changes whenever a field of `dtype` is renamed, moved or retyped."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return f"{_describe(base)}x{shape}"
    if dtype.fields is None:
        return dtype.str
    inner = ",".join(
        f"{name}@{entry[1]}:{_describe(entry[0])}" for name, entry in dtype.fields.items()
    )
    return f"{{{inner}}}{dtype.itemsize}"


LAYOUT_HASH: Final = int.from_bytes(
    hashlib.sha256(f"{VERSION}{_describe(RIG)}{WIDTH}x{HEIGHT}x{N_IMAGES}".encode()).digest()[:8],
    "little",
)
