"""The wire between line and PLC, as something that can be cut, slow or noisy: a TCP relay on loopback."""

import contextlib
import select
import socket
import threading
import time
from enum import StrEnum

_WAIT_S = 0.2
_CHUNK = 4096
_SLOW_S = 0.4
"""What a slow wire adds to each answer."""


class Condition(StrEnum):
    """What the wire does with what goes over it."""

    SOUND = "sound"
    CUT = "cut"
    """Connections are closed, new ones too."""
    SLOW = "slow"
    """The PLC's answers come later than the line waits for them."""
    NOISY = "noisy"
    """The PLC's answers arrive with their bytes turned over."""


class Wire:
    """Relays connections to the PLC; use it as a context manager.

    Args:
        plc_port: where the PLC listens.

    Attributes:
        port: where the line finds the PLC.
        condition: of the wire; may be set at any time.
    """

    def __init__(self, plc_port: int) -> None:
        self.condition = Condition.SOUND
        self._plc_port = plc_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_WAIT_S)
        self.port = int(self._listener.getsockname()[1])
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="wire", daemon=True)

    def __enter__(self) -> "Wire":
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._closing.set()
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                line, _ = self._listener.accept()
            except TimeoutError:
                continue
            if self.condition is Condition.CUT:
                line.close()
            else:
                threading.Thread(target=self._relay, args=(line,), daemon=True).start()

    def _relay(self, line: socket.socket) -> None:
        # Either end may go at any moment: then both do.
        plc_address = ("127.0.0.1", self._plc_port)
        with contextlib.suppress(OSError), line, socket.create_connection(plc_address) as plc:
            while not self._closing.is_set() and self.condition is not Condition.CUT:
                readable, _, _ = select.select([line, plc], [], [], _WAIT_S)
                for end in readable:
                    said = end.recv(_CHUNK)
                    if not said:
                        return
                    if end is line:
                        plc.sendall(said)
                    else:
                        line.sendall(self._answered(said))

    def _answered(self, said: bytes) -> bytes:
        if self.condition is Condition.SLOW:
            time.sleep(_SLOW_S)
        if self.condition is Condition.NOISY:
            return bytes(byte ^ 0xFF for byte in said)
        return said
