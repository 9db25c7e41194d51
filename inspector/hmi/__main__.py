"""``python -m inspector.hmi --config FILE --status FILE``: the operators' page."""

import argparse
import signal
import socket
import sys
from pathlib import Path

from inspector.config import PageSettings, load_line
from inspector.core.errors import ConfigurationError, InspectorError
from inspector.core.listening import listen
from inspector.core.process import die_with_parent
from inspector.telemetry.logs import configure_logs


def main() -> int:
    """Serve until SIGTERM or SIGINT; 2 where the page cannot be served. Prints the page's address."""
    die_with_parent()
    parser = argparse.ArgumentParser(prog="python -m inspector.hmi", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the line's configuration")
    parser.add_argument("--status", type=Path, required=True, help="file the line's state is in")
    arguments = parser.parse_args()
    try:
        return _serve(arguments.config, arguments.status)
    except InspectorError as error:
        print(f"inspector page: {error}", file=sys.stderr)
        return 2


def _serve(config: Path, status: Path) -> int:
    line = load_line(config)
    log = configure_logs("page", line.log_level)
    try:
        import uvicorn

        from inspector.hmi.app import create_app
        from inspector.hmi.view import View
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the operators' page needs the package {error.name}",
            "pip install 'inspector[hmi]', or set page.enabled to false",
        ) from error
    lanes = tuple(lane.name for lane in line.lanes)
    view = View(line.name, lanes, line.records.directory, status)
    listener = _listen(line.page)
    # uvicorn ends with the signal's own effect once it has shut down: make that a clean end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    print(url, flush=True)
    log.info("page_served", url=url)
    settings = uvicorn.Config(
        create_app(view),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    uvicorn.Server(settings).run(sockets=[listener])
    return 0


def _listen(page: PageSettings) -> socket.socket:
    try:
        return listen(page.host, page.port)
    except OSError as error:
        raise ConfigurationError(
            f"the page cannot listen on {page.host}:{page.port}: {error.strerror}",
            "free the port or set page.port to another (0 takes any)",
        ) from error


if __name__ == "__main__":
    sys.exit(main())
