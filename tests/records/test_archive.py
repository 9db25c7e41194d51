"""The picture archive keeps within its bounds; the oldest pictures go first."""

import shutil
import socket
from collections import namedtuple
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.core.part import PartId
from inspector.records.archive import PictureArchive, heat_overlay, picture_file
from inspector.records.pictures import Picture, PictureSender, receive

GB = 10**9
Usage = namedtuple("Usage", ["total", "used", "free"])


def picture_of(number: int) -> Picture:
    cup = np.random.default_rng(number).integers(0, 255, (384, 384, 3), np.uint8)
    return Picture(PartId("lane-1", 7, number), cup, np.zeros((24, 24), np.float32))


def kept(directory: Path) -> list[int]:
    return sorted(int(f.name.split("-")[3]) for f in directory.glob("pictures/*/*-cup.jpg"))


def test_the_oldest_pictures_go_when_the_archive_has_its_size(tmp_path: Path) -> None:
    probe = PictureArchive(tmp_path / "probe", GB, 0)
    probe.store(picture_of(1))
    archive = PictureArchive(tmp_path, limit_bytes=int(3.5 * probe.size), keep_free_bytes=0)
    for number in range(1, 7):
        assert archive.store(picture_of(number))

    assert kept(tmp_path) == [4, 5, 6]
    assert [part.number for part in archive.gone] == [1, 2, 3]
    on_disk = sum(f.stat().st_size for f in (tmp_path / "pictures").glob("*/*"))
    assert archive.size == on_disk <= 3.5 * probe.size


def test_the_oldest_day_goes_first_and_its_folder_with_it(tmp_path: Path) -> None:
    before = PictureArchive(tmp_path, GB, 0)
    before.store(picture_of(1))
    before.store(picture_of(2))
    (today,) = (tmp_path / "pictures").iterdir()
    yesterday = tmp_path / "pictures" / "2020-01-01"
    yesterday.mkdir()
    for file in today.glob("lane-1-7-2-*"):
        file.rename(yesterday / file.name)

    archive = PictureArchive(tmp_path, limit_bytes=int(2.5 * before.size / 2), keep_free_bytes=0)
    archive.store(picture_of(3))

    assert kept(tmp_path) == [1, 3]
    assert not yesterday.exists()
    archive.store(picture_of(4))
    assert kept(tmp_path) == [3, 4]


def test_what_somebody_deletes_by_hand_makes_room_for_new_pictures(tmp_path: Path) -> None:
    probe = PictureArchive(tmp_path / "probe", GB, 0)
    probe.store(picture_of(1))
    archive = PictureArchive(tmp_path, limit_bytes=int(4.5 * probe.size), keep_free_bytes=0)
    for number in (1, 2, 3, 4):
        archive.store(picture_of(number))
    (today,) = (tmp_path / "pictures").iterdir()
    yesterday = tmp_path / "pictures" / "2020-01-01"
    yesterday.mkdir()
    for file in [file for n in (1, 2) for file in today.glob(f"lane-1-7-{n}-*")]:
        file.rename(yesterday / file.name)
    archive = PictureArchive(tmp_path, limit_bytes=int(4.5 * probe.size), keep_free_bytes=0)
    shutil.rmtree(yesterday)
    for number in (5, 6):
        assert archive.store(picture_of(number))
    assert kept(tmp_path) == [3, 4, 5, 6]

    shutil.rmtree(today)
    assert archive.store(picture_of(7))
    assert kept(tmp_path) == [7]


def test_pictures_go_when_others_fill_the_disk_and_new_ones_are_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the disk has left is told to the archive: filling a real one is not a test's business."""
    archive = PictureArchive(tmp_path, limit_bytes=GB, keep_free_bytes=GB)
    free = [2 * GB]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, free[0]))
    assert archive.store(picture_of(1))
    free[0] = GB - 1

    assert not archive.make_room()
    assert kept(tmp_path) == []
    assert not archive.store(picture_of(2))
    free[0] = 2 * GB
    assert archive.store(picture_of(3))
    assert kept(tmp_path) == [3]


def test_the_last_megabytes_of_a_disk_belong_to_the_rows_whatever_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = PictureArchive(tmp_path, limit_bytes=GB, keep_free_bytes=0)
    assert archive.store(picture_of(1))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 10_000_000))

    assert not archive.store(picture_of(2))
    assert kept(tmp_path) == []


def test_a_failing_disk_leaves_no_half_picture(tmp_path: Path) -> None:
    archive = PictureArchive(tmp_path, GB, 0)
    shutil.rmtree(tmp_path / "pictures")
    (tmp_path / "pictures").mkdir()
    archive.store(picture_of(1))
    (day,) = (tmp_path / "pictures").iterdir()
    # The second file cannot take its place: a folder is in the way.
    (day / "lane-1-7-2-heat.jpg" / "in the way").mkdir(parents=True)

    assert not archive.store(picture_of(2))
    assert not (day / "lane-1-7-2-cup.jpg").exists()
    assert list(day.glob("*.part")) == []


@pytest.mark.timeout(20)
def test_pictures_that_cannot_be_deleted_do_not_hold_up_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that was found failing and is now read only: the records process has other work to do."""
    archive = PictureArchive(tmp_path, limit_bytes=GB, keep_free_bytes=GB)
    assert archive.store(picture_of(1))
    (tmp_path / "pictures" / "2020-01-01" / "lane-1-7-9-cup.jpg" / "in the way").mkdir(parents=True)
    (tmp_path / "pictures" / "2020-01-01" / "lane-1-7-10-cup.jpg").write_bytes(b"never looked at")
    size = archive.size
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, GB - 1))

    assert not archive.make_room()
    assert kept(tmp_path) == [9, 10], "newer days go instead of one that cannot be deleted"
    assert [part.number for part in archive.gone] == [1]
    left = (tmp_path / "pictures" / "2020-01-01").iterdir()
    assert archive.size == sum(path.stat().st_size for path in left) < size


def test_a_new_start_finds_what_is_there_and_tells_the_ledger(tmp_path: Path) -> None:
    before = PictureArchive(tmp_path, GB, 0)
    for number in (1, 2, 3):
        before.store(picture_of(number))
    stems = {picture.part: picture.stem for picture in before.added}
    picture_file(tmp_path, stems[PartId("lane-1", 7, 1)], "heat").unlink()
    picture_file(tmp_path, stems[PartId("lane-1", 7, 1)], "cup").unlink()
    (tmp_path / "pictures" / "2020-01-01").mkdir()
    (tmp_path / "pictures" / "2020-01-01" / "lane-1-7-9-cup.part").write_bytes(b"half")
    del stems[PartId("lane-1", 7, 3)]

    after = PictureArchive(tmp_path, GB, 0, stems)

    assert [picture.part.number for picture in after.added] == [3]
    assert [part.number for part in after.gone] == [1]
    assert not list(tmp_path.glob("pictures/*/*.part"))


def test_the_heat_map_lies_in_jet_colours_over_the_cup() -> None:
    heat = np.zeros((24, 24), np.float32)
    heat[:12] = 1.0
    overlay = heat_overlay(np.zeros((384, 384, 3), np.uint8), heat)

    red, blue = overlay[20, 200], overlay[360, 200]
    assert red[0] > 60 > red[2], "hot is red"
    assert blue[2] > 60 > blue[0], "cold is blue"


@pytest.mark.parametrize("value", [np.nan, np.inf, 7.0])
def test_heat_that_is_no_number_or_off_the_scale_is_shown_hot(value: float) -> None:
    heat = np.full((8, 8), value, np.float32)
    hot = heat_overlay(np.zeros((16, 16, 3), np.uint8), np.ones((8, 8), np.float32))

    assert np.array_equal(heat_overlay(np.zeros((16, 16, 3), np.uint8), heat), hot)


def test_a_stored_cup_keeps_its_colours(tmp_path: Path) -> None:
    archive = PictureArchive(tmp_path, GB, 0)
    red = np.zeros((384, 384, 3), np.uint8)
    red[..., 0] = 255
    archive.store(Picture(PartId("lane-1", 7, 1), red, None))

    blue_green_red = cv2.imread(str(picture_file(tmp_path, archive.added[0].stem, "cup")))
    assert blue_green_red is not None
    assert blue_green_red[100, 100].tolist() == pytest.approx([0, 0, 255], abs=4)


def cup_and_heat() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    generator = np.random.default_rng(3)
    cup = generator.integers(0, 255, (384, 384, 3), np.uint8)
    return cup, generator.random((384, 384), np.float32)


def test_a_picture_arrives_as_it_was_sent() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    cup, heat = cup_and_heat()
    part = PartId("lane-1", 7, 12)
    PictureSender(ours).send(part, cup[:, ::-1], heat.T)
    picture = receive(theirs)

    assert picture is not None
    assert picture.part == part
    assert picture.heat is not None
    assert np.array_equal(picture.cup_image, cup[:, ::-1])
    assert np.array_equal(picture.heat, heat.T)
    assert receive(theirs) is None
    ours.close()
    with pytest.raises(EOFError):
        receive(theirs)
    theirs.close()


def test_when_nobody_fetches_pictures_the_sender_drops_them_instead_of_waiting() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sender = PictureSender(ours)
    cup, heat = cup_and_heat()
    sent = [sender.send(PartId("lane-1", 7, n), cup, heat) for n in range(1, 101)]
    waiting = 0
    while receive(theirs) is not None:
        waiting += 1

    assert 4 <= waiting <= 60
    assert sent == [True] * waiting + [False] * (100 - waiting)
    assert sender.send(PartId("lane-1", 7, 101), cup, heat)
    theirs.close()
    assert not sender.send(PartId("lane-1", 7, 102), cup, heat)
    ours.close()


def test_a_message_that_is_no_picture_is_refused() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for message in (b"{}", b"not json", b'{"lane": "a", "session": 1, "number": 1, "cup": [1]}'):
        ours.send(message)
        with pytest.raises(ValueError, match=r"."):
            receive(theirs)
    ours.close()
    theirs.close()
