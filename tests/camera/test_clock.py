"""The camera's time stamps land on the host's clock within the error that is claimed."""

from hypothesis import given
from hypothesis import strategies as st

from inspector.camera.clock import CameraClock
from inspector.core.frame import CERTAIN_NS

S = 1_000_000_000
MS = 1_000_000

offsets = st.integers(-(10**15), 10**15)
drifts = st.floats(-9e-5, 9e-5)


class Bench:
    """A camera clock that starts at ``offset`` and drifts against the host's."""

    def __init__(self, offset: int, drift: float) -> None:
        self.offset = offset
        self.drift = drift

    def device_ns(self, host_ns: int) -> int:
        return 10**16 + host_ns + self.offset + round(self.drift * host_ns)


@given(
    offset=offsets,
    drift=drifts,
    latches=st.lists(
        st.tuples(st.integers(1, 5 * S), st.integers(1_000, 3 * MS), st.floats(0, 1)),
        min_size=1,
        max_size=20,
    ),
    after_ns=st.integers(0, 4 * S),
)
def test_a_latched_clock_is_as_good_as_it_says(
    offset: int, drift: float, latches: list[tuple[int, int, float]], after_ns: int
) -> None:
    camera, clock, now = Bench(offset, drift), CameraClock(), 0
    for pause, width, share in latches:
        before = now + pause
        now = before + width
        clock.latched(before, camera.device_ns(before + round(share * width)), now)
    exposed = now + after_ns
    arrived = exposed + 50 * MS
    told = clock.exposed_ns(camera.device_ns(exposed), arrived)
    uncertainty = clock.uncertainty_ns(arrived)
    assert uncertainty is not None
    assert told is not None
    assert abs(told - exposed) <= uncertainty + 1_000


@given(offset=offsets, transfers=st.lists(st.integers(0, 80 * MS), min_size=1, max_size=50))
def test_without_a_latch_no_time_is_told_however_steadily_frames_arrive(
    offset: int, transfers: list[int]
) -> None:
    """On a belt where a frame is under way for as long as parts are apart, each would be the next one's."""
    camera, clock = Bench(offset, 0.0), CameraClock()
    for number, transfer in enumerate(transfers):
        exposed = number * 50 * MS
        assert clock.exposed_ns(camera.device_ns(exposed), exposed + transfer) is None


def test_a_latch_grown_old_tells_no_time_until_there_is_a_new_one() -> None:
    camera, clock = Bench(0, 5e-5), CameraClock()
    clock.latched(0, camera.device_ns(0), MS)
    exposed = 1800 * S
    assert clock.exposed_ns(camera.device_ns(exposed), exposed + 45 * MS) is None
    clock.latched(exposed, camera.device_ns(exposed), exposed + MS)
    told = clock.exposed_ns(camera.device_ns(exposed), exposed + 45 * MS)
    assert told is not None
    assert abs(told - exposed) <= MS


def test_a_latch_too_slow_to_tell_neighbours_apart_is_not_believed() -> None:
    camera, clock = Bench(0, 0.0), CameraClock()
    clock.latched(0, camera.device_ns(0), 2 * CERTAIN_NS + 2 * MS)
    assert clock.exposed_ns(camera.device_ns(S), S + 45 * MS) is None


def test_a_frame_without_a_time_stamp_has_no_time() -> None:
    camera, clock = Bench(0, 0.0), CameraClock()
    clock.latched(0, camera.device_ns(0), 1000)
    assert clock.exposed_ns(0, 123) is None


def test_a_latch_that_counts_another_clock_is_not_believed() -> None:
    clock = CameraClock()
    clock.latched(0, 10**15, 1000)
    assert clock.exposed_ns(5 * S, 10 * S) is None


@given(step_ms=st.integers(-500, 500).filter(lambda ms: abs(ms) > 10), latched_ms=st.integers(1, 5))
def test_a_camera_clock_that_was_set_dates_nothing_until_it_was_read_twice(
    step_ms: int, latched_ms: int
) -> None:
    """As by PTP when it finds its master: one interval further, each frame would be the next part's."""
    camera, clock = Bench(0, 0.0), CameraClock()
    clock.latched(0, camera.device_ns(0), MS)
    camera.offset += step_ms * MS
    # A slower reading than the one before: it had been left aside.
    assert not clock.latched(S, camera.device_ns(S), S + latched_ms * MS)
    assert clock.exposed_ns(camera.device_ns(S), S + 45 * MS) is None
    assert clock.latched(2 * S, camera.device_ns(2 * S), 2 * S + latched_ms * MS)
    told = clock.exposed_ns(camera.device_ns(2 * S), 2 * S + 45 * MS)
    assert told is not None
    assert abs(told - 2 * S) <= latched_ms * MS


def test_a_host_clock_that_is_slewed_costs_no_frame() -> None:
    """NTP lets it run up to 500 ppm too fast or too slow: that is no clock that was set."""
    camera, clock = Bench(0, 5.5e-4), CameraClock()
    for now in range(0, 60 * S, S // 4):
        assert clock.latched(now, camera.device_ns(now), now + MS // 5)
        assert clock.exposed_ns(camera.device_ns(now), now + 45 * MS) is not None


@given(
    readings=st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), max_size=5),
    frames=st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), min_size=1),
)
def test_no_frame_is_exposed_after_it_arrived(
    readings: list[tuple[int, int]], frames: list[tuple[int, int]]
) -> None:
    clock = CameraClock()
    for at, device in readings:
        clock.latched(at, device, at + 1000)
    for device, arrived in frames:
        told = clock.exposed_ns(device, arrived)
        assert told is None or told <= arrived
