"""The simulated PLC at the gate: a Modbus TCP server with a scan cycle, wired to the rig.

Run as a process of its own: ``python -m inspector.twin.plc --rig FILE --port 0 --log FILE``. It prints
``ready port=N`` when it listens. Every rig is one lane, whose register block begins 100 registers after
the one before it. What the diverter really did with each part goes back into the rig and, a line of
JSON a part, into the log: the truth that the demo's summary compares with.

A PLC keeps its cycle whatever other processes do. This one runs on a shared machine, so its cycles are
counted on a grid of 5 ms: whenever it gets to run, it makes up the cycles that were due, each with the
inputs of its own time. A write that arrives now is seen by the next cycle, never by one before.
"""

import asyncio
import json
import logging
import secrets
import signal
import time
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Protocol, TextIO

import numpy as np
import typer
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from inspector.core.belt import BeltLimits
from inspector.core.gate_codes import GateReason
from inspector.core.gate_program import (
    GateProgram,
    LineInput,
    LineResult,
    Parameters,
    Tracked,
)
from inspector.core.process import die_with_parent
from inspector.twin import rig as wiring
from inspector.twin.plc_registers import (
    DEPTH,
    LINE_TO_PLC_SIZE,
    MAP_VERSION,
    PLC_TO_LINE,
    PLC_TO_LINE_SIZE,
    block_of,
    registers_of,
)

SCAN_NS = 5_000_000
FALL_NS = 120_000_000
"""A rejected cup is at the chute's eye so long after it was at the diverter."""
_CONFIRM_NS = 400_000_000
COUNTS_A_SCAN = 50
"""Of the encoder, while the belt runs."""
BLOCK_STRIDE = 100
SET_BACK_MS = 250
"""SIGUSR1 sets the clock back by so much: about the time from one part to the next is the worst. SIGUSR2
asks for the other one of jobs 0 and 1."""
_READ_INPUT = 4
_WRAP = 1 << 32


class Mode(StrEnum):
    """How the PLC knows where parts are."""

    PHOTO_EYE = "photo_eye"
    FREE_RUN = "free_run"


class Wiring(Protocol):
    """What the PLC is wired to: a `Rig`, or a test's belt."""

    def parts_due(self, after: int, now_ns: int) -> list[wiring.BeltPart]:
        """Parts with a number above ``after`` that broke the photo-eye's beam until then."""
        ...

    def part(self, number: int) -> wiring.BeltPart | None:
        """The part with this number, as long as it is on the belt."""
        ...

    def belt_runs(self, at_ns: int) -> bool:
        """What the belt's drive says."""
        ...

    def set_result(self, number: int, action: wiring.Action, reason: int = 0) -> None:
        """What the diverter did with a part."""
        ...


@dataclass(slots=True)
class _OnBelt:
    """A part between photo-eye and diverter, and what happened to it there."""

    part: wiring.BeltPart
    count: int | None
    passed: bool = False
    nearest: Tracked | None = None


class PlcLane:
    """One lane: the program, the belt it is wired to, and its register image.

    Args:
        belt: the wires.
        program: the program, before its first scan.
        log: where a line of JSON a part goes.
        start_ns: the first scan's time.
    """

    def __init__(self, belt: Wiring, program: GateProgram, log: TextIO, start_ns: int) -> None:
        self._belt = belt
        self._program = program
        self._log = log
        self._scan_ns = start_ns
        self._clock_ms = secrets.randbelow(1 << 32)
        self._start_ns = start_ns
        # Whatever is past the photo-eye already was never counted.
        waiting = belt.parts_due(0, start_ns)
        self._last = max((part.number for part in waiting), default=0)
        self._on_belt = deque(_OnBelt(part, None) for part in waiting if part.gate_ns >= start_ns)
        self._gone: deque[_OnBelt] = deque()
        self._falls: deque[int] = deque()
        self._counts = secrets.randbelow(1 << 31)
        self.job = 0
        """Which of the line's recipes shall judge."""

    def advance(self, now_ns: int) -> None:
        """Make every scan that is due until ``now_ns``."""
        due = deque(self._belt.parts_due(self._last, now_ns))
        while self._scan_ns <= now_ns:
            self._settle(self._scan_ns)
            edges = 0
            while due and due[0].eye_ns <= self._scan_ns:
                part = due.popleft()
                self._last = part.number
                edges += 1
                count = self._program.part_count + edges
                self._on_belt.append(_OnBelt(part, count))
            runs = self._belt.belt_runs(self._scan_ns)
            self._counts += COUNTS_A_SCAN if runs else 0
            counted = self._program.parameters.photo_eye
            self._program.scan(
                self._scan_ns,
                edges if counted else 0,
                counts=self._counts,
                runs=runs,
                in_chute=self._in_chute(self._scan_ns),
            )
            self._book(self._scan_ns)
            self._scan_ns += SCAN_NS

    def write(self, registers: list[int]) -> None:
        """The line's holding registers changed; a block that is not whole is not taken."""
        block = block_of(registers)[0]
        whole = block["map_version"] == MAP_VERSION and block["sequence"] == block["sequence_end"]
        if not whole:
            return
        self._program.write(
            LineInput(
                heartbeat=int(block["heartbeat"]),
                state=int(block["state"]),
                session=int(block["session"]),
                plc_session=int(block["plc_session"]),
                gate_read=int(block["gate_read"]),
                results=tuple(
                    LineResult(int(number), int(outcome), int(reason), self._at_ns(int(clock_ms)))
                    for number, outcome, reason, clock_ms in block["result"].tolist()
                    if number
                ),
            )
        )

    def set_clock(self, by_ms: int) -> None:
        """Somebody sets the PLC's clock."""
        self._clock_ms = (self._clock_ms + by_ms) % _WRAP

    def image(self) -> list[int]:
        """The input registers as the last scan left them."""
        program = self._program
        block = np.zeros(1, PLC_TO_LINE)
        block["map_version"] = MAP_VERSION
        block["sequence"] = block["sequence_end"] = program.sequence
        block["status"] = program.status
        block["heartbeat_seen"] = program.heartbeat_seen
        block["session"] = program.session
        block["part_count"] = program.part_count
        block["clock_ms"] = self._clock(program.now_ns)
        block["results_taken"] = program.results_taken
        block["gate_count"] = program.gate_count
        for number, eye_ns in program.photo_eyes:
            block["photo_eye"][0, number % DEPTH] = (number, self._clock(eye_ns))
        for row in program.gate_results:
            block["gate_result"][0, row[0] % DEPTH] = row
        block["job"] = self.job
        return registers_of(block)

    def _clock(self, at_ns: int) -> int:
        """The PLC's own clock: milliseconds from an arbitrary start, 32 bits."""
        return (self._clock_ms + (at_ns - self._start_ns) // 1_000_000) % _WRAP

    def _at_ns(self, clock_ms: int) -> int:
        """The time at which that clock showed this, of those within 24 days of the last scan."""
        now_ns = self._program.now_ns
        ago_ms = (self._clock(now_ns) - clock_ms + _WRAP // 2) % _WRAP - _WRAP // 2
        return now_ns - ago_ms * 1_000_000

    def _in_chute(self, now_ns: int) -> int:
        """How many cups the reject chute's eye has seen since the last scan."""
        seen = 0
        while self._falls and self._falls[0] <= now_ns:
            self._falls.popleft()
            seen += 1
        return seen

    def _settle(self, until_ns: int) -> None:
        """Parts at the diverter before this scan went where the last scan had put it."""
        while self._on_belt:
            # A belt that stood brings it later than it was announced.
            first = self._on_belt[0]
            first.part = self._belt.part(first.part.number) or first.part
            if first.part.gate_ns >= until_ns:
                break
            gone = self._on_belt.popleft()
            gone.passed = self._program.passing
            if not gone.passed:
                self._falls.append(gone.part.gate_ns + FALL_NS)
            near = self._program.in_reach()
            gone.nearest = near[0] if near else None
            if gone.count is not None and self._program.parameters.photo_eye:
                gone.nearest = self._program.parts.get(gone.count)
            self._gone.append(gone)

    def _book(self, now_ns: int) -> None:
        """Write down parts that are past the gate, once the program has told its reason."""
        while self._gone and now_ns > self._gone[0].part.gate_ns + 2 * SCAN_NS:
            gone = self._gone.popleft()
            part, tracked = gone.part, gone.nearest
            uncounted = gone.count is None and self._program.parameters.photo_eye
            why = GateReason.UNCOUNTED if uncounted else GateReason.NO_RESULT
            if tracked is not None:
                why = tracked.why or tracked.decided or why
            action = wiring.Action.PASSED if gone.passed else wiring.Action.DIVERTED
            self._belt.set_result(part.number, action, int(why))
            result = None if tracked is None else tracked.result
            row = {
                "number": part.number,
                "action": "passed" if gone.passed else "diverted",
                "reason": why.name.lower(),
                "eye_ns": part.eye_ns,
                "gate_ns": part.gate_ns,
                "session": self._program.session,
                "count": gone.count if self._program.parameters.photo_eye else None,
                "result_number": None if result is None else result.number,
                "result_outcome": None if result is None else result.outcome,
                "result_reason": None if result is None else result.reason,
                "result_received_at": None if tracked is None else tracked.received_at,
            }
            self._log.write(json.dumps(row) + "\n")


class PlcServer:
    """The Modbus TCP side: a thin shell around the lanes.

    Args:
        lanes: block 0, 1, …
        host: address to listen on.
        port: 0 takes any free one.
    """

    def __init__(self, lanes: list[PlcLane], host: str, port: int) -> None:
        self._lanes = lanes
        count = BLOCK_STRIDE * len(lanes)
        blocks = (
            [SimData(0, count=16, values=False, datatype=DataType.BITS)],
            [SimData(0, count=16, values=False, datatype=DataType.BITS)],
            [SimData(0, count=count, values=0, datatype=DataType.REGISTERS)],
            [SimData(0, count=count, values=0, datatype=DataType.REGISTERS)],
        )
        # Unit 0 stands for every unit id.
        self._server = ModbusTcpServer(
            SimDevice(0, simdata=blocks, action=self._on_request), address=(host, port)
        )

    async def listen(self) -> int:
        """Begin to answer; return the port."""
        await self._server.serve_forever(background=True)
        listener = self._server.transport
        assert isinstance(listener, asyncio.Server)
        return int(listener.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop answering."""
        await self._server.shutdown()  # type: ignore[no-untyped-call]

    async def _on_request(
        self,
        function_code: int,
        _start_address: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Bring the lanes up to now, then show or take registers."""
        now_ns = time.monotonic_ns()
        for index, lane in enumerate(self._lanes):
            base = index * BLOCK_STRIDE
            shown, taken = (slice(base, base + n) for n in (PLC_TO_LINE_SIZE, LINE_TO_PLC_SIZE))
            if function_code == _READ_INPUT and address < shown.stop and base < address + count:
                lane.advance(now_ns)
                registers[shown] = lane.image()
            elif values is not None and address < taken.stop and base < address + count:
                lane.advance(now_ns)
                written = [*registers[:address], *values, *registers[address + count :]]
                lane.write([int(value) for value in written[taken]])
        return None


def wired(*, photo_eye: bool, travel_ms: float, encoder: bool) -> Parameters:
    """The program's parameters for this plant: distances in ns of running, or in the encoder's counts."""
    confirm_ns = _CONFIRM_NS if photo_eye else 0
    if not encoder:
        return Parameters(photo_eye, round(travel_ms * 1e6), confirm_ns=confirm_ns)
    timed, per_count = Parameters(), SCAN_NS // COUNTS_A_SCAN
    return Parameters(
        photo_eye=photo_eye,
        travel=round(travel_ms * 1e6) // per_count,
        reach=timed.reach // per_count,
        margin=timed.margin // per_count,
        unsure=timed.unsure // per_count,
        belt=BeltLimits(encoder=True),
        confirm_ns=confirm_ns,
    )


async def serve(
    rigs: list[wiring.Rig],
    parameters: Parameters,
    log: TextIO,
    *,
    host: str,
    port: int,
    stopping: asyncio.Event,
) -> None:
    """Run until ``stopping`` or until the plant ends."""
    lanes = [
        PlcLane(
            rig,
            GateProgram(session=secrets.randbelow((1 << 32) - 1) + 1, parameters=parameters),
            log,
            time.monotonic_ns(),
        )
        for rig in rigs
    ]

    def set_clocks() -> None:
        for lane in lanes:
            lane.set_clock(-SET_BACK_MS)

    def change_product() -> None:
        for lane in lanes:
            lane.job = 1 - lane.job

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, set_clocks)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, change_product)
    server = PlcServer(lanes, host, port)
    print(f"ready port={await server.listen()}", flush=True)
    while not stopping.is_set() and all(rig.running for rig in rigs):
        now_ns = time.monotonic_ns()
        for lane in lanes:
            lane.advance(now_ns)
        await asyncio.sleep(SCAN_NS / 1e9)
    await server.close()


def main(
    rig: Annotated[list[Path], typer.Option(help="rig file; once for each lane")],
    log: Annotated[Path, typer.Option(help="JSON-lines file: what the gate did with each part")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Modbus TCP port; 0: any free")] = 0,
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    mode: Annotated[Mode, typer.Option(help="photo-eye counted by the PLC, or none")] = (
        Mode.PHOTO_EYE
    ),
    travel_ms: Annotated[float, typer.Option(min=1, help="photo-eye to diverter, ms")] = 1200.0,
    encoder: Annotated[bool, typer.Option(help="follow the belt by its encoder")] = False,
) -> None:
    """Run the PLC of one or more lanes until SIGTERM, or until the plant ends."""
    die_with_parent()
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    parameters = wired(photo_eye=mode is Mode.PHOTO_EYE, travel_ms=travel_ms, encoder=encoder)
    rigs = [wiring.open_rig(path) for path in rig]

    async def run(file: TextIO) -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        await serve(rigs, parameters, file, host=host, port=port, stopping=stopping)

    with log.open("w", encoding="utf-8", buffering=1) as file:
        asyncio.run(run(file))
    for opened in rigs:
        opened.close()


if __name__ == "__main__":
    typer.run(main)
