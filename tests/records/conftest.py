import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inspector.telemetry.logs import configure_logs
from tests.records.plant import RecordsProcess, configuration


@pytest.fixture(autouse=True, scope="session")
def logs() -> None:
    configure_logs("tests")


@pytest.fixture
def records(tmp_path: Path) -> Iterator[RecordsProcess]:
    config = tmp_path / "line.yaml"
    config.write_text(configuration(tmp_path / "records"))
    process = RecordsProcess(tmp_path / "records", config)
    yield process
    process.close()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Waits until something becomes true; how long it takes is nobody's concern here."""

    def wait(happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not happened():
            assert time.monotonic() < deadline, "it did not happen within 20 s"
            time.sleep(0.02)

    return wait
