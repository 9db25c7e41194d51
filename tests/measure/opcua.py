"""What the OPC UA gate costs: ``python -m tests.measure.opcua``.

The line exchanges every 10 ms, as it does; a client in a process of its own plays the PLC, writes its block
and reads the line's every 10 ms. CPU time is the line's process's, which does nothing else.
"""

import argparse
import multiprocessing
import time
from multiprocessing.connection import Connection

import numpy as np

from inspector.config.gates import OpcUaGateSettings
from inspector.core.gate_codes import GateStatus
from inspector.gate import Gate, GateFault, GateLinkError, LineState, Outgoing, open_gate
from inspector.gate.registers import PlcBlock, encode_plc
from tests.gate.opcua.client import PlcClient, free_port

SCAN_S = 0.01


def play_plc(address: str, report: Connection) -> None:
    """Scans until the line is gone, and reports how long writing and reading took, s."""
    took = []
    with PlcClient(address) as plc:
        for scan in range(1, 1 << 16):
            if report.poll():
                break
            line = plc.line()
            beat = 0 if line is None else line.heartbeat
            clock_ms = time.monotonic_ns() // 1_000_000 % (1 << 32)
            words = encode_plc(PlcBlock(scan, GateStatus.READY, beat, 7, 0, clock_ms, 0, 0))
            before = time.perf_counter()
            plc.write_words(words)
            plc.words()
            took.append(time.perf_counter() - before)
            time.sleep(SCAN_S)
    report.send(took)


def exchange(gate: Gate) -> GateFault | None:
    try:
        gate.exchange(Outgoing(alive=True, state=LineState.RUNNING))
    except GateLinkError as error:
        return error.fault
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    settings = OpcUaGateSettings(driver="opcua", port=free_port(), timeout_ms=1000)
    gate = open_gate(settings, "lane-1")
    began, cpu = time.monotonic(), time.process_time()
    while exchange(gate) is not GateFault.NO_ANSWER:
        time.sleep(SCAN_S)
    start_s, start_cpu_s = time.monotonic() - began, time.process_time() - cpu
    ours, theirs = multiprocessing.Pipe()
    plc = multiprocessing.get_context("spawn").Process(
        target=play_plc, args=(settings.address, theirs)
    )
    plc.start()
    while exchange(gate) is not None:
        time.sleep(SCAN_S)
    began, cpu, exchanges, late_ms = time.monotonic(), time.process_time(), 0, []
    while time.monotonic() - began < given.seconds:
        incoming = gate.exchange(Outgoing(alive=True, state=LineState.RUNNING))
        late_ms.append(incoming.uncertainty_ns / 1e6)
        exchanges += 1
        time.sleep(SCAN_S)
    busy = (time.process_time() - cpu) / (time.monotonic() - began)
    ours.send(None)
    while not ours.poll():
        exchange(gate)
        time.sleep(SCAN_S)
    took_ms = 1e3 * np.array(ours.recv())
    plc.join()
    gate.close()
    print(f"start: {start_s:.1f} s, of which {start_cpu_s:.1f} s CPU")
    print(f"{exchanges} exchanges, {len(took_ms)} scans: {100 * busy:.0f} % of one core")
    print(
        "write and read, ms: "
        + ", ".join(f"{q:g} % {np.quantile(took_ms, q / 100):.1f}" for q in (1, 50, 99))
    )
    print(f"a photo-eye time may be late by, ms: {np.median(late_ms):.1f}, beside the scan")


if __name__ == "__main__":
    main()
