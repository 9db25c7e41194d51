"""The acquisition process on the simulated Triton: every part's frame, and every way to lose one."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from inspector.camera.channel import CameraState
from inspector.core.frame import FrameInfo
from inspector.twin.rig import ENVIRONMENT_VARIABLE, Rig, create_rig
from inspector.twin.triton.build import producer_path

from .conftest import LANE, Bench, until

MS = 1_000_000
HARDWARE = {"trigger": "hardware", "exposure_us": 400, "gain_db": 0}


@dataclass
class Plant:
    """A rig with a bench whose acquisition process sees it."""

    bench: Bench
    rig: Rig

    def start(self, **camera: Any) -> None:
        self.bench.start(producer=str(producer_path()), **camera)
        self.bench.hear(CameraState.READY)

    def parts(self, count: int, every_ms: int = 60) -> list[int]:
        """Let parts come past, the first soon; the times at which they break the beam, in ns."""
        first_ns = time.monotonic_ns() + 100 * MS
        eyes = [first_ns + number * every_ms * MS for number in range(count)]
        for number, eye_ns in enumerate(eyes):
            self.rig.publish_part(
                cup_id=number, image_slot=number % 4, eye_ns=eye_ns, gate_ns=eye_ns + 1000 * MS
            )
        return eyes

    def metric(self, name: str, **labels: str) -> float:
        registry = CollectorRegistry()
        path = self.bench.environment["PROMETHEUS_MULTIPROC_DIR"]
        MultiProcessCollector(registry, path=path)  # type: ignore[no-untyped-call]
        return registry.get_sample_value(name, {"lane": LANE, **labels}) or 0.0


@pytest.fixture
def plant(bench: Bench, tmp_path: Path) -> Iterator[Plant]:
    with create_rig() as rig:
        for slot in range(4):
            rig.image(slot)[:] = 60 * slot + 20
        metrics = tmp_path / "metrics"
        metrics.mkdir()
        bench.environment |= {
            ENVIRONMENT_VARIABLE: str(rig.path),
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        }
        yield Plant(bench, rig)


def off_ms(frames: list[FrameInfo], eyes: list[int]) -> list[float]:
    return [abs(frame.exposed_ns - eye) / MS for frame, eye in zip(frames, eyes, strict=True)]


def test_each_part_gets_one_frame_in_order_dated_by_its_photo_eye(plant: Plant) -> None:
    plant.start(**HARDWARE)
    eyes = plant.parts(16)
    frames, greys = [], []
    for _ in eyes:
        (frame,) = plant.bench.frames(1)
        picture = plant.bench.acquisition.pixels(frame)
        assert picture is not None
        assert picture.shape == (1860, 2880)
        assert picture.dtype == np.uint8
        frames.append(frame)
        greys.append(float(picture[900:960, 1420:1460].mean()))
    assert [frame.frame_id for frame in frames] == list(range(1, 17))
    assert all(frame.complete for frame in frames)
    assert all(frame.exposure_us == pytest.approx(400) for frame in frames)
    # Each shows its own cup in the middle: four greys, far apart, in the order in which the parts came.
    assert all(after - before > 5 for before, after in pairwise(greys[:4]))
    assert greys[4:] == pytest.approx(greys[:-4], abs=1)
    assert max(off_ms(frames, eyes)) < 2
    # The camera's own clock is far from the host's, or this shows nothing.
    seen = plant.rig.frames_seen()[-1]
    assert abs(seen.timestamp_ns - seen.exposed_ns) > 1000 * MS
    assert plant.bench.hear(CameraState.READY, complete=16).timed


def test_the_camera_is_left_stopped_and_free_on_sigterm(plant: Plant) -> None:
    plant.start(**HARDWARE)
    assert plant.rig.camera().acquiring
    assert plant.bench.terminate() == 0
    assert not plant.rig.camera().acquiring
    assert plant.rig.camera().producer_pid == 0


def test_a_dropped_frame_is_a_gap(plant: Plant) -> None:
    plant.start(**HARDWARE)
    plant.parts(2)
    plant.bench.frames(2)
    plant.rig.drop_next(2)
    plant.parts(4)
    frames = plant.bench.frames(2)
    assert [frame.frame_id for frame in frames] == [5, 6]
    assert plant.bench.hear(CameraState.READY, complete=4).lost == 2
    assert plant.metric("inspector_frame_gaps_total") == 2
    assert plant.metric("inspector_frames_total", state="complete") == 4


def test_an_incomplete_frame_is_named_and_has_no_pixels(plant: Plant) -> None:
    plant.start(**HARDWARE)
    plant.rig.incomplete_next(1)
    eyes = plant.parts(3)
    frames = plant.bench.frames(3)
    assert [frame.complete for frame in frames] == [False, True, True]
    assert [frame.frame_id for frame in frames] == [1, 2, 3]
    assert plant.bench.acquisition.pixels(frames[0]) is None
    assert max(off_ms(frames, eyes)) < 2
    health = plant.bench.hear(CameraState.READY, complete=2)
    assert (health.incomplete, health.lost) == (1, 0)
    assert plant.metric("inspector_frames_total", state="incomplete") == 1


def test_ids_of_16_bits_wrap_without_a_gap(plant: Plant) -> None:
    plant.rig.wrap_frame_ids()
    plant.rig.start_frame_ids_at(65534)
    plant.start(**HARDWARE)
    plant.parts(4)
    frames = plant.bench.frames(4)
    assert [frame.frame_id for frame in frames] == [65534, 65535, 65536, 65537]
    assert plant.bench.hear(CameraState.READY, complete=4).lost == 0


def test_frames_without_a_buffer_are_counted(plant: Plant) -> None:
    tiny = {"Width": 16, "Height": 2}
    plant.start(trigger="free_run", frame_rate_hz=1000, buffers=2, node_values=tiny)
    # Kept busy with other things, the host does not give buffers back in time.
    while plant.rig.camera().frames_underrun < 50:
        plant.bench.acquisition.trigger()
    health = plant.bench.hear(CameraState.READY)
    while health.underruns == 0 or health.lost == 0:
        health = plant.bench.hear(CameraState.READY)
    assert plant.metric("inspector_underruns_total") >= health.underruns
    assert plant.metric("inspector_frame_gaps_total") >= health.lost


def test_an_unplugged_camera_is_reported_and_delivers_again_after_the_replug(plant: Plant) -> None:
    plant.start(**HARDWARE)
    plant.parts(1)
    (before,) = plant.bench.frames(1)

    plant.rig.unplug()
    lost = plant.bench.hear(CameraState.LOST)
    assert "cable" in lost.reason
    assert plant.bench.exit_code() == 3
    assert plant.metric("inspector_link_up", link="camera") == 0

    plant.bench.start()
    assert "no camera" in plant.bench.hear(CameraState.SEARCHING).reason
    waiting_mb = plant.bench.memory_mb()
    plant.bench.hear(CameraState.SEARCHING)
    assert plant.bench.memory_mb() - waiting_mb < 4

    plant.rig.replug()
    plant.bench.hear(CameraState.READY, within_s=3)
    eyes = plant.parts(2)
    frames = plant.bench.frames(2)
    assert [frame.frame_id for frame in frames] == [1, 2]
    assert frames[0].epoch > before.epoch
    assert max(off_ms(frames, eyes)) < 2
    assert plant.metric("inspector_link_up", link="camera") == 1


def test_sigterm_ends_a_search(plant: Plant) -> None:
    plant.rig.unplug()
    plant.bench.start(producer=str(producer_path()), **HARDWARE)
    plant.bench.hear(CameraState.SEARCHING)
    plant.bench.terminate()


def test_a_camera_that_is_only_missing_among_others_is_waited_for(plant: Plant) -> None:
    plant.bench.ring.write(np.zeros(1, np.uint8))
    plant.bench.start(producer=str(producer_path()), serial="NOT-THERE", **HARDWARE)
    assert "NOT-THERE" in plant.bench.hear(CameraState.SEARCHING).reason


def test_a_frozen_camera_is_opened_anew_when_inspection_asks(plant: Plant) -> None:
    plant.start(**HARDWARE)
    plant.rig.freeze()
    plant.parts(3)
    # It answers every question, so that nobody but inspection can know.
    assert plant.bench.hear(CameraState.READY).complete == 0
    plant.bench.acquisition.reopen("3 parts without a frame; look at the camera")
    assert "3 parts" in plant.bench.hear(CameraState.LOST).reason
    assert plant.bench.exit_code() == 3
    plant.rig.freeze(False)
    plant.bench.start()
    plant.bench.hear(CameraState.READY)
    plant.parts(2)
    assert all(frame.complete for frame in plant.bench.frames(2))


def test_silence_in_free_run_is_a_lost_camera(plant: Plant) -> None:
    plant.start(trigger="free_run", frame_rate_hz=20, silence_ms=400)
    frames = plant.bench.frames(5)
    assert [frame.frame_id for frame in frames] == [1, 2, 3, 4, 5]
    plant.rig.freeze()
    assert "free run" in plant.bench.hear(CameraState.LOST).reason
    assert plant.bench.exit_code() == 3


def test_commands_from_before_the_opening_are_not_carried_out(plant: Plant) -> None:
    plant.bench.acquisition.trigger()
    plant.bench.acquisition.reopen("long ago")
    plant.bench.acquisition.pass_until(time.monotonic_ns() + 1)
    plant.start(trigger="software")
    plant.bench.acquisition.trigger()
    (frame,) = plant.bench.frames(1)
    assert frame.frame_id == 1
    assert plant.metric("inspector_dropped_total", what="command_too_old") == 3


def test_each_software_trigger_gives_one_frame(plant: Plant) -> None:
    plant.start(trigger="software", exposure_us=300)
    for number in range(1, 6):
        asked_ns = time.monotonic_ns()
        assert plant.bench.acquisition.trigger()
        (frame,) = plant.bench.frames(1)
        assert frame.frame_id == number
        assert frame.exposed_ns >= asked_ns - MS
    assert plant.bench.hear(CameraState.READY, complete=5).lost == 0


def test_a_pulse_for_a_gate_that_is_not_the_cameras_is_refused_and_counted(plant: Plant) -> None:
    plant.start(**HARDWARE)
    plant.bench.acquisition.pass_until(time.monotonic_ns() + 10_000 * MS)
    until(lambda: plant.metric("inspector_dropped_total", what="output_refused") == 1)
    assert not plant.rig.camera().output_lines


@pytest.mark.parametrize(
    ("pixel_format", "shape", "dtype"),
    [
        ("BayerRG12", (1860, 2880), np.uint16),
        ("RGB8", (1860, 2880, 3), np.uint8),
    ],
)
def test_other_pixel_formats_come_in_their_own_shape(
    plant: Plant, pixel_format: str, shape: tuple[int, ...], dtype: Any
) -> None:
    plant.start(pixel_format=pixel_format, **HARDWARE)
    plant.parts(1)
    (frame,) = plant.bench.frames(1)
    picture = plant.bench.acquisition.pixels(frame)
    assert picture is not None
    assert (picture.shape, picture.dtype) == (shape, dtype)
    assert picture.any()


def test_a_camera_held_by_another_program_is_tried_again_by_a_fresh_process(
    plant: Plant, tmp_path: Path
) -> None:
    plant.start(**HARDWARE)
    (tmp_path / "second").mkdir()
    second = Bench(tmp_path / "second", plant.bench.environment)
    try:
        second.start(producer=str(producer_path()), **HARDWARE)
        assert "end the program" in second.hear(CameraState.SEARCHING).reason
        assert second.exit_code() == 3
    finally:
        second.close()
    assert plant.rig.camera().acquiring


def refused(bench: Bench) -> str:
    """The one line that a refused configuration leaves."""
    assert bench.exit_code() == 2
    lines = [line for line in bench.log() if '"level": "info"' not in line]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("camera", "said"),
    [
        ({"serial": "TWIN-9"}, "no camera with serial TWIN-9 is there, only TWIN-1"),
        (
            {"pixel_format": "RGBa8"},
            "PixelFormat does not offer RGBa8; choose one of Mono8, BayerRG8",
        ),
        ({"trigger_line": "Line7"}, "TriggerSource does not offer Line7; choose one of Line0"),
        ({"exposure_us": 1e9}, "ExposureTime does not take"),
        ({"node_values": {"BlackLevl": 3}}, "no feature BlackLevl"),
    ],
)
def test_settings_that_do_not_fit_the_camera_are_refused_in_one_line(
    plant: Plant, camera: dict[str, Any], said: str
) -> None:
    plant.bench.start(producer=str(producer_path()), **camera)
    assert said in plant.bench.hear(CameraState.FAULT).reason
    assert said in refused(plant.bench)


def test_a_producer_that_is_not_there_or_none_is_refused_in_one_line(
    bench: Bench, tmp_path: Path
) -> None:
    bench.start(producer=str(tmp_path / "missing.cti"))
    assert "missing.cti does not exist; set camera.producer" in refused(bench)
    (tmp_path / "log").unlink()
    (tmp_path / "text.cti").write_text("not a library")
    bench.start(producer=str(tmp_path / "text.cti"))
    assert "cannot be loaded" in refused(bench)
