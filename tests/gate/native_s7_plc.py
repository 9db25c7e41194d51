"""A very small PLC on the native snap7 server of python-snap7 2: counts a part, takes its OK, lets it pass.

A program of its own, since the driver's library has the same module name. The layout comes as JSON.
"""

import json
import socket
import struct
import sys
import time

import snap7
from snap7.type import SrvArea


def main(layout: dict[str, int]) -> int:
    """Print the port, then run until the line has read what the gate did."""
    tx = (snap7.type.WordLen.Byte.ctype * layout["plc_size"])()
    rx = (snap7.type.WordLen.Byte.ctype * layout["line_size"])()
    server = snap7.server.Server(log=False)
    server.register_area(SrvArea.DB, layout["plc_db"], tx)
    server.register_area(SrvArea.DB, layout["line_db"], rx)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server.start_to("127.0.0.1", port)
    print(port, flush=True)

    beats: set[int] = set()
    sequence = count = taken = 0
    until_s = time.monotonic() + 10
    gate_read = 0
    while time.monotonic() < until_s and gate_read != 1:
        server.lock_area(SrvArea.DB, layout["line_db"])
        said = bytes(rx)
        server.unlock_area(SrvArea.DB, layout["line_db"])

        def get(name: str, kind: str) -> int:
            return int(struct.unpack_from(">" + kind, said, layout[name])[0])  # noqa: B023

        now_ms = time.monotonic_ns() // 1_000_000 % (1 << 32)
        block = bytearray(layout["plc_size"])

        def put(name: str, kind: str, value: int, after: int = 0) -> None:
            struct.pack_into(">" + kind, block, layout[name] + after, value)  # noqa: B023

        whole = get("line_sequence", "H") == get("line_sequence_end", "H")
        if get("line_map_version", "H") == layout["map_version"] and whole:
            beats.add(get("line_heartbeat", "H"))
            gate_read = get("line_gate_read", "I")
            ours = get("line_session", "I") == 77 and get("result_1", "I") == 1
            taken = taken or int(ours and said[layout["result_1"] + 5] == layout["ok"])
        if len(beats) > 1 and count == 0:
            count, counted_ms = 1, now_ms
        sequence = (sequence + 1) % (1 << 16)
        put("plc_map_version", "H", layout["map_version"])
        put("plc_sequence", "H", sequence)
        put("plc_status", "H", layout["ready"])
        put("plc_session", "I", 77)
        put("plc_part_count", "I", count)
        put("plc_clock_ms", "I", now_ms)
        if count:
            put("photo_eye_1", "I", 1)
            put("photo_eye_1", "I", counted_ms, after=4)
        if taken:
            put("plc_results_taken", "I", 1)
            put("plc_gate_count", "I", 1)
            put("gate_result_1", "I", 1)
            put("gate_result_1", "H", layout["passed"], after=4)
            put("gate_result_1", "H", layout["why_ok"], after=6)
        put("plc_sequence_end", "H", sequence)
        server.lock_area(SrvArea.DB, layout["plc_db"])
        tx[:] = block
        server.unlock_area(SrvArea.DB, layout["plc_db"])
        time.sleep(0.005)
    server.stop()
    server.destroy()
    return 0 if gate_read == 1 else 2


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
