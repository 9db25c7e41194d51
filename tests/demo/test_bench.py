"""The benchmark measures what it says; how fast anything is, no test asks."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from inspector.cli import app
from inspector.demo.bench import Timing
from inspector.engine.multiplications import multiplications
from inspector.recipe.graph_writer import GraphWriter

ROOT = Path(__file__).parents[2]


def test_multiplications_are_counted_from_the_shapes(tmp_path: Path) -> None:
    writer = GraphWriter()
    kernels = writer.constant("kernels", np.zeros((6, 3, 2, 2)))
    map_ = writer.node("Conv", "picture", kernels, strides=[2, 2])  # 6 × 4 × 5
    rows = writer.node("Reshape", map_, writer.integers("rows", [-1, 6, 20]))
    writer.node("MatMul", rows, writer.constant("right", np.zeros((20, 7))), output="out")
    model = writer.model(
        "counted",
        helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["batch", 3, 8, 10]),
        helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 6, 7]),
    )
    path = tmp_path / "counted.onnx"
    path.write_bytes(model.SerializeToString())
    assert multiplications(path) == 6 * 4 * 5 * (3 * 2 * 2) + 6 * 7 * 20


@pytest.mark.parametrize("backend", ["auto", "onnxruntime", "openvino"])
def test_a_recipe_is_measured_beside_the_machines_limit(tmp_path: Path, backend: str) -> None:
    figures = tmp_path / "bench.json"
    options = ["--backend", backend, "--lanes", "2", "--rounds", "2", "--json", str(figures)]
    options += ["--rate", "4", "--seconds", "1"]
    recipe = ["--recipe", str(ROOT / "calibration" / "type-01"), "--models", str(ROOT / "models")]
    done = CliRunner().invoke(app, ["bench", *recipe, *options])
    assert done.exit_code == 0, done.output
    said = json.loads(figures.read_text())
    assert said["backend"] in (("onnxruntime", "openvino") if backend == "auto" else (backend,))
    assert said["precision"] == "float32"
    assert 1.8 < said["gmac"] < 2.1
    rate = said["gmac"] / (said["network"]["p50_ms"] / 1e3)
    assert said["fraction_of_limit"] == pytest.approx(rate / said["limit_gmac_per_s"])
    # Two lanes: the second waits for the first.
    assert said["pipeline"]["p99_ms"] > 1e3 / said["pipeline_fps"]
    assert said["offered"]["rate"] == 4
    assert said["offered"]["wait"]["p50_ms"] >= said["network"]["p50_ms"] / 4
    assert "4 a second for 1 s" in " ".join(done.output.split())


def test_cups_for_which_there_is_no_room_are_counted_not_awaited(tmp_path: Path) -> None:
    figures = tmp_path / "bench.json"
    recipe = ["--recipe", str(ROOT / "calibration" / "type-01"), "--models", str(ROOT / "models")]
    options = ["--rounds", "1", "--json", str(figures), "--rate", "1000", "--seconds", "1"]
    done = CliRunner().invoke(app, ["bench", *recipe, *options])
    assert done.exit_code == 0, done.output
    offered = json.loads(figures.read_text())["offered"]
    assert offered["refused"] > 500
    assert f"{offered['refused']} refused" in " ".join(done.output.split())


def test_a_recipe_that_refuses_the_cups_is_not_measured_fast() -> None:
    recipe = ["--recipe", str(ROOT / "calibration" / "type-01"), "--models", str(ROOT / "models")]
    done = CliRunner().invoke(app, ["bench", *recipe, "--type", "type-04", "--rounds", "1"])
    assert done.exit_code == 2
    assert "does not compare these cups" in " ".join(done.output.split())


def test_on_a_machine_without_onnx_the_package_is_named_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    recipe = ["--recipe", str(ROOT / "calibration" / "type-01"), "--models", str(ROOT / "models")]
    done = CliRunner().invoke(app, ["bench", *recipe, "--rounds", "1"])
    assert done.exit_code == 2, done.output
    assert "pip install 'inspector[teacher]'" in " ".join(done.output.split())
    assert "measuring" not in done.output


@pytest.mark.parametrize("count", [1, 2, 200, 999])
def test_of_fewer_than_a_thousand_cups_the_worst_is_told(count: int) -> None:
    assert Timing.of([0.05] * (count - 1) + [0.5]).p999_ms == 500


@pytest.mark.parametrize("count", [1, 3, 150, 1001, 4321])
def test_as_many_cups_as_a_quantile_says_took_no_longer(count: int) -> None:
    seconds = np.random.default_rng(0).exponential(0.05, count)
    timing = Timing.of(list(seconds))
    for told_ms, share in ((timing.p50_ms, 0.5), (timing.p99_ms, 0.99), (timing.p999_ms, 0.999)):
        assert np.mean(1e3 * seconds <= told_ms * (1 + 1e-9)) >= share


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_given: object, **_how: object) -> None:
        raise AssertionError("measured all the same")

    monkeypatch.setattr("inspector.demo.bench.bench", measure)
    (tmp_path / "file").touch()
    given = ["--recipe", "none", "--json", str(tmp_path / "file" / "figures.json")]
    done = CliRunner().invoke(app, ["bench", *given])
    assert done.exit_code == 2, done.output
    assert "cannot write" in done.output
