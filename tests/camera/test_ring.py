"""The ring never gives out a torn or foreign frame, whatever the writer does meanwhile."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.camera.ring import Ring
from inspector.core.errors import CameraError

WRITER = """
import sys
import numpy as np
from inspector.camera.ring import Ring
ring = Ring.attach(int(sys.argv[1]))
until = ring.written + int(sys.argv[2])
while ring.written < until:
    ring.write(np.full(400_000, ring.written % 251, np.uint8))
"""


def start_writer(ring: Ring, frames: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(ring.fd), str(frames)], pass_fds=[ring.fd]
    )


def test_a_frame_comes_out_as_it_went_in() -> None:
    ring = Ring.create(3, 1000)
    picture = np.arange(600, dtype=np.uint16).reshape(20, 30)
    slot, generation = ring.write(picture)
    read = ring.read(slot, generation)
    assert read is not None
    assert np.array_equal(read.view(np.uint16).reshape(20, 30), picture)
    ring.close()


def test_a_picture_cut_out_of_a_larger_one_is_written_without_its_padding() -> None:
    ring = Ring.create(2, 1000)
    padded = np.arange(120, dtype=np.uint8).reshape(10, 12)
    read = ring.read(*ring.write(padded[:, :10]))
    assert read is not None
    assert np.array_equal(read.reshape(10, 10), padded[:, :10])
    ring.close()


@given(slots=st.integers(2, 5), frames=st.integers(1, 20), asked=st.integers(0, 19))
def test_a_frame_is_there_until_the_ring_came_round(slots: int, frames: int, asked: int) -> None:
    ring = Ring.create(slots, 100)
    tickets = [ring.write(np.full(50, number, np.uint8)) for number in range(frames)]
    if asked < frames:
        read = ring.read(*tickets[asked])
        if frames - asked <= slots:
            assert read is not None
            assert np.array_equal(read, np.full(50, asked))
        else:
            assert read is None
    ring.close()


def test_a_slot_that_is_being_written_is_not_read() -> None:
    ring = Ring.create(2, 100)
    slot, generation = ring.write(np.zeros(10, np.uint8))
    ring._generation[slot] = generation + 1
    assert ring.read(slot, generation) is None
    assert ring.read(slot, generation + 1) is None
    ring.close()


def test_a_writer_killed_in_the_middle_of_a_slot_leaves_it_to_the_next_one() -> None:
    ring = Ring.create(2, 100)
    slot, generation = ring.write(np.zeros(10, np.uint8))
    ring.write(np.zeros(10, np.uint8))
    ring._generation[slot] = generation + 1
    next_slot, next_generation = ring.write(np.ones(10, np.uint8))
    assert next_slot == slot
    assert next_generation > generation
    assert ring.read(slot, generation) is None
    assert ring.read(slot, next_generation) is not None
    ring.close()


def test_a_frame_larger_than_a_slot_is_refused() -> None:
    ring = Ring.create(2, 4096)
    with pytest.raises(ValueError, match="do not fit"):
        ring.write(np.zeros(ring.slot_bytes + 1, np.uint8))
    ring.close()


def test_a_slot_that_does_not_exist_is_an_error() -> None:
    ring = Ring.create(2, 100)
    with pytest.raises(ValueError, match="slots 0 to 1"):
        ring.read(2, 2)
    ring.close()


def test_anything_but_a_ring_is_refused_by_name() -> None:
    fd = os.memfd_create("no-ring")
    with pytest.raises(CameraError, match="not a ring"):
        Ring.attach(fd)
    os.write(fd, bytes(8192))
    with pytest.raises(CameraError, match="not a ring"):
        Ring.attach(fd)
    os.close(fd)
    with pytest.raises(CameraError, match="not a ring"):
        Ring.attach(fd)


def test_a_generous_ring_takes_only_the_memory_that_was_written() -> None:
    ring = Ring.create(12)
    ring.write(np.ones(1_000_000, np.uint8))
    assert os.fstat(ring.fd).st_blocks * 512 < 2_000_000
    ring.close()


def test_a_reader_overtaken_by_another_process_never_gets_a_torn_frame() -> None:
    ring = Ring.create(2, 400_000)
    writer = start_writer(ring, 6000)
    good = overtaken = 0
    while writer.poll() is None:
        written = ring.written
        if written == 0:
            continue
        # The newest frame, and the one that is just about to be overwritten.
        for number in (written - 1, max(written - ring.slots, 0)):
            slot = number % ring.slots
            generation = 2 * (number // ring.slots + 1)
            read = ring.read(slot, generation)
            if read is None:
                overtaken += 1
            else:
                good += 1
                assert read.size == 400_000
                assert (read == number % 251).all(), f"frame {number} is torn"
    assert writer.returncode == 0
    assert good > 100
    assert overtaken > 100
    ring.close()


def test_a_restarted_writer_goes_on_where_the_killed_one_stopped() -> None:
    ring = Ring.create(3, 400_000)
    for _ in range(4):
        before = ring.written
        writer = start_writer(ring, 1_000_000)
        while ring.written < before + 20:
            time.sleep(0.001)
        writer.kill()
        writer.wait()
    slot, generation = ring.write(np.full(400_000, 7, np.uint8))
    read = ring.read(slot, generation)
    assert read is not None
    assert (read == 7).all()
    ring.close()
