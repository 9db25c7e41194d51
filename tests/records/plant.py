"""Rows as the line records them, and a real records process to take them."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, Region, Verdict
from inspector.records.row import LedgerRow

REPOSITORY = Path(__file__).parents[2]
NOON_NS = 1_750_000_000 * 10**9


def row_of(number: int, reason: Reason = Reason.CLEAN, lane: str = "lane-1") -> LedgerRow:
    """A part as the line would record it."""
    defect = reason is Reason.DEFECT
    return LedgerRow(
        verdict=Verdict(
            part=PartId(lane, 7, number),
            outcome=Outcome.PASS if reason is Reason.CLEAN else Outcome.REJECT,
            reason=reason,
            score=1.5 if defect else 0.25,
            regions=(Region(10, 20, 30, 40, 1.5),) if defect else (),
            recipe="type-01 3f2a",
        ),
        commanded_unix_ns=NOON_NS + number * 10**9 + 80_000_000,
        triggered_unix_ns=NOON_NS + number * 10**9,
        exposed_ns=number * 10**9,
        frame_epoch=1,
        frame_id=number,
        stages_ns={"demosaic": 4_000_000, "detector": 60_000_000},
        latency_ns=80_000_000,
    )


class RecordsProcess:
    """A real records process, as the supervisor starts it."""

    def __init__(self, directory: Path, config: Path) -> None:
        self.directory = directory
        self.config = config
        self.sender, self._receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        channel = self._receiver.fileno()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "inspector.records", "--config", str(self.config),
             "--channel-fd", str(channel)],
            pass_fds=[channel],
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        return self.process

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(10)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)
        self.sender.close()
        self._receiver.close()


def configuration(directory: Path, **records: int) -> str:
    """A line's configuration, as JSON, which is YAML too."""
    return json.dumps(
        {
            "lanes": [{"name": "lane-1", "recipe": "recipe", "camera": {"producer": "camera.cti"}}],
            "records": {"directory": str(directory), "keep_free_mb": 0, **records},
        }
    )
