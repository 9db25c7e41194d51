"""What clients of the line's OPC UA server see, and what they cannot do to it."""

import asyncio
import random
import socket
import time

import pytest
from asyncua import ua
from asyncua.ua.uaerrors import UaStatusCodeError

from inspector.config.gates import OpcUaGateSettings
from inspector.gate import (
    Gate,
    LineState,
    Outgoing,
)
from inspector.gate.opcua import OpcUaGate, guard
from inspector.gate.opcua.vision import RESULTS
from inspector.gate.registers import (
    encode_plc,
)
from inspector.gate.seat import PlcSeat
from tests.gate.opcua.client import PlcClient, until
from tests.gate.opcua.line import (
    IDLE,
    RECIPE,
    block,
    ok,
    sessions,
    told,
)
from tests.gate.opcua.noise import Noise

U16 = ua.VariantType.UInt16


def test_nothing_but_the_plcs_block_can_be_written(gate: Gate, plc: PlcClient) -> None:
    words = ua.Variant(encode_plc(block(7)), U16)
    results = "VisionSystem.ResultManagement.Results.Latest"
    for path, variant in {
        "Gate.LineToPlc": words,
        f"{results}.Outcome": ua.Variant("OK"),
        "VisionSystem.RecipeManagement.Recipes.Active.InternalId": ua.Variant("mine"),
    }.items():
        with pytest.raises(UaStatusCodeError):
            plc.write_variant(variant, path)
    with pytest.raises(UaStatusCodeError):
        plc.node("Gate.PlcToLine").write_attribute(ua.AttributeIds.AccessLevel, ua.DataValue(255))
    with pytest.raises(UaStatusCodeError):
        plc.node("Gate").add_object(plc.index, "mine")
    with pytest.raises(UaStatusCodeError):
        plc.client.delete_nodes([plc.node("Gate.PlcToLine")])
    assert plc.words() is not None


def test_a_part_of_the_block_cannot_be_written(gate: Gate, plc: PlcClient) -> None:
    value = ua.WriteValue(
        NodeId=plc.node("Gate.PlcToLine").nodeid,
        AttributeId=ua.AttributeIds.Value,
        IndexRange="0:1",
        Value=ua.DataValue(ua.Variant([1, 2], U16)),
    )
    write = plc.client.aio_obj.uaclient.write(ua.WriteParameters(NodesToWrite=[value]))
    (status,) = plc.client.tloop.post(write)
    assert status.name == "BadWriteNotSupported"


def test_nobody_becomes_an_administrator_by_name(gate: Gate, address: str) -> None:
    client = PlcClient.__new__(PlcClient)
    from asyncua.sync import Client

    client.client = Client(address, timeout=10)
    client.client.set_user("admin")
    client.client.set_password("admin")
    with pytest.raises(UaStatusCodeError):
        client.client.connect()
    client.client.disconnect()


@pytest.mark.parametrize(
    ("outgoing", "state", "mode"),
    [
        (Outgoing(True, LineState.RUNNING), "Operational", "ContinuousExecution"),
        (Outgoing(False, LineState.RUNNING), "Operational", "Initialized"),
        (Outgoing(False, LineState.STARTING), "Preoperational", None),
        (Outgoing(True, LineState.FAULT), "Error", None),
        (Outgoing(False, LineState.STOPPING), "Halted", None),
    ],
)
def test_the_vision_system_shows_the_lines_state(
    gate: Gate, plc: PlcClient, outgoing: Outgoing, state: str, mode: str | None
) -> None:
    told(gate, plc, next(sessions), outgoing)
    machine = plc.node("VisionSystem.VisionStateMachine")
    until(lambda: machine.get_child("0:CurrentState").read_value().Text == state)
    inner = machine.get_child(f"{plc.index}:AutomaticModeStateMachine").get_child("0:CurrentState")
    if mode is not None:
        assert inner.read_value().Text == mode
        shown = machine.get_child(["0:CurrentState", "0:Id"]).read_value()
        assert shown == plc.node(f"VisionSystem.VisionStateMachine.{state}").nodeid
    else:
        with pytest.raises(UaStatusCodeError, match="BadStateNotActive"):
            inner.read_value()


def test_the_recipe_that_judges_is_shown_and_none_where_none_does(
    gate: Gate, plc: PlcClient
) -> None:
    shown = "VisionSystem.RecipeManagement.Recipes.Active.InternalId"
    for recipe in (RECIPE, "", "type-02 v1 abcdef012345"):
        told(gate, plc, next(sessions), Outgoing(True, LineState.RUNNING, recipe=recipe))
        until(lambda recipe=recipe: plc.value(shown) == recipe)  # type: ignore[misc]


def test_the_last_results_are_listed_and_no_more(gate: Gate, plc: PlcClient) -> None:
    session = next(sessions)
    numbers = range(1, RESULTS + 5)
    for number in numbers:
        part = (ok(session, number),)
        told(gate, plc, session, Outgoing(True, LineState.RUNNING, part, recipe=RECIPE))
    results = "VisionSystem.ResultManagement.Results"
    newest = f"lane-1/{session}/{numbers[-1]}"
    until(lambda: plc.value(f"{results}.Latest.ResultId") == newest)
    latest = {
        name: plc.value(f"{results}.Latest.{name}")
        for name in ("Session", "PartId", "Outcome", "Reason", "InternalRecipeId")
    }
    assert list(latest.values()) == [session, numbers[-1], "OK", "clean", RECIPE]
    listed = {plc.value(f"{results}.Result{slot:02}.PartId") for slot in range(RESULTS)}
    assert listed == set(numbers[-RESULTS:])
    assert len(plc.node(results).get_children()) == RESULTS + 1


def test_more_clients_than_the_server_takes_do_not_disturb_the_plc(
    gate: Gate, plc: PlcClient, address: str, served: tuple[Gate, OpcUaGateSettings]
) -> None:
    session = next(sessions)
    told(gate, plc, session, IDLE)
    crowd = [socket.create_connection(("127.0.0.1", served[1].port)) for _ in range(40)]
    shut = 0
    for connection in crowd:
        connection.settimeout(0.2)
        try:
            shut += connection.recv(1) == b""
        except TimeoutError:
            continue
    assert shut >= 20, "those above the limit are closed"
    told(gate, plc, session, IDLE)
    for connection in crowd:
        connection.close()
    plc.write(block(session))
    assert gate.exchange(IDLE).session == session


def test_a_message_without_end_is_cut_off() -> None:
    """Only its head is ever checked before it is there as a whole."""

    class Wire(asyncio.Transport):
        aborted = False

        def abort(self) -> None:
            self.aborted = True

    internals = guard._Internals(PlcSeat(1), time.monotonic_ns, None)
    connection = guard._Connection(internals, [], [], [], guard._Limits())
    connection.transport = wire = Wire()
    connection.data_received(b"HELF" + (1 << 31).to_bytes(4, "little"))
    for _ in range(guard._LONGEST_MESSAGE // 65536):
        assert not wire.aborted
        connection.data_received(bytes(65536))
    assert wire.aborted


def test_nobody_registers_other_servers_here(gate: Gate, plc: PlcClient) -> None:
    register = plc.client.aio_obj.uaclient.register_server(ua.RegisteredServer(ServerUri="urn:x"))
    with pytest.raises(UaStatusCodeError, match="BadServiceUnsupported"):
        plc.client.tloop.post(register)


def test_noise_on_the_port_neither_ends_the_server_nor_speaks_for_the_plc(
    gate: Gate, address: str, served: tuple[Gate, OpcUaGateSettings]
) -> None:
    assert isinstance(gate, OpcUaGate)
    before = gate._seat.heard
    noise, dice = Noise("127.0.0.1", served[1].port), random.Random(1)
    stood = sum(noise.make(dice) for _ in range(2000))
    assert stood > 500, "most of it reached an open session"
    noise.close()
    assert noise.alive()
    assert gate._seat.heard is before, "no noise is a block"
    with PlcClient(address) as plc:
        session = next(sessions)
        told(gate, plc, session, IDLE)
        assert gate.exchange(IDLE).session == session
