"""S7 communication (PUT/GET) with a Siemens PLC: one data block written, one read, no retries."""

import logging
import struct
import time
from collections.abc import Callable
from typing import Any

from snap7.connection import ISOTCPConnection
from snap7.datatypes import S7Area, S7WordLen
from snap7.error import S7Error, S7ProtocolError
from snap7.s7protocol import S7Protocol, get_return_code_description

from inspector.config.gates import S7GateSettings
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

_MALFORMED = (struct.error, IndexError, KeyError, ValueError)
"""What the library raises while it decodes an answer that is shorter than it says."""
_SUCCESS = 0xFF
_LONGEST_PDU = 960
_READ_FRAME, _WRITE_FRAME = 18, 28
"""Bytes of a PDU beside the data: of a read's answer, of a write."""

# The library logs what it also raises; the caller decides how often a lost link is worth a line.
logging.getLogger("snap7").setLevel(logging.CRITICAL)


class S7Gate:
    """A PLC with the two data blocks of docs/plc.md. Not thread-safe: one thread owns it.

    The library's client hides retries and waits 5 s for a connection whatever it is told, and cuts a block
    that is too long into pieces; so this stands on its two layers below: the connection and the protocol.

    Args:
        settings: address, data blocks and longest wait.
        lane: the lane's name, for messages.
        clock: host monotonic clock, ns.
    """

    def __init__(
        self, settings: S7GateSettings, lane: str, clock: Clock = time.monotonic_ns
    ) -> None:
        self._settings = settings
        self._lane = lane
        self._clock = clock
        self._connection: _Connection | None = None
        self._protocol = S7Protocol()
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
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None

    # -- one exchange ------------------------------------------------------------------------------

    def _guarded(self, write: Callable[[], None]) -> Incoming:
        """Write, read and understand; whatever goes wrong has its own name."""
        answer_by_ns = self._clock() + round(self._settings.timeout_ms * 1e6)
        try:
            self._connect(answer_by_ns)
            write()
            return self._read()
        except BlockError as error:
            # The connection is as good as before; a PLC has few, and opening one takes it a while.
            settings = "gate.host, gate.rack, gate.slot and gate.plc_db"
            raise misread(error, self._peer, settings) from error
        except GateLinkError:
            self.close()
            raise
        except (S7Error, OSError, *_MALFORMED) as error:
            reached = self._connection is not None and self._connection.reached
            self.close()
            raise self._failed(error, reached=reached) from error

    def _connect(self, answer_by_ns: int) -> None:
        if self._connection is not None:
            self._connection.answer_by_ns = answer_by_ns
            return
        self._connection = _Connection(self._settings, answer_by_ns, self._clock)
        self._connection.connect(self._settings.timeout_ms / 1e3)
        self._protocol = S7Protocol()
        answer = self._ask(
            self._protocol.build_setup_communication_request(pdu_length=_LONGEST_PDU)
        )
        granted = (answer["parameters"] or {})["pdu_length"]
        needed = max(_READ_FRAME + 2 * PLC_TO_LINE_SIZE, _WRITE_FRAME + 2 * LINE_TO_PLC_SIZE)
        if granted < needed:
            raise self._error(
                GateFault.REFUSED,
                f"takes {granted} bytes at once, the blocks need {needed}",
                "use a CPU or communication module with longer PDUs",
            )

    def _write(self) -> None:
        registers = encode_line(self._conversation.block())
        request = self._protocol.build_write_request(
            S7Area.DB,
            self._settings.line_db,
            start=0,
            word_len=S7WordLen.BYTE,
            data=struct.pack(f">{LINE_TO_PLC_SIZE}H", *registers),
        )
        answer = self._ask(request)
        self._raise_if_refused(answer, "writing", self._settings.line_db, LINE_TO_PLC_SIZE)
        self._protocol.check_write_response(answer)

    def _read(self) -> Incoming:
        size = 2 * PLC_TO_LINE_SIZE
        request = self._protocol.build_read_request(
            S7Area.DB, self._settings.plc_db, start=0, word_len=S7WordLen.BYTE, count=size
        )
        sent_ns = self._clock()
        answer = self._ask(request)
        received_ns = self._clock()
        self._raise_if_refused(answer, "reading", self._settings.plc_db, PLC_TO_LINE_SIZE)
        data = bytes(self._protocol.extract_read_data(answer, S7WordLen.BYTE, size))
        registers = struct.unpack(f">{PLC_TO_LINE_SIZE}H", data)
        return self._conversation.hear(decode_plc(registers), sent_ns, received_ns)

    def _ask(self, request: bytes) -> dict[str, Any]:
        assert self._connection is not None
        self._connection.send_data(request)
        answer = self._protocol.parse_response(self._connection.receive_data())
        # An answer to another question is no answer.
        self._protocol.validate_pdu_reference(answer["sequence"])
        return answer

    def _raise_if_refused(self, answer: dict[str, Any], deed: str, db: int, words: int) -> None:
        code = (answer["data"] or {}).get("return_code", _SUCCESS)
        if code != _SUCCESS:
            raise self._error(
                GateFault.REFUSED,
                f"refuses {deed} {2 * words} bytes of DB{db}: {get_return_code_description(code)} "
                f"(code {code:#04x})",
                "give the PLC this data block, not optimised and long enough, permit PUT/GET, or correct "
                "gate.plc_db and gate.line_db (docs/plc.md)",
            )

    # -- what went wrong ---------------------------------------------------------------------------

    def _failed(self, error: Exception, *, reached: bool) -> GateLinkError:
        """The library says nearly everything with one exception; the socket's own is behind it."""
        cause = error if isinstance(error, OSError) else error.__context__
        if not reached:
            return self._error(
                GateFault.UNREACHABLE,
                "cannot be reached",
                "switch it on, or correct gate.host and gate.port, and check cable and firewall",
            )
        if isinstance(cause, TimeoutError):
            return self._error(
                GateFault.NO_ANSWER,
                f"gave no answer within {self._settings.timeout_ms:g} ms",
                "see whether the PLC runs and the network is free, or raise gate.timeout_ms",
            )
        if isinstance(cause, OSError):
            return self._error(
                GateFault.CLOSED,
                "closed the connection",
                "correct gate.rack and gate.slot, or see whether the PLC restarted or has too many "
                "connections open",
            )
        if isinstance(error, S7ProtocolError) and error.error_code:
            return self._error(
                GateFault.REFUSED,
                f"refuses: {error}",
                "permit PUT/GET in the CPU's protection settings (docs/plc.md)",
            )
        return self._error(
            GateFault.GARBAGE,
            f"answers what is not S7: {error}",
            "see that gate.host and gate.port name the PLC, and gate.rack and gate.slot its CPU",
        )

    def _error(self, fault: GateFault, what: str, remedy: str) -> GateLinkError:
        return GateLinkError(fault, f"{self._peer} {what}", remedy)

    @property
    def _peer(self) -> str:
        return f"the PLC of {self._lane} at {self._settings.address}"


class _Connection(ISOTCPConnection):
    """The library's connection, but all waits of an exchange end together: not so long a byte."""

    def __init__(self, settings: S7GateSettings, answer_by_ns: int, clock: Clock) -> None:
        # "PG" connection, rack and slot: how a CPU is addressed.
        cpu = 0x0100 | settings.rack << 5 | settings.slot
        super().__init__(settings.host, settings.port, remote_tsap=cpu)
        self.answer_by_ns = answer_by_ns
        self.reached = False
        self._clock = clock

    def _tcp_connect(self) -> None:
        super()._tcp_connect()
        self.reached = True

    def _recv_exact(self, size: int) -> bytes:
        assert self.socket is not None
        data = b""
        while len(data) < size:
            rest_ns = self.answer_by_ns - self._clock()
            if rest_ns <= 0:
                raise TimeoutError("the answer is not complete in time")
            self.socket.settimeout(rest_ns / 1e9)
            more = self.socket.recv(size - len(data))
            if not more:
                raise ConnectionResetError("closed by the peer")
            data += more
        return data
