"""What one process says is what the other hears; what is no message harms nobody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.camera.channel import (
    CameraHealth,
    CameraState,
    Channel,
    GarbageError,
    Message,
    PassUntil,
    Reopen,
    SoftwareTrigger,
    channel_pair,
    decode,
    encode,
)
from inspector.core.frame import FrameInfo
from inspector.telemetry.metrics import DROPPED

counts = st.integers(0, 2**62)
numbers = st.floats(allow_nan=False, allow_infinity=False)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        FrameInfo,
        lane=st.text(),
        epoch=counts,
        frame_id=counts,
        slot=st.integers(-1, 63),
        generation=counts,
        width=counts,
        height=counts,
        pixel_format=st.text(),
        exposed_ns=counts,
        received_ns=counts,
        complete=st.booleans(),
        exposure_us=st.none() | numbers,
    ),
    st.builds(
        CameraHealth,
        lane=st.text(),
        state=st.sampled_from(CameraState),
        reason=st.text(),
        sent_ns=counts,
        temperature_c=st.none() | numbers,
        lost=counts,
    ),
    st.builds(SoftwareTrigger, sent_ns=counts),
    st.builds(PassUntil, until_ns=counts),
    st.builds(Reopen, reason=st.text(), sent_ns=counts),
)


def dropped(what: str) -> float:
    return float(DROPPED.labels(lane="lane-1", what=what)._value.get())


@given(message=messages)
def test_every_message_arrives_as_it_was_sent(message: Message) -> None:
    assert decode(encode(message)) == message


@given(datagram=st.binary(max_size=200))
def test_noise_is_refused_and_nothing_else_happens(datagram: bytes) -> None:
    with pytest.raises(GarbageError):
        decode(datagram)


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"FrameInfo",
        b"FrameInfo {}",
        b"SoftwareTrigger {}",
        b'SoftwareTrigger {"sent_ns": "soon"}',
        b'SoftwareTrigger {"sent_ns": 1.5}',
        b'PassUntil {"until_ns": true}',
        b'Shutdown {"sent_ns": 1}',
    ],
)
def test_a_message_of_unknown_type_or_with_wrong_fields_is_refused(datagram: bytes) -> None:
    with pytest.raises(GarbageError):
        decode(datagram)


def test_garbage_is_counted_and_the_next_message_is_heard() -> None:
    camera, inspection = channel_pair()
    receiver, before = Channel(camera, "lane-1"), dropped("message_garbage")
    inspection.send(b"\xff\x00 what?")
    inspection.send(encode(SoftwareTrigger(sent_ns=5)))
    with pytest.raises(GarbageError, match="no message"):
        receiver.receive()
    assert receiver.receive() == SoftwareTrigger(sent_ns=5)
    assert dropped("message_garbage") == before + 1
    receiver.close()
    inspection.close()


def test_a_listener_that_does_not_read_never_stops_the_camera() -> None:
    camera, inspection = channel_pair()
    sender, before = Channel(camera, "lane-1"), dropped("message_SoftwareTrigger")
    sent = [sender.send(SoftwareTrigger(sent_ns=number)) for number in range(5000)]
    kept = sent.count(True)
    assert 50 < kept < 5000
    assert dropped("message_SoftwareTrigger") == before + 5000 - kept
    receiver = Channel(inspection, "lane-1")
    heard = [receiver.receive() for _ in range(kept)]
    assert heard == [SoftwareTrigger(sent_ns=number) for number in range(kept)]
    assert receiver.receive() is None
    sender.close()
    receiver.close()


def test_a_lost_counterpart_is_a_drop_and_no_fault() -> None:
    camera, inspection = channel_pair()
    inspection.close()
    channel = Channel(camera, "lane-1")
    assert not channel.send(SoftwareTrigger(sent_ns=1))
    assert channel.receive() is None
    channel.close()


def test_waiting_ends_when_a_message_comes_or_time_is_up() -> None:
    camera, inspection = channel_pair()
    sender, receiver = Channel(camera, "lane-1"), Channel(inspection, "lane-1")
    assert receiver.receive(0.01) is None
    sender.send(Reopen(reason="frozen", sent_ns=1))
    assert receiver.receive(5.0) == Reopen(reason="frozen", sent_ns=1)
    sender.close()
    receiver.close()
