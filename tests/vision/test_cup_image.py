"""From frame to cup image, with the network of this repository."""

import cv2
import numpy as np
import pytest

from inspector.core.verdict import Reason
from inspector.recipe.manifest import ViewEntry
from inspector.twin.cups import CupStream, DefectKind, Stance, draw_cup, empty_belt
from inspector.vision import (
    GREY,
    RIM_PX,
    SIZE,
    CupImage,
    PixelError,
    Refusal,
    cut_out,
    heat_on_cup,
    locate,
    network_input,
    prepare,
)
from tests.vision.bench import FORMAT, TYPES, covered, mosaic, reference, segment


@pytest.mark.parametrize("cup_type", TYPES)
def test_the_network_tells_cup_from_belt_on_cups_it_has_not_seen(cup_type: str) -> None:
    for seed, defect in ((31, None), (32, None), (33, DefectKind.CHIP), (34, DefectKind.STAIN)):
        picture = draw_cup(cup_type, seed, defect=defect)
        small, (width, height) = network_input(mosaic(picture.frame), FORMAT)
        said = segment()(small[None])[0, :height, :width] > 0.5
        true = covered(picture.truth, (width, height)) > 0.5
        assert (said & true).sum() / (said | true).sum() >= 0.985


@pytest.mark.parametrize("cup_type", TYPES)
def test_the_rim_is_where_the_truth_says(cup_type: str) -> None:
    for seed, defect in ((41, None), (42, DefectKind.CHIP)):
        frame, truth = draw_cup(cup_type, seed, defect=defect, severity=1.0)
        cup = prepare(mosaic(frame), FORMAT, segment(), None)
        assert isinstance(cup, CupImage)
        centre_x, centre_y = truth.centre_xy
        assert np.hypot(cup.outline.x - centre_x, cup.outline.y - centre_y) < 1.5
        assert abs(cup.outline.radius - truth.rim_radius_px) < 6.0


def test_one_cup_at_two_angles_gives_one_upright_image() -> None:
    images = []
    # The lamps stand still, left and right alike: half a turn later they light the cup as before.
    for angle in (20.0, 200.0):
        raw = mosaic(
            draw_cup("type-01", 50, angle_deg=angle, stance=Stance((0.0, 0.0)), droplets=0).frame
        )
        cup = prepare(raw, FORMAT, segment(), reference("type-01"))
        assert isinstance(cup, CupImage)
        images.append(cup.image().astype(np.int16))
    alike = np.abs(images[0] - images[1]).mean()
    turned_by_hand = np.rot90(images[1], 2)
    assert alike < 3.0
    assert alike < 0.5 * np.abs(images[0] - turned_by_hand).mean()


def test_the_cup_fills_the_image_and_grey_surrounds_it() -> None:
    cup = prepare(mosaic(draw_cup("type-04", 51).frame), FORMAT, segment(), reference("type-04"))
    assert isinstance(cup, CupImage)
    assert cup.image().shape == (SIZE, SIZE, 3)
    away = np.hypot(*(np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2))
    assert (cup.image()[away > RIM_PX + 1.5] == GREY).all()
    assert (cup.image()[away < RIM_PX - 1] == GREY).all(axis=-1).mean() < 0.01
    assert set(cup.stage_ns) == {
        "reduce",
        "segment",
        "outline",
        "demosaic",
        "rim",
        "orientation",
        "warp",
    }


def test_a_place_in_the_cup_image_is_found_again_in_the_frame() -> None:
    frame, truth = draw_cup("type-02", 52, defect=DefectKind.HOLE, severity=1.0, droplets=0)
    clean = draw_cup("type-02", 52, droplets=0).frame
    raw, clean_raw = mosaic(frame), mosaic(clean)
    bad = prepare(raw, FORMAT, segment(), reference("type-02"))
    assert isinstance(bad, CupImage)
    good = prepare(clean_raw, FORMAT, segment(), reference("type-02"))
    assert isinstance(good, CupImage)
    apart = cv2.absdiff(bad.image(), good.image()).sum(axis=2)
    row, column = np.unravel_index(int(cv2.blur(apart, (5, 5)).argmax()), apart.shape)
    place = bad.to_frame @ np.array([column, row, 1.0])
    rows, columns = np.nonzero(truth.defect_mask)
    assert np.hypot(columns - place[0], rows - place[1]).min() < 12.0


def test_an_empty_belt_is_no_cup() -> None:
    for seed in range(3):
        refusal = prepare(mosaic(empty_belt(seed)), FORMAT, segment(), reference("type-01"))
        assert isinstance(refusal, Refusal)
        assert refusal.reason is Reason.NO_CUP
        assert refusal.outline is None


@pytest.mark.parametrize("move", [-1400, -900, 900, 1400])
def test_a_cup_cut_by_the_picture_is_not_taken_for_a_whole_one(move: int) -> None:
    raw = mosaic(draw_cup("type-01", 53).frame)
    belt = mosaic(empty_belt(0))
    cut = np.roll(raw, move, axis=1)
    if move > 0:
        cut[:, :move] = belt[:, :move]
    else:
        cut[:, move:] = belt[:, move:]
    refusal = prepare(cut, FORMAT, segment(), reference("type-01"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.NO_CUP
    assert not any(cup.whole for cup in locate(cut, FORMAT, segment()))


def test_a_frame_of_another_shape_is_looked_at_whole() -> None:
    frame, truth = draw_cup("type-03", 54)
    square = np.ascontiguousarray(frame[:, 510:2370])
    (cup,) = locate(mosaic(square), FORMAT, segment())
    assert cup.whole
    assert abs(cup.x - (truth.centre_xy[0] - 510)) < 6.0


def test_a_type_without_reference_is_cut_out_as_it_lies() -> None:
    raw = mosaic(draw_cup("type-04", 55, angle_deg=77.0).frame)
    cup = prepare(raw, FORMAT, segment(), None)
    assert isinstance(cup, CupImage)
    assert cup.orientation is None
    assert cup.to_frame[0, 1] == 0.0


@pytest.mark.parametrize("seed", [105, 111])
def test_a_cup_near_the_edge_is_one_cup_though_its_mask_has_a_second_arc(seed: int) -> None:
    frame, belt = draw_cup("type-01", seed).frame, empty_belt(8)
    belt[:, :-680] = frame[:, 680:]
    cups = locate(belt, "RGB8", segment())
    assert len(cups) == 1
    assert cups[0].x == pytest.approx(1440 - 680, abs=60)


def test_a_larger_upright_view_shows_more_of_the_frame_and_not_the_cup_image_enlarged() -> None:
    raw = mosaic(draw_cup("type-01", 56).frame)
    view = ViewEntry(rows=768, columns=768)
    cup = prepare(raw, FORMAT, segment(), None, view=view)
    assert isinstance(cup, CupImage)
    assert cup.view.shape == (768, 768, 3)
    reduced = cv2.resize(cup.view, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(reduced - cup.image()).mean() < 0.5
    enlarged = cv2.resize(cup.image(), (768, 768), interpolation=cv2.INTER_CUBIC)
    inside = np.hypot(*(np.mgrid[:768, :768] - 383.5)) < 1.9 * RIM_PX
    detail = [cv2.Laplacian(one, cv2.CV_32F)[inside].std() for one in (cup.view, enlarged)]
    assert detail[0] > 1.5 * detail[1]


@pytest.mark.parametrize("view", [ViewEntry(kind="polar", rows=448, columns=1568), ViewEntry()])
def test_a_view_needs_no_reference(view: ViewEntry) -> None:
    raw = mosaic(draw_cup("type-02", 57).frame)
    cup = prepare(raw, FORMAT, segment(), None, view=view)
    assert isinstance(cup, CupImage)
    assert cup.view.shape == (view.rows, view.columns, 3)
    assert cup.view.std() > 10


def test_a_mask_is_cut_out_and_turned_as_its_cup_was() -> None:
    frame, truth = draw_cup("type-02", 52, defect=DefectKind.HOLE, severity=1.0, droplets=0)
    cup = prepare(mosaic(frame), FORMAT, segment(), reference("type-02"))
    assert isinstance(cup, CupImage)
    on_cup = cut_out(truth.defect_mask.astype(np.uint8) * 255, cup)
    assert on_cup.shape == (SIZE, SIZE)
    rows, columns = np.nonzero(on_cup > 127)
    there = cup.to_frame @ (columns.mean(), rows.mean(), 1.0)
    rows, columns = np.nonzero(truth.defect_mask)
    assert np.hypot(*(there - (columns.mean(), rows.mean()))) < 2.0


@pytest.mark.parametrize(
    ("view", "size"),
    [
        (ViewEntry(rows=768, columns=768), (SIZE, SIZE)),
        (ViewEntry(kind="whole", rows=200, columns=320), (200, 320)),
    ],
)
def test_heat_comes_back_where_it_was_seen(view: ViewEntry, size: tuple[int, int]) -> None:
    heat = np.zeros((10, 16), np.float32)
    heat[2, 12] = 1.0
    back = heat_on_cup(heat, view)
    assert back.shape == size
    row, column = np.unravel_index(int(back.argmax()), back.shape)
    assert row / size[0] == pytest.approx(2.5 / 10, abs=0.02)
    assert column / size[1] == pytest.approx(12.5 / 16, abs=0.02)


@pytest.mark.parametrize("shape", [(0, 0), (0, 9), (1, 400)])
def test_a_frame_without_pixels_is_refused_by_name(shape: tuple[int, int]) -> None:
    with pytest.raises(PixelError, match="shows nothing"):
        prepare(np.zeros(shape, np.uint8), FORMAT, segment(), None)


@pytest.mark.parametrize("moved", [-124, -80, -1500, 300, 1300])
def test_where_one_belts_light_ends_and_anothers_begins_there_is_no_cup(moved: int) -> None:
    # The twin's cups each bring their own exposure along; a real belt has splices.
    cup, belt = next(CupStream("type-01", 8)), empty_belt(8)
    if moved < 0:
        belt[:, :moved] = cup.frame[:, -moved:]
    else:
        belt[:, moved:] = cup.frame[:, :-moved]
    place = cup.truth.centre_xy[0] + moved
    cups = locate(mosaic(belt), FORMAT, segment())
    assert [pytest.approx(cup.x, abs=40) for cup in cups] == [place] * (0 < place < 2880)
