"""PLC times on the host's clock."""

from hypothesis import given
from hypothesis import strategies as st

from inspector.gate.clock import PlcClock

MS = 1_000_000


@given(
    start_ms=st.integers(0, 2**32 - 1),
    delays=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30)), min_size=1, max_size=300),
    ago_ms=st.integers(0, 2000),
)
def test_an_event_is_never_placed_early_and_late_only_by_the_fastest_answer(
    start_ms: int, delays: list[tuple[int, int]], ago_ms: int
) -> None:
    """Scan time and network delay vary; the PLC's 32-bit clock may wrap at any time."""
    clock = PlcClock()
    now_ms = 1_000_000
    for stale_ms, delay_ms in delays:
        reading_ms = now_ms - stale_ms
        received = (now_ms + delay_ms) * MS
        clock.observe((start_ms + reading_ms) % 2**32, now_ms * MS, received)
        now_ms += delay_ms + 10
    event_ms = reading_ms - ago_ms
    error_ms = clock.host_ns((start_ms + event_ms) % 2**32) / MS - event_ms
    best = min(stale + delay for stale, delay in delays[-256:])
    assert 0 <= error_ms <= best


def test_the_uncertainty_is_the_round_trip_of_the_fastest_answer() -> None:
    clock = PlcClock()
    clock.observe(1000, sent_ns=0, received_ns=20 * MS)
    clock.observe(1100, sent_ns=117 * MS, received_ns=119 * MS)
    assert clock.uncertainty_ns == 3 * MS


@given(outage_s=st.integers(11, 3600), ppm=st.integers(-100, 100), delay_ms=st.integers(1, 30))
def test_after_an_outage_the_drift_meanwhile_moves_no_photo_eye_time(
    outage_s: int, ppm: int, delay_ms: int
) -> None:
    """Twenty minutes at 50 ppm are 60 ms: as far as parts are apart."""
    clock = PlcClock()

    def plc_ms(host_ns: int) -> int:
        return (5_000_000 + round(host_ns * (1 + ppm * 1e-6)) // MS) % 2**32

    for number in range(300):
        now = 1_000 * MS + number * 10 * MS
        clock.observe(plc_ms(now), now - MS, now)
    event = now + outage_s * 1_000 * MS
    read = event + 5 * MS
    clock.observe(plc_ms(read), read, read + delay_ms * MS)
    error_ns = clock.host_ns(plc_ms(event)) - event
    assert -MS <= error_ns <= clock.uncertainty_ns
