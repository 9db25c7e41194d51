"""What line and PLC say to each other, whatever carries their two blocks. Pure."""

from collections import deque

from inspector.core.gate_codes import GateStatus
from inspector.core.verdict import Outcome
from inspector.gate.clock import PlcClock
from inspector.gate.protocol import Command, Incoming, Outgoing, PhotoEye
from inspector.gate.registers import (
    DEPTH,
    GateResult,
    LineBlock,
    LineState,
    PlcBlock,
    Result,
    ResultCode,
)

_PLC_SILENCE_NS = 500_000_000
"""A PLC whose scan counter stands still so long is taken for stopped."""


class Conversation:
    """One lane's side of the handshake of docs/plc.md. Not thread-safe."""

    def __init__(self) -> None:
        self._sequence = 0
        self._heartbeat = 0
        self._state, self._job = LineState.STARTING, 0
        self._commands: deque[Command] = deque(maxlen=DEPTH)
        self._taken = 0
        self._overrun = 0
        self._plc_clock = PlcClock()
        self._session: int | None = None
        self._gate_read = 0
        self._scan: tuple[int, int] | None = None

    def take(self, outgoing: Outgoing) -> None:
        """What is to be said from now on; commands stay in every block until eight newer ones came."""
        for command in outgoing.commands:
            self._keep(command)
        if outgoing.alive:
            self._heartbeat = (self._heartbeat + 1) & 0xFFFF
        self._state, self._job = outgoing.state, outgoing.job

    def block(self) -> LineBlock:
        """The line's next block."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        return LineBlock(
            sequence=self._sequence,
            heartbeat=self._heartbeat,
            state=self._state,
            session=self._commands[-1].part.session if self._commands else 0,
            plc_session=self._session or 0,
            gate_read=self._gate_read,
            # In the PLC's time, so not before its clock is known.
            results=tuple(self._result(command) for command in self._commands)
            if self._plc_clock.known
            else (),
            job=self._job,
        )

    def hear(self, block: PlcBlock, sent_ns: int, received_ns: int) -> Incoming:
        """What the PLC's block means.

        Args:
            block: as it was read, whole.
            sent_ns: when it was asked for, host monotonic clock.
            received_ns: when it was there.
        """
        if block.session != self._session:
            # What the gate did before this line looked is history; a new counter's life is all new.
            self._gate_read = block.gate_count if self._session is None else 0
            self._session = block.session
            self._plc_clock = PlcClock()
        self._plc_clock.observe(block.clock_ms, sent_ns, received_ns)
        if self._scan is None or self._scan[0] != block.sequence:
            self._scan = (block.sequence, received_ns)
        scanning = received_ns - self._scan[1] < _PLC_SILENCE_NS
        self._taken = block.results_taken
        new_results, lost = self._new_results(block)
        overrun, self._overrun = self._overrun, 0
        return Incoming(
            session=block.session,
            part_count=block.part_count,
            photo_eyes=tuple(
                PhotoEye(event.number, self._plc_clock.host_ns(event.clock_ms))
                for event in block.photo_eye
            ),
            watched_ns=self._plc_clock.host_ns(block.clock_ms),
            uncertainty_ns=self._plc_clock.uncertainty_ns,
            plc_running=scanning and GateStatus.READY in block.status,
            line_alive=GateStatus.LINE_ALIVE in block.status,
            belt_stands=GateStatus.BELT_STANDS in block.status,
            unconfirmed=GateStatus.UNCONFIRMED in block.status,
            gate_results=new_results,
            gate_results_lost=lost,
            commands_overrun=overrun,
            round_trip_ns=received_ns - sent_ns,
            job=block.job,
        )

    def _new_results(self, block: PlcBlock) -> tuple[tuple[GateResult, ...], int]:
        """Gate results since the last exchange, and how many of them were overwritten."""
        read, self._gate_read = self._gate_read, block.gate_count
        if read > block.gate_count:
            return block.gate_results, 0
        new = tuple(result for result in block.gate_results if result.number > read)
        return new, max(block.gate_count - read - DEPTH, 0)

    def _keep(self, command: Command) -> None:
        """Put a command into the buffer of eight; the same buffer goes out with every exchange."""
        if self._commands and self._commands[-1].part.session != command.part.session:
            self._commands.clear()
            self._taken = 0
        # Part n and part n − 8 share a slot.
        while self._commands and self._commands[0].part.number <= command.part.number - DEPTH:
            dropped = self._commands.popleft()
            self._overrun += dropped.part.number > self._taken
        self._commands.append(command)

    def _result(self, command: Command) -> Result:
        return Result(
            number=command.part.number,
            outcome=ResultCode.OK if command.outcome is Outcome.PASS else ResultCode.NOK,
            reason=command.reason,
            clock_ms=self._plc_clock.plc_ms(command.at_ns),
        )
