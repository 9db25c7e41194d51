"""``python -m inspector.records --config FILE --channel-fd N``: the records process."""

import argparse
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

import cv2

from inspector.config import load_line
from inspector.core.errors import InspectorError, RecordsError
from inspector.core.process import die_with_parent
from inspector.records.recorder import Recorder
from inspector.telemetry.logs import configure_logs


def main() -> int:
    """Run until SIGTERM or SIGINT; 2 where the configuration, directory or ledger cannot be used.

    1 where the ledger was damaged or moved away meanwhile: it is no reason for a line that runs to end.
    """
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    die_with_parent()
    parser = argparse.ArgumentParser(prog="python -m inspector.records", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the line's configuration")
    parser.add_argument(
        "--channel-fd", type=int, required=True, help="inherited receiver's end for pictures"
    )
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    try:
        line = load_line(arguments.config)
        log = configure_logs("records", line.log_level)
        recorder = Recorder(
            line.records.directory,
            [lane.name for lane in line.lanes],
            socket.socket(fileno=arguments.channel_fd),
            line.records.pictures_mb * 1_000_000,
            line.records.keep_free_mb * 1_000_000,
            line.records.rows_mb * 1_000_000,
        )
        log.info("records_started", directory=str(line.records.directory))
        try:
            recorder.run(lambda: stopping)
        except RecordsError as error:
            log.critical("ledger_lost", reason=error.what, remedy=error.remedy)
            return 1
        finally:
            recorder.close()
    except InspectorError as error:
        print(f"inspector records: {error}", file=sys.stderr)
        return 2
    log.info("records_stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
