"""What every gate driver offers: one round trip, commands out, photo-eye events and results in."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from inspector.core.errors import GateError
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason
from inspector.gate.registers import GateResult, LineState


class GateFault(StrEnum):
    """What is wrong with the PLC link. Closed list: it labels logs and metrics."""

    UNREACHABLE = "unreachable"
    NO_ANSWER = "no_answer"
    CLOSED = "closed"
    REFUSED = "refused"
    WRONG_MAP = "wrong_map"
    TORN = "torn"
    GARBAGE = "garbage"


class GateLinkError(GateError):
    """One exchange with the PLC failed. Nothing is lost: the next one sends the commands again."""

    def __init__(self, fault: GateFault, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Command:
    """What the gate is to do with a part.

    Attributes:
        part: which part, of which session.
        outcome: pass or reject.
        reason: why.
        at_ns: when the part was at the camera, host monotonic clock.
    """

    part: PartId
    outcome: Outcome
    reason: Reason
    at_ns: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What goes to the PLC in one exchange.

    Attributes:
        alive: the line really decides: only then the heartbeat changes.
        state: the line's state.
        commands: those new since the last exchange, in order; none need be given twice.
        job: which of the lane's recipes judges.
        recipe: its label, for drivers that show it; empty where none judges.
    """

    alive: bool
    state: LineState
    commands: tuple[Command, ...] = ()
    job: int = 0
    recipe: str = ""


@dataclass(frozen=True, slots=True)
class PhotoEye:
    """The PLC counted part ``number``, at ``at_ns`` on the host's monotonic clock."""

    number: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Incoming:
    """What the PLC said in one exchange.

    Attributes:
        session: the life of the PLC's program, and so of its count.
        part_count: parts counted in this session.
        photo_eyes: the last 8 counted parts, oldest first: mostly the same as last time.
        watched_ns: every part counted before this host time is in ``part_count``.
        uncertainty_ns: how far the host times of this exchange may be off, beside the PLC's scan time.
        plc_running: its program runs: scan counter moving, ready bit set.
        line_alive: the PLC sees the line's heartbeat.
        belt_stands: parts counted now are not certainly where they are reckoned to be.
        unconfirmed: a reject was not seen in the chute; nothing passes until that is reset at the PLC.
        gate_results: what the gate did since the last exchange, oldest first.
        gate_results_lost: results overwritten before they were read, since the last exchange.
        commands_overrun: commands overwritten before the PLC took them, since the last exchange; it
            rejects these parts.
        round_trip_ns: request to answer.
        job: which of the lane's recipes shall judge.
    """

    session: int
    part_count: int
    photo_eyes: tuple[PhotoEye, ...]
    watched_ns: int
    uncertainty_ns: int
    plc_running: bool
    line_alive: bool
    belt_stands: bool
    unconfirmed: bool
    gate_results: tuple[GateResult, ...]
    gate_results_lost: int
    commands_overrun: int
    round_trip_ns: int
    job: int = 0


class Gate(Protocol):
    """A reject gate behind a link that may fail at any time."""

    def exchange(self, outgoing: Outgoing) -> Incoming:
        """Tell and ask, within the configured time.

        Raises:
            GateLinkError: the exchange failed; call again after a pause. Commands given are kept, for as
                long as the count goes on that they belong to.
        """
        ...

    def exchange_idle(self) -> Incoming:
        """Ask only, and leave what the PLC was told as it is: for checks beside a running line.

        Raises:
            GateLinkError: the PLC cannot be asked.
        """
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...
