"""The simulated Triton, through harvesters, as the line's acquisition meets it."""

import contextlib
import io
import logging
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from genicam.gentl import AccessDeniedException, IoException, TimeoutException
from harvesters.core import Callback, Harvester, ImageAcquirer, ParameterKey, ParameterSet
from numpy.typing import NDArray

from inspector.core.errors import CameraError
from inspector.twin.rig import ENVIRONMENT_VARIABLE, BeltPart, LoggedFrame, Rig, create_rig
from inspector.twin.rig_layout import HEIGHT, N_IMAGES, WIDTH
from inspector.twin.triton import build

Picture = NDArray[np.uint8]
MS = 1_000_000
PX_PER_S = 20_000.0


@dataclass(frozen=True)
class Shot:
    """One delivered frame, copied out of its buffer."""

    frame_id: int
    timestamp_ns: int
    pixels: NDArray[Any]


@pytest.fixture(scope="module")
def freshly_built(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], str]:
    """Two builds begun at the same time in an empty cache, and what they had to say."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda _: build.producer_path(), range(2))), said.getvalue()


@pytest.fixture
def producer(freshly_built: tuple[list[Path], str]) -> Path:
    return freshly_built[0][0]


@pytest.fixture(scope="module")
def cups() -> list[Picture]:
    """Six pictures of which no two share a pixel row, and the belt: random, so any slip shows."""
    random = np.random.default_rng(54)
    return [random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(N_IMAGES + 1)]


@pytest.fixture
def rig(cups: list[Picture], monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with create_rig(belt_px_per_s=PX_PER_S, device_user_id="lane-a") as rig:
        for slot in range(N_IMAGES):
            rig.image(slot)[:] = cups[slot]
        rig.background()[:] = cups[N_IMAGES]
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(rig.path))
        yield rig


@contextlib.contextmanager
def host(producer: Path) -> Iterator[Any]:
    """A GenTL host that has looked for cameras; leaves nothing of it behind."""
    interrupt = signal.getsignal(signal.SIGINT)
    logging.getLogger("harvesters").setLevel(logging.CRITICAL)
    harvester = Harvester()
    try:
        harvester.add_file(str(producer), check_existence=True)
        harvester.update()
        yield harvester
    finally:
        harvester.reset()
        signal.signal(signal.SIGINT, interrupt)


def connect(harvester: Any, serial: str = "TWIN-1", buffers: int = 8) -> Any:
    settings = {
        ParameterKey.TIMEOUT_PERIOD_ON_UPDATE_EVENT_DATA_CALL: 5,
        ParameterKey.NUM_BUFFERS_FOR_FETCH_CALL: buffers,
    }
    return harvester.create({"serial_number": serial}, config=ParameterSet(settings))


@contextlib.contextmanager
def camera(producer: Path, buffers: int = 8) -> Iterator[Any]:
    with host(producer) as harvester:
        acquirer = connect(harvester, buffers=buffers)
        try:
            yield acquirer
        finally:
            acquirer.destroy()


def trigger_by(acquirer: Any, source: str) -> Any:
    nodes = acquirer.remote_device.node_map
    nodes.TriggerMode.value = "On"
    nodes.TriggerSource.value = source
    return nodes


def take(acquirer: Any, count: int, timeout: float = 2.0) -> list[Shot]:
    """The next `count` frames; fails when they do not come."""
    shots = []
    for _ in range(count):
        with acquirer.fetch(timeout=timeout) as buffer:
            image = buffer.payload.components[0]
            shape = (image.height, image.width, -1)
            pixels = image.data.reshape(shape).squeeze().copy()
            shots.append(Shot(buffer.frame_id, buffer.timestamp_ns, pixels))
    return shots


def silent(acquirer: Any, seconds: float = 0.3) -> bool:
    return acquirer.try_fetch(timeout=seconds) is None


def wait_until(condition: Callable[[], bool], seconds: float = 3.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)


def schedule(rig: Rig, pitches_ms: list[int], lead_ms: int = 150) -> list[BeltPart]:
    """Publish parts, each so many ms after the one before; part n shows picture n % 6."""
    eye = time.monotonic_ns() + lead_ms * MS
    parts = []
    for pitch in pitches_ms:
        eye += pitch * MS
        slot = rig.parts_published % N_IMAGES
        number = rig.publish_part(cup_id=slot, image_slot=slot, eye_ns=eye, gate_ns=eye + 500 * MS)
        part = rig.part(number)
        assert part is not None
        parts.append(part)
    return parts


def scene(rig: Rig, parts: list[BeltPart], at_ns: int) -> Picture:
    """What is under the lens at a moment: every column shows its nearest cup, else the belt."""
    picture = rig.background().copy()
    offsets = np.array([np.floor((at_ns - p.eye_ns) * PX_PER_S / 1e9 + 0.5) for p in parts], int)
    columns = np.arange(WIDTH)
    order = np.argsort(offsets, kind="stable")
    nearest = np.abs(columns - WIDTH // 2 - offsets[order][:, None]).argmin(axis=0)
    for rank, index in enumerate(order):
        source = columns - offsets[index]
        seen = (nearest == rank) & (source >= 0) & (source < WIDTH)
        picture[:, seen] = rig.image(parts[index].image_slot)[:, source[seen]]
    return picture


def mosaic(rgb: NDArray[Any]) -> NDArray[Any]:
    raw = rgb[..., 1].copy()
    raw[0::2, 0::2] = rgb[0::2, 0::2, 0]
    raw[1::2, 1::2] = rgb[1::2, 1::2, 2]
    return raw


def deeper(rgb: Picture, bits: int) -> NDArray[np.uint16]:
    return np.floor(rgb * (2.0**bits - 1) / 255 + 0.5).astype(np.uint16)


def luma(rgb: Picture) -> Picture:
    weighted = rgb.astype(np.uint32) @ np.array([77, 150, 29], np.uint32)
    return ((weighted + 128) >> 8).astype(np.uint8)


def log_of(rig: Rig, shot: Shot) -> LoggedFrame:
    """The twin's own record of a frame, found by the camera's timestamp."""
    return next(frame for frame in rig.frames_seen() if frame.timestamp_ns == shot.timestamp_ns)


# -- pictures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pixel_format", "expected"),
    [
        ("BayerRG8", mosaic),
        ("BayerRG10", lambda rgb: mosaic(deeper(rgb, 10))),
        ("BayerRG12", lambda rgb: mosaic(deeper(rgb, 12))),
        ("BayerRG16", lambda rgb: mosaic(deeper(rgb, 16))),
        ("Mono8", luma),
        ("RGB8", lambda rgb: rgb),
    ],
)
def test_every_pixel_format_shows_the_scene_byte_for_byte(
    rig: Rig, producer: Path, pixel_format: str, expected: Callable[[Picture], NDArray[Any]]
) -> None:
    with camera(producer) as acquirer:
        acquirer.remote_device.node_map.PixelFormat.value = pixel_format
        trigger_by(acquirer, "Line0")
        acquirer.start()
        parts = schedule(rig, [0, 41, 77])  # close enough that each picture shows two or three
        for part, shot in zip(parts, take(acquirer, len(parts)), strict=True):
            assert np.array_equal(shot.pixels, expected(scene(rig, parts, part.eye_ns)))


def test_a_region_of_interest_is_cut_from_the_whole_picture(rig: Rig, producer: Path) -> None:
    with camera(producer) as acquirer:
        nodes = trigger_by(acquirer, "Line0")
        nodes.Width.value, nodes.Height.value = 640, 480
        nodes.OffsetX.value, nodes.OffsetY.value = 1204, 702
        assert nodes.PayloadSize.value == 640 * 480
        acquirer.start()
        parts = schedule(rig, [0, 20])
        shot = take(acquirer, 1)[0]
        whole = mosaic(scene(rig, parts, parts[0].eye_ns))
        assert np.array_equal(shot.pixels, whole[702 : 702 + 480, 1204 : 1204 + 640])


def test_exposure_and_gain_brighten_until_the_pixels_saturate(rig: Rig, producer: Path) -> None:
    with camera(producer) as acquirer:
        nodes = trigger_by(acquirer, "Line0")
        nodes.ExposureTime.value = 1500.0
        nodes.Gain.value = 6.0
        acquirer.start()
        parts = schedule(rig, [0])
        pixels = take(acquirer, 1)[0].pixels
        factor = 1.5 * 10 ** (6.0 / 20)
        drawn = mosaic(scene(rig, parts, parts[0].eye_ns))
        brighter = np.minimum(np.floor(drawn * factor + 0.5), 255).astype(np.uint8)
        assert np.array_equal(pixels, brighter)
        assert (rig.camera().exposure_us, rig.camera().gain_db) == (1500.0, 6.0)


# -- triggers ----------------------------------------------------------------------------------------


def test_the_photo_eye_exposes_every_part_once_in_order_with_its_own_cup(
    rig: Rig, producer: Path
) -> None:
    with camera(producer) as acquirer:
        trigger_by(acquirer, "Line0")
        early = schedule(rig, [0], lead_ms=5)  # comes by before anyone waits for it
        wait_until(lambda: rig.photo_eye_count(time.monotonic_ns()) == 1)
        acquirer.start()
        # Three due in the same instant: a line must not lose count over them.
        parts = schedule(rig, [200, 60, 0, 0, 60, 90, 30])
        shots = take(acquirer, len(parts))
        assert silent(acquirer)
        assert [shot.frame_id for shot in shots] == list(range(1, len(parts) + 1))
        seen = [log_of(rig, shot) for shot in shots]
        assert [frame.exposed_ns for frame in seen] == [part.eye_ns for part in parts]
        alone = [index for index, part in enumerate(parts) if index not in (1, 2, 3)]
        assert [seen[index].part for index in alone] == [parts[index].number for index in alone]
        assert all(frame.offset_px == 0 for frame in seen)
        assert [frame.sequence for frame in rig.frames_seen()] == list(range(1, len(parts) + 1))
        for part, shot in zip(parts, shots, strict=True):
            assert np.array_equal(shot.pixels, mosaic(scene(rig, early + parts, part.eye_ns)))


def test_trigger_delay_lets_the_cup_move_on(rig: Rig, producer: Path) -> None:
    with camera(producer) as acquirer:
        trigger_by(acquirer, "Line0").TriggerDelay.value = 5000.0
        acquirer.start()
        schedule(rig, [0])
        frame = log_of(rig, take(acquirer, 1)[0])
        assert frame.offset_px == round(5e-3 * PX_PER_S)


def test_a_software_trigger_exposes_at_once(rig: Rig, producer: Path) -> None:
    with camera(producer) as acquirer:
        nodes = trigger_by(acquirer, "Software")
        acquirer.start()
        parts = schedule(rig, [0, 80], lead_ms=20)
        assert silent(acquirer, 0.1)
        for count in range(1, 4):
            before = time.monotonic_ns()
            nodes.TriggerSoftware.execute()
            after = time.monotonic_ns()
            shot = take(acquirer, 1)[0]
            frame = log_of(rig, shot)
            assert shot.frame_id == count
            assert before <= frame.exposed_ns <= after
            assert np.array_equal(shot.pixels, mosaic(scene(rig, parts, frame.exposed_ns)))
        assert silent(acquirer, 0.1)


def test_free_run_keeps_its_rate_and_the_cup_crosses_the_picture(rig: Rig, producer: Path) -> None:
    with camera(producer) as acquirer:
        nodes = acquirer.remote_device.node_map
        assert nodes.ResultingFrameRate.value == pytest.approx(22.2, abs=0.1)
        nodes.AcquisitionFrameRateEnable.value = True
        nodes.AcquisitionFrameRate.value = 16.0
        acquirer.start()
        parts = schedule(rig, [0], lead_ms=250)
        shots = take(acquirer, 10)
        frames = [log_of(rig, shot) for shot in shots]
        periods = np.diff([frame.exposed_ns for frame in frames])
        assert np.median(periods) == periods.min() == 62_500_000
        crossing = [frame for frame in frames if frame.part == parts[0].number]
        assert len(crossing) >= 2  # 144 ms in view, one frame each 62.5 ms
        assert [frame.offset_px for frame in crossing] == sorted(f.offset_px for f in crossing)
        for shot, frame in zip(shots, frames, strict=True):
            assert np.array_equal(shot.pixels, mosaic(scene(rig, parts, frame.exposed_ns)))


def test_a_single_frame_is_one_frame(rig: Rig, producer: Path) -> None:
    with camera(producer) as acquirer:
        acquirer.remote_device.node_map.AcquisitionMode.value = "SingleFrame"
        acquirer.start()
        take(acquirer, 1)
        assert silent(acquirer)
        assert not rig.camera().acquiring


# -- what comes with a frame -------------------------------------------------------------------------


def test_chunk_data_says_what_the_frame_was(rig: Rig, producer: Path) -> None:
    with camera(producer) as acquirer:
        nodes = trigger_by(acquirer, "Line0")
        image_bytes = nodes.PayloadSize.value
        nodes.ChunkModeActive.value = True
        for chunk in nodes.ChunkSelector.symbolics:
            nodes.ChunkSelector.value = chunk
            nodes.ChunkEnable.value = True
        assert nodes.PayloadSize.value > image_bytes
        nodes.ExposureTime.value = 1234.0
        acquirer.start()
        parts = schedule(rig, [0, 60])
        for count, part in enumerate(parts, 1):
            with acquirer.fetch(timeout=2) as buffer:
                assert nodes.ChunkFrameID.value == buffer.frame_id == count
                assert nodes.ChunkTimestamp.value == buffer.timestamp_ns
                assert nodes.ChunkExposureTime.value == 1234.0
                assert nodes.ChunkLineStatusAll.value & 1  # the cup stands in the beam
                assert buffer.payload.components[0].data.size == image_bytes
                assert len(buffer.module.chunk_data_info_list) == 5
                assert rig.frames_seen()[count - 1].exposed_ns == part.eye_ns


def test_the_cameras_clock_is_its_own_and_another_at_every_opening(
    rig: Rig, producer: Path
) -> None:
    offsets = []
    for _ in range(2):
        with camera(producer) as acquirer:
            nodes = trigger_by(acquirer, "Software")
            before = time.monotonic_ns()
            nodes.TimestampLatch.execute()
            after = time.monotonic_ns()
            latched = nodes.TimestampLatchValue.value
            acquirer.start()
            nodes.TriggerSoftware.execute()
            shot = take(acquirer, 1)[0]
            offset = shot.timestamp_ns - log_of(rig, shot).exposed_ns
            assert before <= latched - offset <= after
            offsets.append(offset)
    assert offsets[0] != offsets[1]
    assert min(offsets) > 10**11


# -- lines and settings ------------------------------------------------------------------------------


def test_user_outputs_reach_the_plant(rig: Rig, producer: Path) -> None:
    with camera(producer) as acquirer:
        nodes = acquirer.remote_device.node_map
        nodes.LineSelector.value = "Line1"
        assert nodes.LineMode.value == "Output"
        nodes.LineSource.value = "UserOutput2"
        nodes.UserOutputSelector.value = "UserOutput2"
        nodes.UserOutputValue.value = True
        assert rig.user_output(2)
        assert not rig.user_output(0)
        assert rig.output_line(1)
        assert nodes.LineStatus.value
        nodes.UserOutputValue.value = False
        assert not rig.output_line(1)


def test_the_photo_eye_is_seen_on_line0(rig: Rig, producer: Path) -> None:
    with camera(producer) as acquirer:
        nodes = acquirer.remote_device.node_map
        assert not nodes.LineStatus.value
        # Cup upon cup for a fifth of a second: one pulse is 10 ms long, and who looks may be kept waiting.
        schedule(rig, 40 * [5], lead_ms=20)
        wait_until(lambda: bool(nodes.LineStatusAll.value & 1))
        wait_until(lambda: not nodes.LineStatus.value)


def test_settings_that_shape_the_stream_are_locked_while_it_runs(rig: Rig, producer: Path) -> None:
    with camera(producer) as acquirer:
        nodes = acquirer.remote_device.node_map
        acquirer.start()
        for node, value in ((nodes.PixelFormat, "Mono8"), (nodes.Width, 640)):
            with pytest.raises(Exception, match="not writable"):
                node.value = value
        acquirer.stop()
        nodes.PixelFormat.value = "Mono8"


def test_the_camera_introduces_itself(rig: Rig, producer: Path) -> None:
    with host(producer) as harvester:
        info = harvester.device_info_list[0]
        assert (info.vendor, info.model) == ("Lucid Vision Labs (simulated)", "TRI054S-CC (twin)")
        assert (info.serial_number, info.user_defined_name) == ("TWIN-1", "lane-a")
        acquirer = connect(harvester)
        nodes = acquirer.remote_device.node_map
        assert 35.0 < nodes.DeviceTemperature.value < 55.0
        assert nodes.GevSCPSPacketSize.value == 1500
        nodes.DeviceUserID.value = "lane-b"
        acquirer.destroy()
        assert rig.device_user_id == "lane-b"


def test_two_rigs_are_two_cameras(
    rig: Rig, producer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with create_rig(belt_px_per_s=PX_PER_S, device_user_id="lane-z") as second:
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, f"{rig.path}:{second.path}")
        with host(producer) as harvester:
            names = {d.serial_number: d.user_defined_name for d in harvester.device_info_list}
            assert names == {"TWIN-1": "lane-a", "TWIN-2": "lane-z"}
            acquirers = [connect(harvester, serial) for serial in names]
            for acquirer in acquirers:
                trigger_by(acquirer, "Line0")
                acquirer.start()
            schedule(second, [0])
            take(acquirers[1], 1)
            assert silent(acquirers[0], 0.1)
            for acquirer in acquirers:
                acquirer.destroy()
        assert (rig.camera().frames_exposed, second.camera().frames_exposed) == (0, 1)


def test_without_a_plant_there_is_no_camera(
    producer: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "none"))
    with host(producer) as harvester:
        assert harvester.device_info_list == []


# -- faults ------------------------------------------------------------------------------------------


def test_a_dropped_frame_leaves_a_gap_in_the_ids(rig: Rig, producer: Path) -> None:
    with camera(producer) as acquirer:
        trigger_by(acquirer, "Line0")
        acquirer.start()
        rig.drop_next(2)
        parts = schedule(rig, [0, 50, 50, 50])
        shots = take(acquirer, 2)
        assert [shot.frame_id for shot in shots] == [3, 4]
        assert log_of(rig, shots[0]).part == parts[2].number
        assert rig.camera().frames_dropped == 2


def test_an_incomplete_frame_is_only_told_by_the_callback(rig: Rig, producer: Path) -> None:
    class Incomplete(Callback):  # type: ignore[misc] # harvesters has no types
        times = 0

        def emit(self, context: object = None) -> None:
            self.times += 1

    told: Any = Incomplete()
    with camera(producer) as acquirer:
        acquirer.add_callback(ImageAcquirer.Events.INCOMPLETE_BUFFER, told)
        trigger_by(acquirer, "Line0")
        acquirer.start()
        rig.incomplete_next(1)
        schedule(rig, [0, 50])
        assert take(acquirer, 1)[0].frame_id == 2
        assert told.times == 1
        assert rig.camera().frames_incomplete == 1


def test_a_frozen_camera_acquires_but_sends_nothing(rig: Rig, producer: Path) -> None:
    with camera(producer) as acquirer:
        nodes = trigger_by(acquirer, "Line0")
        acquirer.start()
        rig.freeze()
        schedule(rig, [0, 50], lead_ms=20)
        assert silent(acquirer)
        assert nodes.Width.value == WIDTH  # no error anywhere
        assert rig.camera().acquiring
        rig.freeze(False)
        part = schedule(rig, [0])[0]
        assert log_of(rig, take(acquirer, 1)[0]).exposed_ns == part.eye_ns


def test_a_frame_drawn_too_late_is_lost_rather_than_shown_with_another_cup(
    rig: Rig, producer: Path
) -> None:
    with camera(producer) as acquirer:
        trigger_by(acquirer, "Line0")
        acquirer.start()
        schedule(rig, [0, 300])
        # The conveyor takes the first slot again before its cup has come by.
        assert rig.free_image_slot(time.monotonic_ns() + 10**10) == 0
        assert take(acquirer, 1)[0].frame_id == 2
        assert rig.camera().frames_lost == 1


def test_a_slow_stream_delivers_late_but_everything(rig: Rig, producer: Path) -> None:
    with camera(producer) as acquirer:
        trigger_by(acquirer, "Line0")
        acquirer.start()
        rig.slow_down(150_000)
        part = schedule(rig, [0, 10], lead_ms=20)[0]
        shots = take(acquirer, 1)
        assert time.monotonic_ns() - part.eye_ns >= (150 + 45) * MS
        shots += take(acquirer, 1)
        assert [shot.frame_id for shot in shots] == [1, 2]


def test_without_a_free_buffer_frames_are_lost_and_counted(rig: Rig, producer: Path) -> None:
    with camera(producer, buffers=2) as acquirer:
        trigger_by(acquirer, "Line0")
        acquirer.start()
        schedule(rig, [0, 50, 50, 50, 50], lead_ms=20)
        wait_until(lambda: rig.camera().frames_underrun == 3)
        assert acquirer.data_streams[0].num_underrun == 3
        assert [shot.frame_id for shot in take(acquirer, 2)] == [1, 2]
        schedule(rig, [0])
        assert [shot.frame_id for shot in take(acquirer, 1)] == [6]


def test_frame_ids_wrap_from_65535_to_1(rig: Rig, producer: Path) -> None:
    rig.wrap_frame_ids()
    rig.start_frame_ids_at(65534)
    with camera(producer) as acquirer:
        trigger_by(acquirer, "Line0")
        acquirer.start()
        schedule(rig, [0, 50, 50, 50])
        assert [shot.frame_id for shot in take(acquirer, 4)] == [65534, 65535, 1, 2]


def test_every_exposed_frame_is_accounted_for(rig: Rig, producer: Path) -> None:
    with camera(producer, buffers=3) as acquirer:
        trigger_by(acquirer, "Line0")
        acquirer.start()
        rig.drop_next(1)
        rig.incomplete_next(1)
        schedule(rig, [0, 5, 5, 5, 5], lead_ms=20)
        wait_until(lambda: rig.camera().frames_underrun == 1)
        rig.slow_down(10_000_000)  # so that the last ones are on the wire when the host stops
        schedule(rig, [0, 5, 5], lead_ms=20)
        wait_until(lambda: rig.camera().frames_exposed == 8)
    state = rig.camera()
    assert state.frames_dropped == state.frames_incomplete == 1
    assert state.frames_lost == 3
    assert state.frames_exposed == (
        state.frames_delivered
        + state.frames_dropped
        + state.frames_incomplete
        + state.frames_underrun
        + state.frames_lost
    )


# -- unplugged ---------------------------------------------------------------------------------------


def test_an_unplugged_camera_fails_every_read_and_leaves_the_list(rig: Rig, producer: Path) -> None:
    with host(producer) as harvester:
        acquirer = connect(harvester)
        acquirer.start()
        take(acquirer, 2)
        rig.unplug()
        assert silent(acquirer)
        with pytest.raises(IoException):
            _ = acquirer.remote_device.node_map.Width.value
        with pytest.raises(IoException):
            acquirer.stop()
        acquirer.destroy()
        harvester.update()
        assert harvester.device_info_list == []


def test_replugged_it_is_a_camera_just_switched_on(rig: Rig, producer: Path) -> None:
    with host(producer) as harvester:
        acquirer = connect(harvester)
        trigger_by(acquirer, "Line0")
        acquirer.start()
        schedule(rig, [0, 50])
        take(acquirer, 2)
        rig.unplug()
        rig.replug()  # too fast for anyone to see it gone: the connection is lost all the same
        with pytest.raises(IoException):
            _ = acquirer.remote_device.node_map.Width.value
        with pytest.raises(TimeoutException):
            acquirer.fetch(timeout=0.2)
        with pytest.raises(IoException):
            acquirer.stop()
        acquirer.destroy()
        harvester.update()
        acquirer = connect(harvester)
        assert acquirer.remote_device.node_map.TriggerMode.value == "Off"
        acquirer.start()
        assert [shot.frame_id for shot in take(acquirer, 2)] == [1, 2]
        acquirer.destroy()


def in_a_process(script: str, producer: Path) -> subprocess.CompletedProcess[str]:
    """Run a script that has `acquirer` of a fresh host in a process of its own."""
    start = f"""
        import logging, os, time
        logging.disable(logging.CRITICAL)
        from harvesters.core import Harvester
        harvester = Harvester()
        harvester.add_file({str(producer)!r}, check_existence=True)
        harvester.update()
        acquirer = harvester.create(0)
    """
    text = textwrap.dedent(start) + textwrap.dedent(script)
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False
    )


def test_after_a_replug_a_fresh_process_gets_the_camera(rig: Rig, producer: Path) -> None:
    crashed = in_a_process("acquirer.start(); acquirer.fetch(timeout=2); os._exit(9)", producer)
    assert crashed.returncode == 9
    rig.unplug()
    rig.replug()
    with camera(producer) as acquirer:
        acquirer.start()
        assert take(acquirer, 1)[0].frame_id == 1


def test_a_camera_held_by_another_process_is_denied(rig: Rig, producer: Path) -> None:
    with camera(producer):
        refused = in_a_process("", producer)
        assert AccessDeniedException.__name__ in refused.stderr


@pytest.mark.parametrize(
    "ending",
    [
        "acquirer.start()",
        "acquirer.start(); buffer = acquirer.fetch(timeout=2)",
        "acquirer.start(run_as_thread=True); buffer = acquirer.fetch(); buffer.queue()",
        "acquirer.start(); acquirer.fetch(timeout=2); harvester.reset()",
        "acquirer.start(); buffer = acquirer.fetch(timeout=2); acquirer.stop()",
    ],
)
def test_a_process_may_end_in_any_state(rig: Rig, producer: Path, ending: str) -> None:
    ended = in_a_process(ending, producer)
    assert (ended.returncode, ended.stderr) == (0, "")


# -- building ----------------------------------------------------------------------------------------


def test_two_who_build_at_once_get_one_producer_and_no_warning(
    freshly_built: tuple[list[Path], str],
) -> None:
    (first, second), said = freshly_built
    assert first == second
    assert sorted(path.name for path in first.parent.iterdir()) == [build.PRODUCER_NAME, "lock"]
    assert said == ""


def test_without_a_compiler_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(CameraError, match="install g\\+\\+ or pip install ziglang"):
        build.find_compiler()
