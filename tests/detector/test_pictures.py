"""Picture files of every kind the trade brings are read alike, and what is none is refused by name."""

import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inspector.core.errors import RecipeError
from inspector.detector.pictures import check_alike, picture_files, read_mask, survey
from inspector.vision import demosaic

NOBODY = 65534


def scene(rows: int = 60, columns: int = 80) -> NDArray[np.uint8]:
    """Blurred colours, RGB."""
    colours = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(colours, (columns, rows)), np.uint8)


def saved(path: Path, picture: NDArray[np.generic]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = picture[..., [2, 1, 0, *range(3, picture.shape[2])]] if picture.ndim == 3 else picture
    assert cv2.imwrite(str(path), np.ascontiguousarray(stored))
    return path


def colour(*paths: Path) -> NDArray[np.uint8]:
    """The first of a set."""
    return survey(paths).colour(paths[0])


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".TIFF", ".bmp", ".ppm", ".pnm"])
def test_a_picture_is_read_as_it_was_saved(tmp_path: Path, suffix: str) -> None:
    assert np.array_equal(colour(saved(tmp_path / f"a{suffix}", scene())), scene())


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".jpe", ".webp", ".jp2"])
def test_a_lossy_picture_is_read_nearly_as_it_was_saved(tmp_path: Path, suffix: str) -> None:
    off = colour(saved(tmp_path / f"a{suffix}", scene())).astype(int) - scene()
    assert np.abs(off).mean() < 4


def test_a_grey_picture_has_three_equal_channels(tmp_path: Path) -> None:
    grey = scene()[..., 1]
    assert np.array_equal(colour(saved(tmp_path / "a.png", grey)), np.dstack([grey] * 3))


def test_what_is_see_through_counts_as_solid(tmp_path: Path) -> None:
    clear = np.dstack([scene(), np.zeros((60, 80), np.uint8)])
    assert np.array_equal(colour(saved(tmp_path / "a.png", clear)), scene())


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_a_picture_taken_on_its_side_is_turned_upright(tmp_path: Path, suffix: str) -> None:
    picture = Image.fromarray(scene())
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / f"a.{suffix}", exif=exif)
    read = colour(tmp_path / f"a.{suffix}")
    assert read.shape == (80, 60, 3)
    assert np.abs(read.astype(int) - np.rot90(scene(), -1)).mean() < 8


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_the_bits_of_deep_pictures_are_told_from_the_whole_set(
    tmp_path: Path, bits: int, suffix: str
) -> None:
    deep = scene().astype(np.uint16) << (bits - 8)
    dark = deep // 16
    bright = deep.copy()
    bright[0, 0] = 2**bits - 1
    files = [saved(tmp_path / f"{n}.{suffix}", one) for n, one in enumerate([deep, dark, bright])]
    pictures = survey(files)
    assert pictures.bits == bits
    assert np.array_equal(pictures.colour(files[0]), scene())
    assert pictures.colour(files[1]).mean() == pytest.approx(scene().mean() / 16, abs=1)


def test_pictures_to_compare_are_read_with_the_bits_of_those_they_are_compared_with(
    tmp_path: Path,
) -> None:
    dim = saved(tmp_path / "dim.png", scene().astype(np.uint16) << 1)
    assert survey([dim]).bits == 10
    assert survey([dim], bits=12).colour(dim).mean() == pytest.approx(scene().mean() / 8, abs=1)
    shallow = saved(tmp_path / "shallow.png", scene())
    assert np.array_equal(survey([shallow], bits=12).colour(shallow), scene())


def test_a_picture_brighter_than_the_bits_it_is_to_be_read_with_is_refused_by_name(
    tmp_path: Path,
) -> None:
    dim = saved(tmp_path / "dim.png", scene().astype(np.uint16))
    glint = scene().astype(np.uint16)
    glint[3, 4] = 1024
    bright = saved(tmp_path / "bright.png", glint)
    with pytest.raises(RecipeError, match=r"bright\.png has samples up to 1024, more than the 10"):
        survey([dim, bright], bits=10)


def test_among_deep_pictures_a_shallow_one_stays_as_it_is(tmp_path: Path) -> None:
    deep = saved(tmp_path / "deep.png", scene().astype(np.uint16) << 4)
    assert np.array_equal(colour(saved(tmp_path / "shallow.png", scene()), deep), scene())


def test_a_frame_saved_in_colour_gives_back_the_camera_s_own_samples(tmp_path: Path) -> None:
    raw = np.random.default_rng(0).integers(0, 255, (60, 80), dtype=np.uint8)
    path = saved(tmp_path / "frame.png", demosaic(raw, "BayerRG8"))
    assert np.array_equal(survey([path]).mosaic(path)[1:-1, 1:-1], raw[1:-1, 1:-1])


@pytest.mark.parametrize("bits", [8, 12])
def test_a_frame_of_one_channel_is_taken_for_raw(tmp_path: Path, bits: int) -> None:
    raw = np.random.default_rng(0).integers(0, 255, (60, 80), dtype=np.uint8)
    stored = raw if bits == 8 else raw.astype(np.uint16) << (bits - 8)
    path = saved(tmp_path / "frame.png", stored)
    assert np.array_equal(survey([path]).mosaic(path), raw)


def _spoil(path: Path, how: str) -> None:
    if how == "nothing in it":
        path.write_bytes(b"")
    elif how == "words":
        path.write_text("no picture")
    elif how == "half of it":
        saved(path, scene())
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif how == "a broken middle":
        saved(path, scene())
        content = bytearray(path.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 20] = b"\x55" * 20
        path.write_bytes(content)
    elif how == "a link to nowhere":
        path.symlink_to(path.parent / "gone.png")
    else:
        saved(path, scene().astype(np.float32))


@pytest.mark.parametrize(
    ("name", "how", "message"),
    [
        ("a.png", "nothing in it", "is empty"),
        ("a.png", "words", "is not a picture"),
        ("a.jpg", "words", "is not a picture"),
        *((f"a.{s}", "half of it", "truncated or damaged") for s in ("png", "jpg", "bmp", "webp")),
        ("a.tif", "half of it", "truncated or damaged"),
        ("a.png", "a broken middle", "truncated or damaged"),
        ("a.png", "a link to nowhere", "cannot be read"),
        ("a.tif", "fractions", "holds float32 samples"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    tmp_path: Path, name: str, how: str, message: str
) -> None:
    saved(tmp_path / "good.png", scene())
    _spoil(tmp_path / name, how)
    with pytest.raises(RecipeError, match=rf"{name} .*{message}.*; ") as refusal:
        survey(picture_files(tmp_path))
    assert "good.png" not in str(refusal.value)


def test_a_file_that_may_not_be_read_is_refused_by_name() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = saved(Path(folder) / "a.png", scene())
        Path(folder).chmod(0o755)
        path.chmod(0)
        root = os.geteuid() == 0
        if root:  # which may read everything
            os.seteuid(NOBODY)
        try:
            with pytest.raises(RecipeError, match=r"a\.png cannot be read: Permission denied"):
                survey([path])
        finally:
            if root:
                os.seteuid(0)


def test_of_many_bad_files_the_first_are_named_and_all_are_counted(tmp_path: Path) -> None:
    for number in range(5):
        _spoil(tmp_path / f"{number}.png", "words")
    saved(tmp_path / "good.png", scene())
    with pytest.raises(RecipeError, match=r"5 of 6 pictures.*0\.png.*2\.png.*and 2 more"):
        survey(picture_files(tmp_path))


def test_many_bad_files_are_told_each_remedy_once(tmp_path: Path) -> None:
    for number in range(2):
        _spoil(tmp_path / f"{number}.tif", "fractions")
    with pytest.raises(RecipeError) as refusal:
        survey(picture_files(tmp_path))
    assert refusal.value.remedy == "of each: save it with 8 or 16 bits a sample"
    _spoil(tmp_path / "3.png", "words")
    with pytest.raises(RecipeError) as refusal:
        survey(picture_files(tmp_path))
    both = "of each: save it with 8 or 16 bits a sample, or copy it again, or remove it"
    assert refusal.value.remedy == both


def test_pictures_are_found_in_order_and_nothing_else_is(tmp_path: Path) -> None:
    shown = ("a.jpg", "b.PNG", "c.pgm", "d.jfif", "deeper/c.webp")
    hidden = (".hidden/d.png", "._a.jpg", "__MACOSX/a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg")
    for name in shown + hidden:
        saved(tmp_path / "x.png", scene()).rename(_made(tmp_path / name))
    (tmp_path / "readme.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    found = [str(path.relative_to(tmp_path)) for path in picture_files(tmp_path)]
    assert found == list(shown)


def test_a_picture_of_a_kind_that_is_not_read_is_named_and_not_left_out(tmp_path: Path) -> None:
    saved(tmp_path / "a.png", scene())
    (tmp_path / "b.HEIC").write_bytes(b"a phone's")
    with pytest.raises(RecipeError, match=r"b\.HEIC is of a kind that is not read; save it as PNG"):
        picture_files(tmp_path)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_pictures_behind_a_link_to_a_folder_are_found_and_a_link_that_leads_back_ends(
    tmp_path: Path,
) -> None:
    saved(tmp_path / "disk/1.png", scene())
    folder = tmp_path / "clean"
    folder.mkdir()
    (folder / "monday").symlink_to(tmp_path / "disk")
    (folder / "tuesday").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/back").symlink_to(folder)
    assert picture_files(folder) == [folder / "monday/1.png", folder / "tuesday/1.png"]


def test_a_folder_inside_that_may_not_be_read_is_refused_by_name_and_not_left_out() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        saved(folder / "monday/1.png", scene())
        saved(folder / "tuesday/2.png", scene())
        folder.chmod(0o755)
        (folder / "tuesday").chmod(0)
        root = os.geteuid() == 0
        if root:  # which may read everything
            os.seteuid(NOBODY)
        try:
            with pytest.raises(RecipeError, match="tuesday cannot be read: Permission denied"):
                picture_files(folder)
        finally:
            if root:
                os.seteuid(0)
            (folder / "tuesday").chmod(0o755)


@pytest.mark.parametrize(
    ("inside", "message"),
    [(None, "cannot be read: No such file"), ("", "is empty"), ("a.txt", "holds no pictures")],
)
def test_a_folder_without_pictures_is_refused(
    tmp_path: Path, inside: str | None, message: str
) -> None:
    folder = tmp_path / "clean"
    if inside is not None:
        folder.mkdir()
    if inside:
        (folder / inside).write_text("no picture")
    with pytest.raises(RecipeError, match=rf"clean {message}"):
        picture_files(folder)


def test_copies_are_found_whatever_file_they_are_in(tmp_path: Path) -> None:
    files = [
        saved(tmp_path / "a.png", scene()),
        saved(tmp_path / "b.bmp", scene()),
        saved(tmp_path / "c.png", 255 - scene()),
    ]
    assert survey(files).copies == ((files[1], files[0]),)


def test_one_picture_of_another_shape_is_refused_with_its_size(tmp_path: Path) -> None:
    files = [saved(tmp_path / f"{n}.png", scene(60, 80 + n)) for n in range(4)]
    check_alike(survey(files))
    files.append(saved(tmp_path / "tall.png", scene(80, 60)))
    with pytest.raises(RecipeError, match=r"1 of 5 pictures.*tall\.png \(60×80\)"):
        check_alike(survey(files))


def test_pictures_are_as_wide_as_those_they_are_compared_with(tmp_path: Path) -> None:
    wide = survey([saved(tmp_path / f"{n}.png", scene(60, 80 + n)) for n in range(3)])
    check_alike(wide, aspect=1.3)
    with pytest.raises(
        RecipeError, match=r"3 of 3 .* the clean ones, whose width is 1\.00 .*0\.png"
    ):
        check_alike(wide, aspect=1.0)


def blot(rows: int = 60, columns: int = 80) -> NDArray[np.bool_]:
    mask = np.zeros((rows, columns), np.bool_)
    mask[rows // 3 : rows // 2, columns // 4 : columns // 2] = True
    return mask


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.jpg", "a.PNG"])
@pytest.mark.parametrize("bright", [1, 255])
def test_a_mask_marks_the_same_pixels_whatever_it_is_saved_as(
    tmp_path: Path, name: str, bright: int
) -> None:
    path = saved(tmp_path / name, blot().astype(np.uint8) * np.uint8(bright))
    marked = read_mask(path, (60, 80))
    assert (marked != blot()).mean() < (0.02 if name.endswith("jpg") else 1e-9)


def test_a_mask_that_numbers_its_defects_marks_all_of_them(tmp_path: Path) -> None:
    numbered = blot() * np.uint8(3)
    numbered[0, 0] = 1
    numbered[0, 1] = 255
    assert read_mask(saved(tmp_path / "a.png", numbered), (60, 80)).sum() == blot().sum() + 2


def test_a_mask_with_soft_edges_is_cut_at_half(tmp_path: Path) -> None:
    soft = cv2.GaussianBlur(blot() * np.float32(255), (0, 0), 2)
    marked = read_mask(saved(tmp_path / "a.png", soft.astype(np.uint8)), (60, 80))
    assert (marked != blot()).mean() < 0.01


@pytest.mark.parametrize("channels", [1, 3])
def test_a_deep_or_coloured_mask_counts_like_any_other(tmp_path: Path, channels: int) -> None:
    deep = np.dstack([blot().astype(np.uint16)] * channels).squeeze()
    assert np.array_equal(read_mask(saved(tmp_path / "a.png", deep), (60, 80)), blot())


def test_a_smaller_mask_of_the_same_shape_is_brought_to_the_picture_s_size(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", blot(30, 40) * np.uint8(255))
    assert (read_mask(path, (60, 80)) != blot()).mean() < 0.01


def test_a_mask_of_another_shape_is_refused_with_both_sizes(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", blot(60, 60) * np.uint8(255))
    with pytest.raises(RecipeError, match=r"a\.png has 60×60 pixels, its picture 80×60"):
        read_mask(path, (60, 80))
