"""The register block as the PLC's programmer typed it from docs/plc.md: independent of the line's own.

Big-endian numpy records: a u32 is two registers, the high word first.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

MAP_VERSION: Final = 0x4902
DEPTH: Final = 8

_PHOTO_EYE = np.dtype([("number", ">u4"), ("clock_ms", ">u4")])
_GATE_RESULT = np.dtype([("number", ">u4"), ("action", ">u2"), ("reason", ">u2")])
_RESULT = np.dtype([("number", ">u4"), ("outcome", ">u2"), ("reason", ">u2"), ("clock_ms", ">u4")])
PLC_TO_LINE: Final = np.dtype(
    [
        ("map_version", ">u2"),
        ("sequence", ">u2"),
        ("status", ">u2"),
        ("heartbeat_seen", ">u2"),
        ("session", ">u4"),
        ("part_count", ">u4"),
        ("clock_ms", ">u4"),
        ("results_taken", ">u4"),
        ("gate_count", ">u4"),
        ("photo_eye", _PHOTO_EYE, (DEPTH,)),
        ("gate_result", _GATE_RESULT, (DEPTH,)),
        ("job", ">u2"),
        ("sequence_end", ">u2"),
    ]
)
LINE_TO_PLC: Final = np.dtype(
    [
        ("map_version", ">u2"),
        ("sequence", ">u2"),
        ("heartbeat", ">u2"),
        ("state", ">u2"),
        ("session", ">u4"),
        ("plc_session", ">u4"),
        ("gate_read", ">u4"),
        ("result", _RESULT, (DEPTH,)),
        ("job", ">u2"),
        ("sequence_end", ">u2"),
    ]
)
PLC_TO_LINE_SIZE: Final = PLC_TO_LINE.itemsize // 2
LINE_TO_PLC_SIZE: Final = LINE_TO_PLC.itemsize // 2


def registers_of(block: NDArray[np.void]) -> list[int]:
    """The registers of a block, an array of one record."""
    return [int(value) for value in np.frombuffer(block.tobytes(), ">u2")]


def block_of(registers: list[int]) -> NDArray[np.void]:
    """The line's block in `LINE_TO_PLC_SIZE` registers, as an array of one record."""
    return np.frombuffer(np.array(registers, ">u2").tobytes(), LINE_TO_PLC)
