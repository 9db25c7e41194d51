"""What the doctor says of a lane's networks, of the room for its records, and of the line's ports."""

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inspector.cli import app
from inspector.config import (
    CameraSettings,
    LaneSettings,
    LineSettings,
    MetricsSettings,
    PageSettings,
    PartSettings,
    RecordsSettings,
)
from inspector.config.gates import ModbusGateSettings
from inspector.core.errors import EngineError
from inspector.doctor import Finding, check_metrics, check_page, check_recipe, check_records
from inspector.engine.detector import Detector
from inspector.hmi.__main__ import _listen
from inspector.recipe import Recipe, load_recipe
from tests.engine.small import broken_library
from tests.recipe.conftest import OnDisk, small_recipe

__all__ = ["small_recipe"]

ROOT = Path(__file__).parents[2]
BAYER_8 = "BayerRG8"


@pytest.fixture
def line() -> LineSettings:
    lane = LaneSettings(
        name="lane-1",
        recipe=ROOT / "calibration" / "type-01",
        camera=CameraSettings(producer=Path("none.cti")),
    )
    return LineSettings(lanes=(lane,), models=ROOT / "models", engine="onnxruntime")


def test_the_engine_has_a_row_of_its_own_that_says_how_near_the_golden_maps_it_is(
    line: LineSettings,
) -> None:
    whole, proven = check_recipe("lane-1 recipe", line.lanes[0].recipe, line, BAYER_8, prove=True)
    assert (whole.check, whole.level) == ("lane-1 recipe", "ok")
    assert (proven.check, proven.level) == ("lane-1 recipe: engine", "ok")
    assert proven.text.startswith("onnxruntime in float32 is within ")
    band = load_recipe(line.lanes[0].recipe, line.models).manifest.golden.band.map
    assert f"of the golden maps ({band:.2g} is allowed); as configured" in proven.text


def test_an_engine_that_disagrees_is_an_error_in_its_own_row(
    line: LineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disagree(_recipe: Recipe, _detector: Detector) -> float:
        raise EngineError("the networks disagree with golden image 1", "check CPU and backend")

    monkeypatch.setattr("inspector.engine.choice.verify_golden", disagree)
    whole, refused = check_recipe("lane-1 recipe", line.lanes[0].recipe, line, BAYER_8, prove=True)
    assert whole.level == "ok"
    assert (refused.check, refused.level) == ("lane-1 recipe: engine", "error")
    assert refused.remedy == "check CPU and backend"


def test_a_broken_library_is_an_error_with_its_remedy(
    line: LineSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_library("onnxruntime", OSError, tmp_path, monkeypatch)
    _, refused = check_recipe("lane-1 recipe", line.lanes[0].recipe, line, BAYER_8, prove=True)
    assert (refused.check, refused.level) == ("lane-1 recipe: engine", "error")
    assert refused.text.startswith("onnxruntime cannot be loaded: libbroken.so")
    assert refused.remedy.startswith("install the library anew")


def test_a_line_that_starts_proves_its_recipes_itself(line: LineSettings) -> None:
    (whole,) = check_recipe("lane-1 recipe", line.lanes[0].recipe, line, BAYER_8, prove=False)
    assert whole.check == "lane-1 recipe"


def test_a_recipe_of_things_that_are_no_cups_is_refused_before_a_line_starts_with_it(
    line: LineSettings, small_recipe: OnDisk
) -> None:
    whole = small_recipe.manifest.model_copy(update={"background": None}).sealed()
    (small_recipe.folder / "recipe.json").write_text(whole.model_dump_json())
    line = line.model_copy(update={"models": small_recipe.models})
    (refused,) = check_recipe("lane-1 recipe", small_recipe.folder, line, BAYER_8, prove=False)
    assert (refused.check, refused.level) == ("lane-1 recipe", "error")
    assert refused.text.endswith("finds no cups")
    assert refused.remedy == "teach it from whole camera frames"


@pytest.mark.parametrize(
    ("bits", "pixel_format", "levels"),
    [
        (10, "BayerRG12", ["ok", "warning"]),
        (8, "BayerRG16", ["ok", "warning"]),
        (12, "BayerRG12", ["ok"]),
        (16, "BayerRG12", ["ok"]),  # as files have it whose samples begin at the highest bit
        (12, "BayerRG8", ["ok"]),
        (None, "BayerRG12", ["ok"]),
    ],
)
def test_a_recipe_whose_pictures_were_read_with_fewer_bits_than_the_camera_sends_is_told(
    line: LineSettings,
    small_recipe: OnDisk,
    bits: int | None,
    pixel_format: str,
    levels: list[str],
) -> None:
    deep = small_recipe.manifest.model_copy(update={"bits": bits}).sealed()
    (small_recipe.folder / "recipe.json").write_text(deep.model_dump_json())
    line = line.model_copy(update={"models": small_recipe.models})
    found = list(check_recipe("recipe", small_recipe.folder, line, pixel_format, prove=False))
    assert [finding.level for finding in found] == levels
    if "warning" in levels:
        assert f"read as {bits}-bit samples, and {pixel_format} has" in found[1].text
        assert found[1].remedy.startswith("teach again")


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


IPV6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@contextlib.contextmanager
def taken_port(host: str) -> Iterator[int]:
    """A port that another program listens on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as other:
        yield int(other.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "level"),
    [
        ("127.0.0.1", "ok"),
        pytest.param("::1", "ok", marks=IPV6),
        ("localhost", "ok"),
        ("192.0.2.1", "error"),
    ],
)
def test_an_address_is_good_for_the_page_if_the_page_can_listen_there(
    line: LineSettings, host: str, level: str
) -> None:
    page = PageSettings(host=host, port=0)
    assert check_page(line.model_copy(update={"page": page})).level == level
    if level == "ok":
        _listen(page).close()


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=IPV6)])
def test_a_port_that_the_metrics_cannot_have_is_told_before_the_line_fails_for_it(
    line: LineSettings, host: str
) -> None:
    with taken_port(host) as port:
        taken = MetricsSettings(host=host, port=port)
        finding = check_metrics(line.model_copy(update={"metrics": taken}))
        assert (finding.check, finding.level) == ("metrics", "error")
        assert finding.text == f"{host}:{port} cannot be used: Address already in use"
        assert finding.remedy == (
            "stop what else listens there (a running line does), or set metrics.host and metrics.port"
        )
    free = MetricsSettings(host=host, port=0)
    assert check_metrics(line.model_copy(update={"metrics": free})).level == "ok"


def test_a_host_that_nobody_knows_is_told_in_words(line: LineSettings) -> None:
    page = PageSettings(host="no-such-host.invalid", port=0)
    finding = check_page(line.model_copy(update={"page": page}))
    assert finding.level == "error"
    assert "Unknown error" not in finding.text


def line_recording_into(
    directory: Path, free_mb: int, monkeypatch: pytest.MonkeyPatch
) -> LineSettings:
    """Two lanes of ten parts a second each, on a disk with so much room left."""
    usage = shutil.disk_usage(directory)._replace(free=free_mb * 1_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage)
    lanes = tuple(
        LaneSettings(
            name=f"lane-{number}",
            recipe=Path("recipe"),
            camera=CameraSettings(producer=Path("none.cti"), serial=f"{number}"),
            part=PartSettings(min_interval_ms=100),
            gate=ModbusGateSettings(base_register=100 * number),
        )
        for number in (1, 2)
    )
    records = RecordsSettings(directory=directory, rows_mb=8640, pictures_mb=1000, keep_free_mb=500)
    return LineSettings(lanes=lanes, records=records)


def test_the_doctor_says_for_how_long_the_ledger_keeps_rows_at_the_lines_full_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = check_records(line_recording_into(tmp_path, 20_000, monkeypatch))
    room, ledger = findings
    assert (room.level, ledger.level) == ("ok", "ok")
    assert ledger.check == "ledger"
    assert ledger.text == "8640 MB keep the rows of 10 days at 20 parts/s, longer at fewer"


def test_a_disk_that_cannot_hold_ledger_and_pictures_is_told_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, _ = check_records(line_recording_into(tmp_path, 9_000, monkeypatch))
    assert room.level == "warning"
    assert room.text == f"9000 MB free at {tmp_path}, 10140 MB more are configured"
    assert room.remedy == "lower records.rows_mb or records.pictures_mb, or enlarge the disk"


def test_what_the_records_hold_already_needs_no_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "ledger.db").open("wb") as ledger:
        ledger.truncate(8_000_000_000)
    room, _ = check_records(line_recording_into(tmp_path, 9_000, monkeypatch))
    assert room.level == "ok"


def test_each_finding_is_a_line_with_its_remedy_below_word_for_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remedy = (
        "run: pip install 'inspector[hmi]' && sysctl -w net.core.rmem_max=30000000 # " + "x" * 99
    )
    found = [Finding("page", "error", "[hmi] is missing", remedy), Finding("clock", "ok", "right")]
    monkeypatch.setattr("inspector.doctor.examine", lambda _line: found)
    (tmp_path / "line.yaml").write_text(
        "lanes: [{name: lane-1, recipe: recipe, camera: {producer: camera.cti}}]"
    )
    done = CliRunner().invoke(app, ["doctor", str(tmp_path / "line.yaml")])
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "error    page: [hmi] is missing",
        f"         remedy: {remedy}",
        "ok       clock: right",
    ]
