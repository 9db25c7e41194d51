"""The simulated PLC on a test's own belt: wires without a rig."""

import io
import time

from inspector.core.belt import BeltLimits
from inspector.core.gate_program import GateProgram, Parameters
from inspector.twin.plc import PlcLane
from inspector.twin.rig import Action, BeltPart

MS = 1_000_000
TRAVEL_MS = 600


class Belt:
    """Parts break the beam at given times and are at the gate `TRAVEL_MS` later.

    Args:
        eyes_ns: when, in order.
    """

    def __init__(self, eyes_ns: list[int]) -> None:
        self.parts: list[BeltPart] = []
        self.actions: dict[int, Action] = {}
        self.bring(eyes_ns)

    def bring(self, eyes_ns: list[int]) -> None:
        """Let more parts come."""
        for eye_ns in eyes_ns:
            number, gate_ns = len(self.parts) + 1, eye_ns + TRAVEL_MS * MS
            self.parts.append(BeltPart(number, 1, 0, eye_ns, gate_ns, Action.NONE, 0, done=False))

    def did(self) -> list[int]:
        """What the diverter did with each part, once it is `through`."""
        return [int(self.actions[part.number]) for part in self.parts]

    def parts_due(self, after: int, now_ns: int) -> list[BeltPart]:
        return [part for part in self.parts if part.number > after and part.eye_ns <= now_ns]

    def part(self, number: int) -> BeltPart:
        return self.parts[number - 1]

    def belt_runs(self, at_ns: int) -> bool:
        return True

    def set_result(self, number: int, action: Action, reason: int = 0) -> None:
        self.actions[number] = action

    @property
    def through(self) -> bool:
        """Every part is past the gate."""
        return len(self.actions) == len(self.parts)


def a_lane(belt: Belt) -> PlcLane:
    """A PLC at that belt, from now on."""
    program = GateProgram(77, Parameters(travel=TRAVEL_MS * MS, belt=BeltLimits(settle_ns=0)))
    return PlcLane(belt, program, io.StringIO(), time.monotonic_ns())
