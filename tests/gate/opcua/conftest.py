"""One server for all tests here, since it takes seconds to start."""

from collections.abc import Iterator

import pytest

from inspector.config.gates import OpcUaGateSettings
from inspector.gate import (
    Gate,
    GateFault,
    open_gate,
)
from tests.gate.opcua.client import PlcClient, free_port, until
from tests.gate.opcua.line import fault_of, settings


@pytest.fixture(scope="package")
def served() -> Iterator[tuple[Gate, OpcUaGateSettings]]:
    where = settings(free_port())
    gate = open_gate(where, "lane-1")
    until(lambda: fault_of(gate) is GateFault.NO_ANSWER)
    yield gate, where
    gate.close()


@pytest.fixture
def gate(served: tuple[Gate, OpcUaGateSettings]) -> Gate:
    return served[0]


@pytest.fixture
def address(served: tuple[Gate, OpcUaGateSettings]) -> str:
    return served[1].address


@pytest.fixture
def plc(gate: Gate, address: str) -> Iterator[PlcClient]:
    with PlcClient(address) as client:
        yield client
