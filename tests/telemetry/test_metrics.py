"""Several processes count, one place serves the sum, and Prometheus likes the names."""

import re
import shutil
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from inspector.telemetry import metrics

_UNITS = ("seconds", "bytes", "celsius", "ratio", "total", "depth", "up", "raised", "info")


def count_in_a_process(directory: Path, program: str) -> None:
    """Run ``program`` as one of the line's processes does."""
    subprocess.run(
        [
            sys.executable,
            "-c",
            "from inspector.telemetry.metrics import PARTS, QUEUE_DEPTH, STAGE_SECONDS\n"
            + textwrap.dedent(program),
        ],
        env={metrics.MULTIPROCESS_VARIABLE: str(directory), "PATH": ""},
        check=True,
    )


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


def test_a_gauge_says_what_was_said_last(directory: Path) -> None:
    port = metrics.serve(directory, "127.0.0.1", 0)
    count_in_a_process(directory, "QUEUE_DEPTH.labels('lane-1', 'frames').set(9)")
    count_in_a_process(directory, "QUEUE_DEPTH.labels('lane-1', 'frames').set(2)")

    labels = {"lane": "lane-1", "queue": "frames"}
    assert value(scrape(port), "inspector_queue_depth", **labels) == 2


def test_what_a_process_ran_is_forgotten_when_it_has_ended(directory: Path) -> None:
    port = metrics.serve(directory, "127.0.0.1", 0)
    program = """
    import os
    from inspector.telemetry.metrics import ENGINE_INFO
    ENGINE_INFO.labels("lane-1", "openvino", "float32", "fastest").set(1)
    """
    count_in_a_process(directory, program)
    assert "inspector_engine_info{" in scrape(port)
    (file,) = directory.glob("gauge_livemostrecent_*.db")
    metrics.forget(directory, int(file.stem.rpartition("_")[2]))
    assert "inspector_engine_info{" not in scrape(port)


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
