"""Modbus TCP client to the PLC at the gate: one write, one read, no retries."""

import logging
import struct
import time
from collections.abc import Callable

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.pdu import ModbusPDU

from inspector.config.gates import ModbusGateSettings
from inspector.gate.clock import Clock
from inspector.gate.conversation import Conversation
from inspector.gate.faults import misread
from inspector.gate.protocol import GateFault, GateLinkError, Incoming, Outgoing
from inspector.gate.registers import (
    LINE_TO_PLC_SIZE,
    PLC_TO_LINE_SIZE,
    BlockError,
    decode_plc,
    encode_line,
)

_MALFORMED = (struct.error, IndexError, ValueError)
"""What pymodbus raises while it decodes an answer that is shorter than it says."""
_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal address",
    3: "illegal value",
    4: "device failure",
    6: "busy",
    10: "no path to the unit",
    11: "unit does not respond",
}

# The library logs what it also raises; the caller decides how often a lost link is worth a line.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


class ModbusGate:
    """A PLC that speaks the register map of docs/plc.md. Not thread-safe: one thread owns it.

    Args:
        settings: address, register block and longest wait.
        lane: the lane's name, for messages.
        clock: host monotonic clock, ns.
    """

    def __init__(
        self, settings: ModbusGateSettings, lane: str, clock: Clock = time.monotonic_ns
    ) -> None:
        self._settings = settings
        self._lane = lane
        self._clock = clock
        self._client: ModbusTcpClient | None = None
        self._answer_by_ns = 0
        self._bytes_came = False
        self._conversation = Conversation()

    def exchange(self, outgoing: Outgoing) -> Incoming:
        """See `Gate.exchange`; takes ``timeout_ms`` at most."""
        self._conversation.take(outgoing)
        return self._guarded(self._write)

    def exchange_idle(self) -> Incoming:
        """See `Gate.exchange_idle`."""
        return self._guarded(lambda: None)

    def close(self) -> None:
        """Close the connection; the next exchange opens it anew."""
        if self._client is not None:
            self._client.close()  # type: ignore[no-untyped-call]
            self._client = None

    # -- one exchange ------------------------------------------------------------------------------

    def _guarded(self, write: Callable[[], None]) -> Incoming:
        """Write, read and understand; whatever goes wrong ends the connection and has its own name."""
        self._answer_by_ns = self._clock() + round(self._settings.timeout_ms * 1e6)
        try:
            self._connect()
            write()
            return self._read()
        except GateLinkError:
            self.close()
            raise
        except BlockError as error:
            self.close()
            settings = "gate.host, gate.port and gate.base_register"
            raise misread(error, self._peer, settings) from error
        except _MALFORMED as error:
            self.close()
            raise self._error(
                GateFault.GARBAGE,
                f"answers what makes no sense: {error}",
                "see that gate.host, gate.port and gate.base_register name the PLC of this lane",
            ) from error
        except (ConnectionException, ConnectionError) as error:
            self.close()
            raise self._error(
                GateFault.CLOSED,
                "closed the connection",
                "see whether the PLC restarted or has too many Modbus connections open",
            ) from error
        except (ModbusException, OSError) as error:
            came = self._bytes_came
            self.close()
            if came:
                raise self._error(
                    GateFault.GARBAGE,
                    "answers what is not Modbus",
                    "see that gate.host and gate.port name the PLC, and gate.unit its unit",
                ) from error
            raise self._error(
                GateFault.NO_ANSWER,
                f"gave no answer within {self._settings.timeout_ms:g} ms",
                "see whether the PLC runs and the network is free, or raise gate.timeout_ms",
            ) from error

    def _connect(self) -> None:
        if self._client is not None:
            self._allow_rest()
            return
        settings = self._settings
        self._client = ModbusTcpClient(
            settings.host,
            port=settings.port,
            timeout=settings.timeout_ms / 1e3,
            # A retry would hide the failure and keep the heartbeat waiting; the caller tries again.
            retries=0,
            trace_packet=self._packet,
        )
        if not self._client.connect():  # type: ignore[no-untyped-call]
            raise self._error(
                GateFault.UNREACHABLE,
                "cannot be reached",
                "switch it on, or correct gate.host and gate.port, and check cable and firewall",
            )
        self._allow_rest()

    def _allow_rest(self) -> None:
        """Let the next wait end when this exchange must."""
        assert self._client is not None
        rest_ns = self._answer_by_ns - self._clock()
        self._client.comm_params.timeout_connect = max(rest_ns / 1e9, 0.001)
        self._bytes_came = False

    def _packet(self, sending: bool, data: bytes) -> bytes:
        """See all traffic: a peer that dribbles bytes must not hold the exchange up for ever."""
        if not sending:
            if self._clock() > self._answer_by_ns:
                raise ModbusException("the answer is not complete in time")
            self._bytes_came = True
        return data

    def _write(self) -> None:
        assert self._client is not None
        answer = self._client.write_registers(
            self._settings.base_register,
            encode_line(self._conversation.block()),
            device_id=self._settings.unit,
        )
        self._raise_if_refused(answer, "writing", LINE_TO_PLC_SIZE)
        self._allow_rest()

    def _read(self) -> Incoming:
        assert self._client is not None
        sent_ns = self._clock()
        answer = self._client.read_input_registers(
            self._settings.base_register, count=PLC_TO_LINE_SIZE, device_id=self._settings.unit
        )
        received_ns = self._clock()
        self._raise_if_refused(answer, "reading", PLC_TO_LINE_SIZE)
        return self._conversation.hear(decode_plc(answer.registers), sent_ns, received_ns)

    def _raise_if_refused(self, answer: ModbusPDU, deed: str, size: int) -> None:
        if not answer.isError():
            return
        base, code = self._settings.base_register, answer.exception_code
        raise self._error(
            GateFault.REFUSED,
            f"refuses {deed} registers {base} to {base + size - 1}: "
            f"{_EXCEPTIONS.get(code, 'exception')} (code {code})",
            "correct gate.base_register and gate.unit, or give the PLC this block (docs/plc.md)",
        )

    def _error(self, fault: GateFault, what: str, remedy: str) -> GateLinkError:
        return GateLinkError(fault, f"{self._peer} {what}", remedy)

    @property
    def _peer(self) -> str:
        return f"the PLC of {self._lane} at {self._settings.address}"
