"""What people and manufacturing systems see: a vision system after OPC 40100-1.

The browse names are the companion specification's; the types are our own, in our own namespace. All of
it is read only.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from asyncua import Node, Server, ua
from asyncua.server.event_generator import EventGenerator

from inspector.core.verdict import Outcome
from inspector.gate.protocol import Command
from inspector.gate.registers import LineState, ResultCode

RESULTS = 16
"""So many results are kept, the oldest is overwritten."""
_STATES = {"Preoperational": 1, "Halted": 2, "Error": 3, "Operational": 4}
_MODES = {"Initialized": 5, "Ready": 6, "SingleExecution": 7, "ContinuousExecution": 8}
_FIELDS = {
    "ResultId": ua.VariantType.String,
    "Session": ua.VariantType.UInt32,
    "PartId": ua.VariantType.UInt32,
    "Outcome": ua.VariantType.String,
    "Reason": ua.VariantType.String,
    "CreationTime": ua.VariantType.DateTime,
    "InternalRecipeId": ua.VariantType.String,
}
"""What a result says: the specification's names, and Session, Outcome and Reason of our own."""


@dataclass(frozen=True, slots=True)
class _StateMachine:
    """A finite state machine: its two variables, and its states by name."""

    current: Node
    current_id: Node
    states: dict[str, ua.NodeId]

    @classmethod
    async def add(
        cls, server: Server, parent: Node, index: int, name: str, states: dict[str, int]
    ) -> tuple[Node, Self]:
        path = f"{parent.nodeid.Identifier}.{name}"
        base = server.get_node(ua.ObjectIds.FiniteStateMachineType)
        kind = await base.add_object_type(index, f"{name}Type")
        machine = await parent.add_object(
            ua.NodeId(path, index),
            ua.QualifiedName(name, index),
            kind.nodeid,
            instantiate_optional=False,
        )
        nodes = {}
        for state, number in states.items():
            node = await machine.add_object(
                ua.NodeId(f"{path}.{state}", index),
                ua.QualifiedName(state, index),
                ua.ObjectIds.StateType,
            )
            said = await node.get_child("0:StateNumber")
            await said.write_value(ua.Variant(number, ua.VariantType.UInt32))
            nodes[state] = node.nodeid
        current = await machine.get_child("0:CurrentState")
        return machine, cls(current, await current.get_child("0:Id"), nodes)

    async def show(self, state: str | None) -> None:
        """None: the machine is not active, since the one above it is in another state."""
        if state is None:
            idle = ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadStateNotActive))
            await self.current.write_value(idle)
            await self.current_id.write_value(idle)
            return
        await self.current_id.write_value(self.states[state])
        await self.current.write_value(ua.LocalizedText(state))


class VisionSystem:
    """The nodes, and what is shown in them. Made by `build`."""

    def __init__(
        self,
        top: _StateMachine,
        mode: _StateMachine,
        slots: list[dict[str, Node]],
        ready: EventGenerator,
        active: Node,
    ) -> None:
        self._top, self._mode = top, mode
        self._slots = slots
        self._ready = ready
        self._active = active
        self._recipe = ""
        self._shown: tuple[LineState, bool] | None = None
        self._results = 0

    @classmethod
    async def build(cls, server: Server, index: int) -> Self:
        """Add all nodes.

        Args:
            server: before it listens.
            index: our namespace's.
        """

        async def folder(parent: Node, name: str) -> Node:
            path = name if parent == server.nodes.objects else f"{parent.nodeid.Identifier}.{name}"
            return await parent.add_object(ua.NodeId(path, index), ua.QualifiedName(name, index))

        system = await folder(server.nodes.objects, "VisionSystem")
        machine, top = await _StateMachine.add(server, system, index, "VisionStateMachine", _STATES)
        _, mode = await _StateMachine.add(
            server, machine, index, "AutomaticModeStateMachine", _MODES
        )
        management = await folder(system, "ResultManagement")
        results = await folder(management, "Results")
        slots = [
            await _result(await folder(results, name), index)
            for name in ("Latest", *(f"Result{number:02}" for number in range(RESULTS)))
        ]
        kind = await server.create_custom_event_type(
            index, "ResultReadyEventType", properties=list(_FIELDS.items())
        )
        ready = await server.get_event_generator(kind, management.nodeid)
        recipes = await folder(await folder(system, "RecipeManagement"), "Recipes")
        active = await folder(recipes, "Active")
        label = await active.add_property(
            ua.NodeId(f"{active.nodeid.Identifier}.InternalId", index),
            ua.QualifiedName("InternalId", index),
            "",
        )
        return cls(top, mode, slots, ready, label)

    async def show_state(self, state: LineState, alive: bool) -> None:
        """The line's state; ``alive``: it decides."""
        if (state, alive) == self._shown:
            return
        self._shown = (state, alive)
        if state is LineState.RUNNING:
            await self._mode.show("ContinuousExecution" if alive else "Initialized")
            await self._top.show("Operational")
            return
        await self._top.show(
            {
                LineState.STARTING: "Preoperational",
                LineState.STOPPING: "Halted",
                LineState.FAULT: "Error",
            }[state]
        )
        await self._mode.show(None)

    async def show_recipe(self, recipe: str) -> None:
        """Label of the recipe that judges: name, version and hash; empty where none does."""
        if recipe != self._recipe:
            self._recipe = recipe
            await self._active.write_value(recipe)

    async def show_result(self, command: Command) -> None:
        """A part's command, as it goes to the gate: into the list, and as an event."""
        part = command.part
        passes = command.outcome is Outcome.PASS
        values = {
            "ResultId": f"{part.lane}/{part.session}/{part.number}",
            "Session": part.session,
            "PartId": part.number,
            "Outcome": (ResultCode.OK if passes else ResultCode.NOK).name,
            "Reason": command.reason.value,
            "CreationTime": datetime.now(UTC),
            "InternalRecipeId": self._recipe,
        }
        slots = (self._slots[0], self._slots[1 + self._results % RESULTS])
        self._results += 1
        for name, value in values.items():
            for slot in slots:
                await slot[name].write_value(ua.Variant(value, _FIELDS[name]))
            setattr(self._ready.event, name, value)
        await self._ready.trigger(message=f"{values['ResultId']}: {values['Outcome']}")


async def _result(parent: Node, index: int) -> dict[str, Node]:
    """A result's variables, empty."""
    path = parent.nodeid.Identifier
    return {
        name: await parent.add_variable(
            ua.NodeId(f"{path}.{name}", index),
            ua.QualifiedName(name, index),
            ua.get_default_value(kind),
            varianttype=kind,
        )
        for name, kind in _FIELDS.items()
    }
