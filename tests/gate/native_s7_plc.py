"""The simulated PLC behind the native snap7 server of python-snap7 2: the S7 of people who never saw this.

A process of its own, since the driver's library has the same module name:
``python -m tests.gate.native_s7_plc PLC_DB LINE_DB`` prints its port, reads when parts will break the
beam, and, when all are through, prints what the diverter did with each.
"""

import ctypes
import json
import socket
import struct
import sys
import time

import snap7
from snap7.type import SrvArea

from inspector.twin.plc_registers import LINE_TO_PLC_SIZE, PLC_TO_LINE_SIZE
from tests.gate.belt import Belt, a_lane


def main(plc_db: int, line_db: int) -> None:
    """Serve until every part is through."""
    shown = ctypes.create_string_buffer(2 * PLC_TO_LINE_SIZE)
    taken = ctypes.create_string_buffer(2 * LINE_TO_PLC_SIZE)
    server = snap7.server.Server(log=False)
    server.register_area(SrvArea.DB, plc_db, shown)
    server.register_area(SrvArea.DB, line_db, taken)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server.start_to("127.0.0.1", port)
    print(port, flush=True)
    belt = Belt([int(eye_ns) for eye_ns in sys.stdin.readline().split()])
    lane = a_lane(belt)
    while not belt.through:
        lane.advance(time.monotonic_ns())
        server.lock_area(SrvArea.DB, line_db)
        words = struct.unpack(f">{LINE_TO_PLC_SIZE}H", taken.raw)
        server.unlock_area(SrvArea.DB, line_db)
        lane.write(list(words))
        image = struct.pack(f">{PLC_TO_LINE_SIZE}H", *lane.image())
        server.lock_area(SrvArea.DB, plc_db)
        shown.raw = image
        server.unlock_area(SrvArea.DB, plc_db)
        time.sleep(0.005)
    print(json.dumps(belt.did()), flush=True)
    sys.stdin.readline()
    server.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
