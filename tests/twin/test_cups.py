"""Drawn cups: the same every time, true to their truth, and different from each other."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.twin.cups import (
    CUP_TYPES,
    CupPicture,
    CupStream,
    DefectKind,
    SeverityError,
    Stance,
    UnknownCupTypeError,
    draw_cup,
    empty_belt,
)
from inspector.twin.cups.artwork import print_of
from inspector.twin.cups.camera import levels_of, linear_of
from inspector.twin.cups.image_set import FrameFormat, write_image_set
from inspector.twin.cups.stream import DefectRateError
from inspector.twin.cups.surface import ANGLES, surface_of

FRAME_SHAPE = (1860, 2880, 3)
UPRIGHT = Stance((0.0, 0.0))


@pytest.fixture(autouse=True)
def one_core() -> None:
    cv2.setNumThreads(1)


def unwrapped(picture: CupPicture) -> NDArray[np.float32]:
    """Green channel of the wall, radius × 1440 angles, counter-clockwise from the right."""
    polar = cv2.warpPolar(
        picture.frame[..., 1],
        (760, 1440),
        picture.truth.centre_xy,
        760,
        cv2.WARP_POLAR_LINEAR,
    )
    counter_clockwise = np.roll(polar[::-1], 1, axis=0).T
    rim = int(picture.truth.rim_radius_px)
    return np.asarray(counter_clockwise[int(0.55 * rim) : rim - 40], np.float32)


def turn_between(first: CupPicture, second: CupPicture) -> float:
    """Degrees counter-clockwise by which the second print is turned against the first."""
    details = []
    for picture in (first, second):
        wall = unwrapped(picture)
        details.append(wall - cv2.GaussianBlur(wall, (0, 0), 25, borderType=cv2.BORDER_REFLECT))
    spectrum = np.fft.fft(details[1], axis=1) * np.conj(np.fft.fft(details[0], axis=1))
    match = np.fft.ifft(spectrum, axis=1).real.sum(axis=0)
    return float(np.argmax(match)) * 360 / len(match)


def steepest_slope(frame: NDArray[np.uint8]) -> float:
    """Levels per pixel, of what is left when grain and specks are smoothed away."""
    smooth = cv2.GaussianBlur(frame[..., 1].astype(np.float32), (0, 0), 8)
    return float(max(np.abs(slope).max() for slope in np.gradient(smooth)))


def read_rgb(path: Path) -> NDArray[np.uint8]:
    return np.asarray(cv2.imread(str(path)), np.uint8)[..., ::-1]


def test_the_same_arguments_draw_the_same_bytes() -> None:
    first = draw_cup("type-01", 11, defect=DefectKind.CRACK, severity=0.5)
    again = draw_cup("type-01", 11, defect=DefectKind.CRACK, severity=0.5)
    assert first.frame.shape == FRAME_SHAPE
    assert first.frame.dtype == np.uint8
    assert first.frame.tobytes() == again.frame.tobytes()
    assert first.truth.defect_mask.tobytes() == again.truth.defect_mask.tobytes()
    assert first.truth.defects == again.truth.defects
    assert draw_cup("type-01", 12).frame.tobytes() != draw_cup("type-01", 11).frame.tobytes()


@pytest.mark.parametrize("cup_type", CUP_TYPES)
def test_a_cup_turned_by_an_angle_shows_its_print_turned_by_that_angle(cup_type: str) -> None:
    still = draw_cup(cup_type, 3, angle_deg=20, stance=UPRIGHT, droplets=0)
    for turn in (37.0, 205.5):
        turned = draw_cup(cup_type, 3, angle_deg=20 + turn, stance=UPRIGHT, droplets=0)
        assert turned.truth.angle_deg == pytest.approx(20 + turn, abs=0.05)
        assert turn_between(still, turned) == pytest.approx(turn, abs=0.5)


def test_the_print_lies_in_the_direction_of_its_angle() -> None:
    for angle in (0.0, 90.0, 215.0):
        here = unwrapped(draw_cup("type-01", 5, angle_deg=angle, stance=UPRIGHT, droplets=0))
        away = unwrapped(draw_cup("type-01", 5, angle_deg=angle + 180, stance=UPRIGHT, droplets=0))
        ink = np.clip(away - here - 12, 0, None).sum(axis=0)
        direction = np.exp(2j * np.pi * np.arange(1440) / 1440)
        seen = np.angle((ink * direction).sum() / np.exp(1j * np.deg2rad(angle)))
        assert abs(np.rad2deg(seen)) < 20


@pytest.mark.parametrize("cup_type", CUP_TYPES)
def test_a_print_matches_itself_at_one_angle_only(cup_type: str) -> None:
    surface = surface_of(CUP_TYPES[cup_type])
    printed = print_of(surface)
    ring = np.zeros((printed.factor.shape[0], ANGLES), np.float32)
    ring[:, printed.columns] = 255 - printed.factor.astype(np.float32).mean(axis=2)
    match = np.fft.ifft(np.abs(np.fft.fft(ring, axis=1)) ** 2, axis=1).real.sum(axis=0)
    elsewhere = match[ANGLES // 36 : -ANGLES // 36].max()
    assert elsewhere < 0.6 * match[0]


def test_the_print_darkens_the_wall_enough_to_be_seen() -> None:
    for cup_type in CUP_TYPES.values():
        assert 255 - print_of(surface_of(cup_type)).factor.min() > 20


@pytest.mark.parametrize("cup_type", CUP_TYPES)
def test_the_rim_lies_where_the_truth_says(cup_type: str) -> None:
    picture = draw_cup(cup_type, 8, stance=Stance((31.5, -22.25)), droplets=0)
    assert picture.truth.centre_xy == pytest.approx((1439.5 + 31.5, 929.5 - 22.25))
    cup_mask = picture.truth.cup_mask
    area = np.pi * picture.truth.rim_radius_px**2
    assert cup_mask.sum() == pytest.approx(area, rel=0.005)
    rows, columns = np.nonzero(cup_mask)
    assert (columns.mean(), rows.mean()) == pytest.approx(picture.truth.centre_xy, abs=0.6)
    edge = cv2.morphologyEx(cup_mask, cv2.MORPH_GRADIENT, np.ones((9, 9), np.uint8)) > 0
    colour = picture.frame.astype(np.float32)
    contrast = np.abs(cv2.Sobel(colour, cv2.CV_32F, 1, 0)).max(axis=2)
    contrast += np.abs(cv2.Sobel(colour, cv2.CV_32F, 0, 1)).max(axis=2)
    outside = cv2.dilate(cup_mask, np.ones((61, 61), np.uint8)) - cv2.dilate(
        cup_mask, np.ones((21, 21), np.uint8)
    )
    assert contrast[edge].mean() > 2 * contrast[outside > 0].mean()


@pytest.mark.parametrize("kind", DefectKind)
@pytest.mark.parametrize("cup_type", CUP_TYPES)
def test_a_defect_shows_where_its_mask_is_and_nowhere_else(cup_type: str, kind: DefectKind) -> None:
    clean = draw_cup(cup_type, 21, droplets=0)
    spoiled = draw_cup(cup_type, 21, defect=kind, severity=0.8, droplets=0)
    assert not clean.truth.defective
    assert not clean.truth.defect_mask.any()
    (defect,) = spoiled.truth.defects
    mask = spoiled.truth.defect_mask
    assert (defect.kind, defect.severity) == (kind, 0.8)
    assert defect.area_px == mask.sum() >= 60
    assert mask.max() == 1

    silhouette = cv2.dilate(clean.truth.cup_mask, np.ones((5, 5), np.uint8))
    assert not (mask & (1 - silhouette)).any()
    if kind is DefectKind.CHIP:
        assert not (mask & spoiled.truth.cup_mask).any()
    else:
        assert spoiled.truth.cup_mask.tobytes() == clean.truth.cup_mask.tobytes()

    difference = cv2.absdiff(clean.frame, spoiled.frame).max(axis=2)
    near = cv2.dilate(mask, np.ones((61, 61), np.uint8)) > 0
    assert difference[mask > 0].mean() > 2
    assert difference[~near].max() <= 4


@pytest.mark.parametrize("kind", DefectKind)
def test_a_slight_defect_is_smaller_or_fainter_than_a_plain_one(kind: DefectKind) -> None:
    visible = {0.1: 0.0, 1.0: 0.0}
    for seed in (1, 2):
        clean = draw_cup("type-03", seed, droplets=0).frame
        for severity in visible:
            spoiled = draw_cup("type-03", seed, defect=kind, severity=severity, droplets=0).frame
            visible[severity] += float(cv2.absdiff(clean, spoiled).sum())
    assert 0 < visible[0.1] < visible[1.0]


def test_as_many_cups_are_wet_as_are_asked_for() -> None:
    def wet(seed: int, share: float) -> bool:
        dry = draw_cup("type-01", seed, droplets=0).frame
        return not np.array_equal(draw_cup("type-01", seed, wet_share=share).frame, dry)

    assert [wet(seed, 0) for seed in range(2)] == [False, False]
    assert [wet(seed, 1) for seed in range(2)] == [True, True]


def test_nothing_clips_even_on_wet_cups() -> None:
    for cup_type in CUP_TYPES:
        frame = draw_cup(cup_type, 4, droplets=25).frame
        assert np.count_nonzero(frame >= 254) < 20
        assert frame.min() > 5


def test_levels_survive_the_way_through_linear_light() -> None:
    every_level = np.arange(256, dtype=np.uint8)
    assert np.array_equal(levels_of(linear_of(every_level)), every_level)


def test_the_stream_never_repeats_and_any_cup_can_be_drawn_again() -> None:
    stream = CupStream("type-01", seed=9, defect_rate=0.5)
    pictures = [next(stream) for _ in range(8)]
    assert len({picture.frame.tobytes() for picture in pictures}) == 8
    assert len({picture.truth.seed for picture in pictures}) == 8
    assert len({round(picture.truth.angle_deg, 3) for picture in pictures}) == 8
    frame, truth = next(picture for picture in pictures if picture.truth.defective)
    (defect,) = truth.defects
    again = draw_cup(
        truth.cup_type,
        truth.seed,
        defect=defect.kind,
        severity=defect.severity,
        stance=truth.stance,
    )
    assert again.frame.tobytes() == frame.tobytes()


def test_two_streams_of_one_seed_draw_the_same_cups() -> None:
    first, second = (CupStream("type-03", seed=2) for _ in range(2))
    for _ in range(2):
        assert next(first).frame.tobytes() == next(second).frame.tobytes()


def test_the_stream_keeps_its_defect_rate() -> None:
    stream = CupStream("type-03", seed=1, defect_rate=0.3)
    defective = sum(next(stream).truth.defective for _ in range(40))
    assert 4 <= defective <= 21
    assert not any(next(CupStream("type-03", 1, 0.0)).truth.defective for _ in range(2))
    assert all(next(CupStream("type-03", 1, 1.0)).truth.defective for _ in range(2))


def test_the_empty_belt_is_a_full_frame_without_a_cup() -> None:
    belt = empty_belt(3)
    assert belt.shape == FRAME_SHAPE
    assert belt.dtype == np.uint8
    assert belt.tobytes() == empty_belt(3).tobytes()
    assert belt.tobytes() != empty_belt(4).tobytes()
    with_cup = draw_cup("type-01", 3).frame
    assert steepest_slope(belt) < 0.5
    assert steepest_slope(with_cup) > 2


def test_an_unknown_cup_type_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownCupTypeError, match=r"'type-9'; use one of type-01"):
        draw_cup("type-9", 1)


def test_severity_and_rate_outside_their_range_are_refused() -> None:
    with pytest.raises(SeverityError, match="above 0"):
        draw_cup("type-01", 1, defect=DefectKind.MOULD, severity=0.0)
    with pytest.raises(DefectRateError, match="from 0 to 1"):
        CupStream("type-01", 1, defect_rate=1.5)


def test_an_image_set_holds_frames_masks_and_truth(tmp_path: Path) -> None:
    cup_type = CUP_TYPES["type-03"]
    for defects, count in ((False, 2), (True, 8)):
        frames = list(write_image_set(tmp_path, cup_type, count, 1, defects=defects))
        assert len(frames) == count
        assert all(frame.is_file() for frame in frames)
    train = json.loads((tmp_path / "truth-train.json").read_text())
    test = json.loads((tmp_path / "truth-test.json").read_text())
    assert [record["defects"] for record in train] == [[], []]
    assert {path.name for path in (tmp_path / "test").iterdir()} == {"good", *DefectKind}
    assert not {record["seed"] for record in train} & {record["seed"] for record in test}
    record = next(record for record in test if record["defects"])
    mask = cv2.imread(str(tmp_path / record["defect_mask"]), cv2.IMREAD_UNCHANGED)
    assert np.count_nonzero(mask == 255) == record["defects"][0]["area_px"]
    picture = draw_cup(
        cup_type,
        record["seed"],
        defect=DefectKind(record["defects"][0]["kind"]),
        severity=record["defects"][0]["severity"],
    )
    stored = np.ascontiguousarray(read_rgb(tmp_path / record["frame"]))
    assert cv2.absdiff(stored, picture.frame).mean() < 2


def test_a_frame_written_as_png_holds_what_the_sensor_sampled(tmp_path: Path) -> None:
    (path,) = write_image_set(
        tmp_path, CUP_TYPES["type-03"], 1, 6, defects=False, frame_format=FrameFormat.PNG
    )
    (record,) = json.loads((tmp_path / "truth-train.json").read_text())
    scene, stored = draw_cup("type-03", record["seed"]).frame, read_rgb(path)
    for channel, rows, columns in ((0, 0, 0), (1, 0, 1), (1, 1, 0), (2, 1, 1)):
        # OpenCV makes up the outermost rows and columns.
        sampled = np.s_[2 + rows : -2 : 2, 2 + columns : -2 : 2, channel]
        assert np.array_equal(stored[sampled], scene[sampled])
    assert not np.array_equal(stored, scene)


def test_drawing_needs_numpy_and_opencv_only() -> None:
    program = (
        "import sys, inspector.twin.cups;"
        "print([name for name in ('rich','typer','pydantic','torch','PIL') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_mistake_on_the_command_line_ends_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "inspector.twin.cups", "images", "--type", "mug", "--out", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no cup type 'mug'" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
