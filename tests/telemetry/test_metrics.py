"""Several processes count, one place serves the sum, and Prometheus likes the names."""

import contextlib
import re
import shutil
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from inspector.config import LineSettings
from inspector.core.errors import ConfigurationError
from inspector.line import Line
from inspector.telemetry import metrics
from tests.telemetry.alerting import judged, raised

_UNITS = ("seconds", "bytes", "celsius", "ratio", "total", "depth", "up", "raised", "info")


def start_a_process(directory: Path, program: str) -> subprocess.Popen[str]:
    """Start ``program`` as one of the line's processes; when it has run it says so and stays until told."""
    imports = "from inspector.telemetry.metrics import *\n"
    stay = "\nprint('done', flush=True)\ninput()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", imports + textwrap.dedent(program) + stay],
        env={metrics.MULTIPROCESS_VARIABLE: str(directory), "PATH": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def count_in_a_process(directory: Path, program: str) -> None:
    """Run ``program`` as one of the line's processes does, to its end."""
    process = start_a_process(directory, program)
    process.communicate("\n")
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)


@contextlib.contextmanager
def living(directory: Path, program: str) -> Iterator[None]:
    """One of the line's processes that lives meanwhile, and is killed in the end."""
    process = start_a_process(directory, program)
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return str(answer.read().decode())


def value(text: str, name: str, **labels: str) -> float:
    samples = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    assert len(samples) == 1, f"{name} {labels}: {samples}"
    return float(samples[0])


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(metrics.MULTIPROCESS_VARIABLE, "to be replaced")
    metrics.use_directory(tmp_path / "metrics")
    return tmp_path / "metrics"


PASSED = {"lane": "lane-1", "verdict": "pass", "reason": "clean"}


def test_what_two_processes_count_is_summed(directory: Path) -> None:
    port = metrics.serve(directory, "127.0.0.1", 0)
    count_in_a_process(directory, "PARTS.labels('lane-1', 'pass', 'clean').inc(3)")
    count_in_a_process(directory, "PARTS.labels('lane-1', 'pass', 'clean').inc(4)")

    assert value(scrape(port), "inspector_parts_total", **PASSED) == 7


def test_a_restarted_process_does_not_set_the_count_back(directory: Path) -> None:
    port = metrics.serve(directory, "127.0.0.1", 0)
    seen = []
    for _ in range(3):
        count_in_a_process(
            directory,
            """
            PARTS.labels('lane-1', 'pass', 'clean').inc()
            STAGE_SECONDS.labels('lane-1', 'detector').observe(0.04)
            """,
        )
        seen.append(value(scrape(port), "inspector_parts_total", **PASSED))

    assert seen == [1, 2, 3]
    labels = {"lane": "lane-1", "stage": "detector"}
    assert value(scrape(port), "inspector_stage_seconds_count", **labels) == 3


def test_what_a_process_counted_survives_its_kill(directory: Path) -> None:
    port = metrics.serve(directory, "127.0.0.1", 0)
    with pytest.raises(subprocess.CalledProcessError):
        count_in_a_process(
            directory,
            """
            import os, signal
            PARTS.labels('lane-1', 'pass', 'clean').inc(5)
            os.kill(os.getpid(), signal.SIGKILL)
            """,
        )

    assert value(scrape(port), "inspector_parts_total", **PASSED) == 5


def test_a_process_that_is_started_again_and_again_leaves_no_more_files(directory: Path) -> None:
    program = """
    LINK_UP.labels('lane-1', 'camera').set(0)
    FRAMES.labels('lane-1', 'complete').inc()
    """
    count_in_a_process(directory, program)
    files = sorted(directory.iterdir())
    for _ in range(4):
        count_in_a_process(directory, program)

    assert sorted(directory.iterdir()) == files


def test_two_that_live_at_once_never_share_a_file(directory: Path) -> None:
    port = metrics.serve(directory, "127.0.0.1", 0)
    program = "PARTS.labels('lane-1', 'pass', 'clean').inc()"
    with living(directory, program):
        scrape(port)
        for _ in range(3):
            count_in_a_process(directory, program)

    assert value(scrape(port), "inspector_parts_total", **PASSED) == 4
    assert len(list(directory.glob("counter_*.db"))) == 2


def test_a_gauge_says_what_was_said_last(directory: Path) -> None:
    port = metrics.serve(directory, "127.0.0.1", 0)
    with (
        living(directory, "QUEUE_DEPTH.labels('lane-1', 'frames').set(9)"),
        living(directory, "QUEUE_DEPTH.labels('lane-1', 'frames').set(2)"),
    ):
        labels = {"lane": "lane-1", "queue": "frames"}
        assert value(scrape(port), "inspector_queue_depth", **labels) == 2


def test_a_link_is_down_until_a_process_says_it_is_up_and_again_when_that_has_died(
    directory: Path,
) -> None:
    metrics.expect(["lane-1", "lane-2"])
    port = metrics.serve(directory, "127.0.0.1", 0)

    def up(lane: str, link: str) -> float:
        return value(scrape(port), "inspector_link_up", lane=lane, link=link)

    links = [(lane, link) for lane in ("lane-1", "lane-2") for link in ("camera", "plc", "records")]
    assert [up(*link) for link in links] == [0] * 6
    for _ in range(2):
        with living(directory, "LINK_UP.labels('lane-1', 'records').set(1)"):
            assert [up(*link) for link in links] == [0, 0, 1, 0, 0, 0]
        assert [up(*link) for link in links] == [0] * 6


@pytest.fixture
def new_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What a line of one lane says of itself before it has started anything."""
    monkeypatch.setenv(metrics.MULTIPROCESS_VARIABLE, "to be replaced")
    lane = {"name": "lane-1", "recipe": "recipe", "camera": {"producer": "camera.cti"}}
    settings = LineSettings.model_validate({"lanes": [lane], "metrics": {"port": 0}})
    line = Line(settings, tmp_path / "run")
    yield scrape(line.metrics_port)
    line.stop()


def test_a_line_tells_all_its_links_from_its_first_moment(new_line: str) -> None:
    for link in ("camera", "plc", "records"):
        assert value(new_line, "inspector_link_up", lane="lane-1", link=link) == 0


@pytest.mark.parametrize("taken", ["run", "run/metrics"])
def test_a_run_directory_that_cannot_be_used_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    monkeypatch.setenv(metrics.MULTIPROCESS_VARIABLE, "to be replaced")
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).touch()
    lane = {"name": "lane-1", "recipe": "recipe", "camera": {"producer": "camera.cti"}}
    settings = LineSettings.model_validate({"lanes": [lane], "metrics": {"port": 0}})
    with pytest.raises(ConfigurationError, match=r"run cannot be used.*; .*--run-directory"):
        Line(settings, tmp_path / "run")


@pytest.mark.parametrize(
    "counter",
    [
        "inspector_parts_passed_wrongly_total",
        "inspector_deadlines_missed_total",
        "inspector_frame_gaps_total",
        "inspector_underruns_total",
    ],
)
def test_what_should_never_happen_is_told_as_nought_until_it_does(
    new_line: str, counter: str
) -> None:
    assert value(new_line, counter, lane="lane-1") == 0


def test_incomplete_frames_are_told_as_nought_until_there_is_one(new_line: str) -> None:
    assert value(new_line, "inspector_frames_total", lane="lane-1", state="incomplete") == 0


@pytest.mark.parametrize("process", ["acquisition-lane-1", "inspection", "page"])
def test_a_process_that_was_never_started_anew_says_so(new_line: str, process: str) -> None:
    assert value(new_line, "inspector_process_restarts_total", process=process) == 0


def test_a_first_part_that_passed_wrongly_raises_an_alarm_for_an_increase(
    directory: Path, tmp_path: Path
) -> None:
    """What Prometheus' ``increase`` makes of it: a series that begins with 1 has not increased."""
    metrics.expect(["lane-1"])
    port = metrics.serve(directory, "127.0.0.1", 0)
    seen = [scrape(port)]
    count_in_a_process(directory, "PASSED_WRONGLY.labels('lane-1').inc()")
    seen.append(scrape(port))
    name = "inspector_parts_passed_wrongly_total"
    samples = [
        str(sample.value)
        for text in seen
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    ]
    told = raised("PartPassedWrongly", "critical", {"lane": "lane-1"})
    series = {f'{name}{{lane="lane-1"}}': " ".join(samples)}
    judged(tmp_path, series, {"PartPassedWrongly": [told]})


@pytest.mark.parametrize(
    ("gauge", "labels"),
    [
        ("ENGINE_INFO", ["lane-1", "openvino", "float32", "fastest"]),
        ("QUEUE_DEPTH", ["lane-1", "events"]),
        ("NOTHING_PASSES", ["lane-1"]),
        ("STATUS_TIME", []),
        ("REJECT_ALARM", ["lane-1", "reject_share"]),
        ("GATE_CONDITION", ["lane-1", "belt_stands"]),
        ("CAMERA_TEMPERATURE", ["lane-1"]),
        ("LEDGER_BACKLOG", []),
        ("ARCHIVE_BYTES", []),
        ("DISK_FREE", []),
    ],
)
def test_what_only_the_living_can_say_is_forgotten_with_them(
    directory: Path, gauge: str, labels: list[str]
) -> None:
    port = metrics.serve(directory, "127.0.0.1", 0)
    name = getattr(metrics, gauge).describe()[0].name
    says = f"{gauge}.labels(*{labels}).set(1)" if labels else f"{gauge}.set(1)"
    with living(directory, says):
        assert re.search(rf"^{name}\b.* 1\.0$", scrape(port), re.MULTILINE)
    assert not re.search(rf"^{name}\b", scrape(port), re.MULTILINE)


def test_what_a_dead_process_said_is_not_taken_over_by_the_next_even_if_nobody_looked(
    directory: Path,
) -> None:
    count_in_a_process(
        directory, "ENGINE_INFO.labels('lane-1', 'tensorrt', 'float16', 'only').set(1)"
    )
    port = metrics.serve(directory, "127.0.0.1", 0)
    with living(directory, "ENGINE_INFO.labels('lane-1', 'openvino', 'float32', 'first').set(1)"):
        assert "tensorrt" not in scrape(port)


def test_when_the_last_verdict_was_stays_known(directory: Path) -> None:
    port = metrics.serve(directory, "127.0.0.1", 0)
    count_in_a_process(directory, "LAST_VERDICT.labels('lane-1').set(5)")

    text = scrape(port)
    assert value(text, "inspector_last_verdict_timestamp_seconds", lane="lane-1") == 5


def test_a_new_line_begins_with_fresh_files(directory: Path) -> None:
    count_in_a_process(directory, "PARTS.labels('lane-1', 'pass', 'clean').inc(5)")
    metrics.use_directory(directory)
    port = metrics.serve(directory, "127.0.0.1", 0)

    assert "inspector_parts_total{" not in scrape(port)


def test_the_supervisors_own_restarts_are_served_beside_the_sum(directory: Path) -> None:
    port = metrics.serve(directory, "127.0.0.1", 0)
    before = metrics.RESTARTS.labels("records")._value.get()
    metrics.RESTARTS.labels("records").inc()

    after = value(scrape(port), "inspector_process_restarts_total", process="records")
    assert after == before + 1


def house_metrics() -> list[Metric]:
    """Every metric the module defines, as it is described."""
    collectors = [m for m in vars(metrics).values() if isinstance(m, MetricWrapperBase)]
    return [described for collector in collectors for described in collector.describe()]


@pytest.mark.parametrize("metric", house_metrics(), ids=lambda metric: str(metric.name))
def test_names_follow_prometheus_conventions(metric: Metric) -> None:
    exposed = f"{metric.name}_total" if metric.type == "counter" else metric.name

    assert re.fullmatch(r"inspector_[a-z]+(_[a-z]+)*", exposed)
    assert exposed.endswith(_UNITS), "ends with its base unit, or _total"
    assert not re.search(r"_(ms|us|ns|millis\w*|kb|mb|percent)(_|$)", exposed), "base units only"
    assert (metric.type == "counter") == exposed.endswith("_total")
    assert metric.type not in exposed.split("_"), "the type is not part of the name"
    assert metric.documentation


def test_no_label_can_grow_without_bound() -> None:
    labels = {
        label
        for collector in vars(metrics).values()
        if isinstance(collector, MetricWrapperBase)
        for label in collector._labelnames
    }

    assert labels <= {
        "lane",
        "verdict",
        "reason",
        "stage",
        "queue",
        "what",
        "state",
        "link",
        "action",
        "alarm",
        "condition",
        "process",
        "backend",
        "precision",
        "how",
    }


def test_promtool_has_no_complaint(directory: Path) -> None:
    assert shutil.which("promtool"), "install Debian's package prometheus, as `make test` does"
    port = metrics.serve(directory, "127.0.0.1", 0)
    metrics.RESTARTS.labels("records").inc()
    count_in_a_process(
        directory,
        """
        from prometheus_client.metrics import MetricWrapperBase
        import inspector.telemetry.metrics as house
        for metric in vars(house).values():
            if isinstance(metric, MetricWrapperBase) and metric is not house.RESTARTS:
                one = metric.labels(*['a'] * len(metric._labelnames)) if metric._labelnames else metric
                {'counter': lambda: one.inc(), 'gauge': lambda: one.set(1),
                 'histogram': lambda: one.observe(0.1)}[metric._type]()
        """,
    )
    check = subprocess.run(
        ["promtool", "check", "metrics"],
        input=scrape(port),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (check.returncode, check.stdout + check.stderr) == (0, "")
