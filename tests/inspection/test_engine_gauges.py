"""What runs a lane's networks, as Prometheus sees it."""

from typing import Any

from inspector.engine import Backend, Choice, How
from inspector.inspection.engine_gauges import EngineGauges
from inspector.telemetry.metrics import ENGINE_INFO, GOLDEN_ERROR


def a_choice(backend: Backend, how: How, golden_error: float) -> Choice:
    detector: Any = None
    return Choice(detector, backend, "float32", golden_error, 0.02, how, "for a test")


def test_the_engine_that_takes_over_is_shown_and_the_one_before_is_taken_back() -> None:
    show = EngineGauges("lane-of-this-test")
    show(a_choice(Backend.OPENVINO, How.FASTEST, 0.004))
    show(a_choice(Backend.ONNXRUNTIME, How.FIRST, 0.01))
    shown = {
        tuple(sample.labels[name] for name in ("backend", "precision", "how")): sample.value
        for metric in ENGINE_INFO.collect()
        for sample in metric.samples
        if sample.labels["lane"] == "lane-of-this-test"
    }
    assert shown == {
        ("openvino", "float32", "fastest"): 0,
        ("onnxruntime", "float32", "first"): 1,
    }
    of_band = {
        backend: GOLDEN_ERROR.labels("lane-of-this-test", backend, "float32")._value.get()
        for backend in ("openvino", "onnxruntime")
    }
    assert of_band == {"openvino": 0, "onnxruntime": 0.5}, "no alert for what runs no more"


def test_a_recipe_loaded_anew_in_the_same_engine_is_still_running() -> None:
    show = EngineGauges("another-lane")
    for _ in range(2):
        show(a_choice(Backend.OPENVINO, How.FIRST, 0.004))
    assert ENGINE_INFO.labels("another-lane", "openvino", "float32", "first")._value.get() == 1
