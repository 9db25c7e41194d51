"""An engine that fails while the line runs: its part is rejected, and another takes over where it may."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.config import EngineName
from inspector.core.errors import EngineError
from inspector.core.part import PartId
from inspector.core.verdict import Reason
from inspector.engine import Backend, Choice, Detector, Network, NetworkPool
from inspector.inspection.judge import Examination, Judge, _Networks
from inspector.inspection.sight import SightHere
from inspector.twin.cups import CupStream
from inspector.twin.cups.camera import mosaic_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def frame() -> NDArray[np.uint8]:
    return mosaic_of(next(CupStream("type-01", seed=1)).frame)


def a_judge(engine: EngineName, told: list[Choice]) -> Judge:
    folder, models = ROOT / "calibration" / "type-01", ROOT / "models"
    return Judge(folder, models, NetworkPool(), engine, hurried=True, on_engine=told.append)


def break_engine(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector that runs now fails from here on, as one whose GPU has gone."""

    def gone(self: Detector, images: object) -> NDArray[np.float32]:
        if self is broken:
            raise EngineError("the GPU does not answer", "see what nvidia-smi says")
        return whole(self, images)  # type: ignore[arg-type]

    broken, whole = judge.engine.detector, Detector.distances
    monkeypatch.setattr(Detector, "distances", gone)


def look(judge: Judge, frame: NDArray[np.uint8]) -> Examination:
    return judge.examine(SightHere(), PartId("lane-1", 1, 1), frame, "BayerRG8", None)


def test_with_auto_another_engine_takes_over_and_the_part_at_hand_is_rejected(
    frame: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Choice] = []
    judge = a_judge("auto", told)
    before = judge.engine.backend
    break_engine(judge, monkeypatch)
    failed = look(judge, frame)
    assert failed.verdict.reason is Reason.ENGINE_ERROR
    assert "the GPU does not answer" in failed.fault
    assert f"{judge.engine.backend} takes over" in failed.fault
    assert judge.engine.backend is not before
    assert look(judge, frame).verdict.reason is Reason.CLEAN
    assert [choice.backend for choice in told] == [before, judge.engine.backend]
    assert f"{before} refused: the GPU does not answer" in told[-1].why


def test_of_two_parts_that_fail_side_by_side_the_engine_is_replaced_once(
    frame: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Choice] = []
    judge = a_judge("auto", told)
    both_fail = threading.Barrier(2, timeout=60)

    def gone(self: Detector, images: object) -> NDArray[np.float32]:
        if self is broken:
            both_fail.wait()
            raise EngineError("the GPU does not answer", "see what nvidia-smi says")
        return whole(self, images)  # type: ignore[arg-type]

    broken, whole = judge.engine.detector, Detector.distances
    monkeypatch.setattr(Detector, "distances", gone)
    with ThreadPoolExecutor(2) as pool:
        seen = list(pool.map(lambda _n: look(judge, frame), range(2)))
    assert {one.verdict.reason for one in seen} == {Reason.ENGINE_ERROR}
    assert sorted(one.fault.rpartition("; ")[2].split(" ", 1)[1] for one in seen) == [
        "has taken over",
        "takes over",
    ]
    assert len(told) == 2
    assert look(judge, frame).verdict.reason is Reason.CLEAN


def test_when_the_last_engine_fails_everything_is_rejected(
    frame: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = a_judge("auto", [])
    only = judge.engine.backend
    monkeypatch.setattr(Backend, "installed", property(lambda self: self is only))
    break_engine(judge, monkeypatch)
    faults = [look(judge, frame) for _ in range(2)]
    assert {one.verdict.reason for one in faults} == {Reason.ENGINE_ERROR}
    assert "no engine is left" in faults[0].fault
    assert "no other may take over" in faults[1].fault


def test_an_engine_that_was_named_is_never_replaced(
    frame: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Choice] = []
    judge = a_judge("onnxruntime", told)
    break_engine(judge, monkeypatch)
    for _ in range(2):
        failed = look(judge, frame)
        assert failed.verdict.reason is Reason.ENGINE_ERROR
        assert "no other may take over" in failed.fault
    assert len(told) == 1


def test_an_engine_that_was_named_and_failed_once_judges_the_next_part(
    frame: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = a_judge("onnxruntime", [])
    with monkeypatch.context() as once:
        break_engine(judge, once)
        assert look(judge, frame).verdict.reason is Reason.ENGINE_ERROR
    assert look(judge, frame).verdict.reason is Reason.CLEAN


def test_in_free_run_too_another_engine_takes_over(frame: NDArray[np.uint8]) -> None:
    judge = a_judge("auto", [])
    before = judge.engine.backend
    broken = judge._networks.background

    class Gone:
        input_shape, output_shape = broken.input_shape, broken.output_shape

        def run(self, batch: object) -> NDArray[np.float32]:
            raise EngineError("the GPU does not answer", "see what nvidia-smi says")

    judge._networks = judge._networks._replace(background=Gone())
    with pytest.raises(EngineError, match="does not answer"):
        judge.cups(SightHere(), frame, "BayerRG8")
    assert judge.engine.backend is not before
    assert len(judge.cups(SightHere(), frame, "BayerRG8")) == 1


@pytest.mark.parametrize("engine", ["auto", "onnxruntime"])
def test_an_engine_that_cannot_find_cups_is_refused_though_it_compares_them_well(
    engine: EngineName, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = NetworkPool.load

    def no_room(
        self: NetworkPool, path: Path, sha256: str | None, backend: Backend, **how: Any
    ) -> Network:
        if path.name == "background.onnx" and backend is Backend.ONNXRUNTIME:
            raise EngineError("the GPU has no memory for the engine", "see what nvidia-smi says")
        return load(self, path, sha256, backend, **how)

    monkeypatch.setattr(NetworkPool, "load", no_room)
    told: list[Choice] = []
    if engine == "auto":
        judge = a_judge("auto", told)
        assert judge.engine.backend is Backend.OPENVINO
        assert "onnxruntime refused: the GPU has no memory" in judge.engine.why
        assert told == [judge.engine]
    else:
        with pytest.raises(EngineError, match="no memory"):
            a_judge(engine, told)
        assert not told


def go_wrong(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector that runs now finds everything clean from here on, without an error."""

    def blind(self: Detector, images: object) -> NDArray[np.float32]:
        distances = whole(self, images)  # type: ignore[arg-type]
        return np.zeros_like(distances) if self is wrong else distances

    wrong, whole = judge.engine.detector, Detector.distances
    monkeypatch.setattr(Detector, "distances", blind)


def test_an_engine_that_goes_wrong_without_an_error_is_found_and_replaced(
    frame: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.inspection.judge._PROVE_EVERY_NS", 0)
    judge = a_judge("auto", [])
    before = judge.engine.backend
    judge.prove()
    assert judge.engine.backend is before
    go_wrong(judge, monkeypatch)
    judge.prove()
    assert judge.engine.backend is not before
    assert look(judge, frame).verdict.reason is Reason.CLEAN


def test_where_no_other_may_take_over_a_disproved_engine_rejects_everything(
    frame: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.inspection.judge._PROVE_EVERY_NS", 0)
    judge = a_judge("onnxruntime", [])
    go_wrong(judge, monkeypatch)
    assert look(judge, frame).verdict.reason is Reason.CLEAN
    judge.prove()
    rejected = look(judge, frame)
    assert rejected.verdict.reason is Reason.ENGINE_ERROR
    assert "disagree with golden image 1" in rejected.fault


def test_engines_are_proven_again_once_a_minute_and_not_more_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge = a_judge("onnxruntime", [])
    asked: list[int] = []
    monkeypatch.setattr(
        "inspector.inspection.judge.verify_again",
        lambda _recipe, _detector, number: asked.append(number),
    )
    judge.prove()
    assert asked == []
    judge._prove_at_ns = 0
    for _ in range(3):
        judge.prove()
    assert asked == [0]
    judge._prove_at_ns = 0
    judge.prove()
    assert asked == [0, 1]


def test_a_part_that_a_disproved_engine_was_judging_meanwhile_is_rejected(
    frame: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.inspection.judge._PROVE_EVERY_NS", 0)
    judge = a_judge("auto", [])
    wrong, whole = judge.engine.detector, Detector.distances
    judging, disproved = threading.Event(), threading.Event()

    def blind(self: Detector, images: object) -> NDArray[np.float32]:
        distances = whole(self, images)  # type: ignore[arg-type]
        if self is not wrong:
            return distances
        if threading.current_thread() is not threading.main_thread():
            judging.set()
            disproved.wait(60)
        return np.zeros_like(distances)

    monkeypatch.setattr(Detector, "distances", blind)
    with ThreadPoolExecutor(1) as pool:
        part = pool.submit(look, judge, frame)
        assert judging.wait(60)
        judge.prove()
        disproved.set()
        assert part.result().verdict.reason is Reason.ENGINE_ERROR
    assert look(judge, frame).verdict.reason is Reason.CLEAN


def test_nothing_passes_on_a_disproved_engine_while_another_is_opened(
    frame: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.inspection.judge._PROVE_EVERY_NS", 0)
    judge = a_judge("auto", [])
    go_wrong(judge, monkeypatch)
    opened = judge._chosen
    with ThreadPoolExecutor(1) as pool:
        parts: list[Future[Examination]] = []

        def slowly(*, hurried: bool) -> _Networks:
            parts.append(pool.submit(look, judge, frame))
            wait(parts, 2)
            return opened(hurried=hurried)

        monkeypatch.setattr(judge, "_chosen", slowly)
        judge.prove()
        assert [part.result().verdict.reason for part in parts] == [Reason.ENGINE_ERROR]
