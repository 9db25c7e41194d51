"""``inspector teach`` and ``inspector evaluate`` as a process engineer types them, on a set in small."""

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from inspector.cli import app
from inspector.core.errors import RecipeError
from inspector.detector import commands, distilling
from inspector.detector.bundle import Clean
from inspector.detector.evaluation import evaluate
from inspector.detector.lesson import Lesson
from inspector.detector.networks import FeatureNetwork, load_teacher
from inspector.detector.preparation import Prepared
from inspector.detector.promise import promised_threshold
from inspector.recipe import Teacher
from inspector.recipe.sources import SOURCES, Committed
from inspector.vision import UPRIGHT
from tests.detector.test_evaluation import CALIBRATION, brightness, refused, seen

RUN = CliRunner()
PROJECT = Path(__file__).parents[2]


def _thing(seed: int) -> NDArray[np.uint8]:
    """A disc with a print and a grain of its own."""
    random = np.random.default_rng(seed)
    picture = np.full((150, 150, 3), 120.0)
    row, column = np.mgrid[:150, :150]
    picture[np.hypot(row - 75, column - 75) < 65] = (190, 200, 205)
    picture[50:64, 60:100] = (90, 70, 60)
    return np.clip(picture + random.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("things")
    for kind in ("train/good", "test/good", "test/burnt", "ground_truth/burnt"):
        (folder / kind).mkdir(parents=True)
    for part in ("test", "ground_truth"):
        (folder / part / "[un]marked").mkdir()
    for number in range(5):
        cv2.imwrite(str(folder / "train/good" / f"{number}.png"), _thing(number))
        cv2.imwrite(str(folder / "test/good" / f"{number}.png"), _thing(100 + number))
    for number in range(3):
        burnt, mask = _thing(200 + number), np.zeros((150, 150), np.uint8)
        cv2.circle(mask, (55 + 15 * number, 100), 9, 255, -1)
        burnt[mask > 0] = (20, 30, 40)
        cv2.imwrite(str(folder / "test/burnt" / f"{number}.png"), burnt)
        cv2.imwrite(str(folder / "ground_truth/burnt" / f"{number}_mask.png"), mask)
    cv2.imwrite(str(folder / "test/[un]marked/7.png"), burnt)
    cv2.imwrite(str(folder / "ground_truth/[un]marked/7_mask.png"), 0 * mask)
    return folder


def _teach(images: Path, out: Path, *more: str) -> tuple[int, str]:
    given = f"teach --name thing --images {images} --out {out}/thing --models {out}/models"
    result = RUN.invoke(app, [*given.split(), "--no-background", "--threads", "1", *more])
    return result.exit_code, " ".join(result.output.split())  # lines break where the terminal does


@pytest.fixture(scope="module")
def taught(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Where a recipe of the set and its networks lie, and what was told."""
    folder = tmp_path_factory.mktemp("taught")
    code, told = _teach(dataset, folder)
    assert code == 0, told
    return folder, told


def _evaluate(taught: Path, dataset: Path, *more: str) -> tuple[int, str]:
    given = f"evaluate --recipe {taught}/thing --dataset {dataset} --models {taught}/models"
    result = RUN.invoke(app, [*given.split(), "--threads", "1", *more])
    return result.exit_code, " ".join(result.output.split())


def test_five_clean_pictures_in_and_what_is_burnt_is_found(
    dataset: Path, taught: tuple[Path, str], tmp_path: Path
) -> None:
    folder, told = taught
    assert "is whole and agrees with its golden images" in told
    assert "that takes 294 more pictures" in told
    figures, sheet = tmp_path / "figures.json", tmp_path / "sheet.png"
    more = f"--no-background --no-orientation --json {figures} --sheet {sheet}"
    code, told = _evaluate(folder, dataset, *more.split())
    assert code == 0, told
    found = json.loads(figures.read_text())
    assert found["image_auroc"] == 1.0
    assert found["pixel_auroc"] > 0.9
    counts = {"images": 3, "rejected": 3, "refused": 0, "image_auroc": 1.0}
    assert found["kinds"]["burnt"] == counts
    assert "│ [un]marked │ 1 " in told
    assert "1 of 4 defective pictures have masks that mark nothing (first: [un]marked/7)" in told
    assert cv2.imread(str(sheet)) is not None


def test_a_picture_in_two_of_the_folders_given_is_one(dataset: Path, tmp_path: Path) -> None:
    code, told = _teach(dataset, tmp_path, "--images", f"{dataset}/test/../train")
    assert code == 0, told
    assert "that takes 294 more pictures" in told


def _deepened(dataset: Path, folder: Path) -> Path:
    """The same set as a camera of 12 bits delivers it that nobody has given enough light."""
    for path in sorted(dataset.rglob("*.png")):
        copy = folder / path.relative_to(dataset)
        copy.parent.mkdir(parents=True, exist_ok=True)
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert picture is not None
        deep = picture if "ground_truth" in copy.parts else picture.astype(np.uint16) * 3
        cv2.imwrite(str(copy), deep)
    return folder


def _glint(path: Path, sample: int) -> None:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    picture[0, 0] = sample
    cv2.imwrite(str(path), picture)


def test_test_pictures_are_read_as_bright_as_those_that_a_recipe_was_taught_from(
    dataset: Path, tmp_path: Path
) -> None:
    deep = _deepened(dataset, tmp_path / "deep")
    _glint(deep / "train/good/0.png", 4095)
    code, told = _teach(deep, tmp_path)
    assert code == 0, told
    assert "16-bit pictures are read as 12-bit samples" in told
    figures = tmp_path / "figures.json"
    code, told = _evaluate(tmp_path, deep, "--json", str(figures))
    assert code == 0, told
    found = json.loads(figures.read_text())
    assert (found["detection_rate"], found["false_reject_rate"]) == (1.0, 0.0)
    _glint(deep / "test/good/0.png", 4096)
    code, told = _evaluate(tmp_path, deep)
    assert code == 2
    assert "good/0.png has samples up to 4096, more than the 12 bits" in told


def test_test_pictures_of_another_shape_than_the_clean_ones_are_not_bent_into_it(
    dataset: Path, taught: tuple[Path, str], tmp_path: Path
) -> None:
    wide = tmp_path / "wide"
    for path in dataset.rglob("*.png"):
        copy = wide / path.relative_to(dataset)
        copy.parent.mkdir(parents=True, exist_ok=True)
        picture = cv2.imread(str(path))
        assert picture is not None
        cv2.imwrite(str(copy), np.hstack([picture, picture[:, :50]]))
    code, told = _evaluate(taught[0], wide)
    assert code == 2, told
    assert "9 of 9 pictures have another shape than the clean ones" in told
    assert "test/[un]marked/7.png (200×150)" in told
    assert "crop them like these, or teach from clean pictures of their shape" in told


def test_what_vision_refuses_is_told_to_be_rejected_and_in_none_of_the_other_figures() -> None:
    pictures = [
        seen("good", 5),
        refused("good"),
        seen("crack", 90),
        refused("crack"),
        refused("hole"),
    ]
    result = evaluate(CALIBRATION, UPRIGHT, pictures, brightness)
    told = (
        "3 of 5 pictures were refused by vision: they count as rejected, and are left out of AUROC"
    )
    assert [caveat.startswith(told) for caveat in commands._caveats(result)] == [True]


@pytest.mark.parametrize(
    ("pictures", "message"),
    [(0, "is empty"), (1, "record more")],
)
def test_too_few_pictures_end_in_one_line_and_leave_nothing_behind(
    pictures: int, message: str, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(pictures):
        cv2.imwrite(str(images / f"{number}.png"), _thing(number))
    code, told = _teach(images, tmp_path)
    assert code == 2
    assert message in told
    assert "Traceback" not in told
    assert not (tmp_path / "thing").exists()


COMMITTED = f"--recipe {PROJECT}/calibration/type-01 --models {PROJECT}/models"


def test_cups_that_a_line_turns_upright_are_not_evaluated_as_they_lie(tmp_path: Path) -> None:
    """No line would have these figures."""
    given = f"evaluate {COMMITTED} --dataset {tmp_path} --no-orientation"
    result = RUN.invoke(app, given.split())
    assert result.exit_code == 2, result.output
    assert "leave out --no-orientation, or teach " in result.output


@pytest.mark.parametrize("option", ["--json", "--sheet"])
def test_a_file_that_cannot_be_written_is_refused_before_a_picture_is_looked_at(
    option: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    given = f"evaluate {COMMITTED} --dataset {tmp_path}/none {option} {tmp_path}/file/out"
    result = RUN.invoke(app, given.split())
    assert result.exit_code == 2, result.output
    assert f"cannot write {tmp_path}/file/out: " in result.output


def test_a_recipe_that_cannot_be_written_is_refused_before_its_graphs_are(
    dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "thing").touch()
    code, told = _teach(dataset, tmp_path)
    assert code == 2
    assert f"cannot write {tmp_path}/thing/recipe.json: Not a directory; " in told
    assert not (tmp_path / "models").exists()


def test_ctrl_c_is_answered_by_where_the_training_is_and_how_it_goes_on(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "thing" / "training.checkpoint.safetensors"

    def interrupted(*_given: object, **_named: object) -> None:
        kept.parent.mkdir()
        kept.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "teach", interrupted)
    code, told = _teach(dataset, tmp_path)
    assert code == 130
    assert f"What is trained is in {kept}; the same command goes on from there." in told


@pytest.mark.parametrize("command", ["adapt", "distil"])
def test_a_teacher_that_cannot_be_written_is_refused_before_the_hours_that_it_takes(
    command: str, tmp_path: Path
) -> None:
    given = f"{command} --images {tmp_path}/none --out {tmp_path}"
    result = RUN.invoke(app, given.split())
    assert result.exit_code == 2, result.output
    assert f"cannot write {tmp_path}: it is a folder; " in result.output


def test_a_distilled_teacher_is_read_once_it_is_named_as_the_command_says(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def distilled(_files: object, _plan: object, checkpoint: Path, _progress: object) -> object:
        checkpoint.touch()
        return FeatureNetwork(distilling.SMALL)

    monkeypatch.setattr(distilling, "distil", distilled)
    given = f"distil --images {dataset}/train --out {tmp_path}/own.safetensors --threads 1"
    result = RUN.invoke(app, given.split())
    assert result.exit_code == 0, result.output
    named = re.search(
        r"name it in (\S+): file (own\.safetensors), sha256 ([0-9a-f]{64})$",
        result.output,
        re.MULTILINE,
    )
    assert named is not None, result.output
    assert (PROJECT / named[1]).is_file()
    own = replace(SOURCES["inspector-deit-tiny"], origin=Committed(named[2], named[3]))
    monkeypatch.setattr("inspector.recipe.sources.SOURCES", {"own": own})
    load_teacher(Teacher("own", rows=64, columns=64), tmp_path)


def test_an_unknown_strategy_is_refused_with_the_list(dataset: Path, tmp_path: Path) -> None:
    code, told = _teach(dataset, tmp_path, "--strategy", "luck")
    assert code == 2
    assert "stained-shape" in told


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("--strategy transfer", "a type is taught from its own alone; leave it out"),
        ("--width 131", "a student cannot be 131 channels wide; use a multiple of 64"),
    ],
)
def test_a_student_that_cannot_be_trained_is_refused_before_a_picture_is_looked_at(
    option: str, why: str, dataset: Path, tmp_path: Path
) -> None:
    code, told = _teach(dataset, tmp_path, *option.split())
    assert code == 2, told
    assert why in told
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("command", ["teach --name thing", "adapt --out a", "distil --out a"])
def test_a_seed_below_nought_is_refused_by_name(command: str, dataset: Path) -> None:
    result = RUN.invoke(app, [*command.split(), "--images", str(dataset), "--seed", "-1"])
    assert result.exit_code == 2, result.output
    assert "--seed" in result.output


def _lesson(monkeypatch: pytest.MonkeyPatch, images: Path, out: Path, *more: str) -> Lesson:
    """With what would be taught."""
    given: list[Lesson] = []

    def caught(lesson: Lesson, *_rest: object, **_more: object) -> None:
        given.append(lesson)
        raise RecipeError("nothing was taught", "it was only asked for")

    monkeypatch.setattr(commands, "teach", caught)
    code, told = _teach(images, out, *more)
    assert (code, "nothing was taught" in told) == (2, True), told
    return given[0]


def test_as_published_means_the_papers_plan_and_its_final_norm(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson = _lesson(monkeypatch, dataset, tmp_path, "--as-published", "--scorer", "student")
    assert lesson.teacher.output_norm == "final"
    assert (lesson.plan.start, lesson.plan.decay) == ("random", False)
    assert lesson.plan.steps == 160 * 5


def test_as_published_means_160_epochs_of_what_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(24):
        cv2.imwrite(str(images / f"{number}.png"), _thing(number))
    lesson = _lesson(monkeypatch, images, tmp_path, "--as-published")
    assert lesson.plan.steps == 160 * 18
    asked_for = _lesson(monkeypatch, images, tmp_path, "--as-published", "--steps", "7")
    assert asked_for.plan.steps == 7


def test_what_more_pictures_it_takes_is_told_of_those_recorded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of 84, a student's threshold has 21."""
    promise = promised_threshold(np.arange(21.0), 0.01)
    commands._tell(replace(promise, images_needed=4 * promise.images_needed, recorded=84))
    assert "that takes 1112 more pictures" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["empty.png", "set [old]/empty.png", "set[/old]/:x:.png"])
def test_clean_cups_that_vision_refuses_are_named_and_counted(
    name: str, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = ((Path(name), "no whole cup in the picture"),)
    views, files = np.zeros((2, 8, 8, 3), np.uint8), (Path("1.png"), Path("2.png"))
    prepared = Prepared(views, files, refused, 1, None, ())
    monkeypatch.setattr(commands, "_prepared", lambda *_given: (prepared, None))

    def caught(_lesson: Lesson, clean: Clean, *_rest: object, **_more: object) -> None:
        raise RecipeError(f"{clean.rejected} counted as rejected", "it was only asked for")

    monkeypatch.setattr(commands, "teach", caught)
    _, told = _teach(dataset, tmp_path)
    assert f"left out {name}: no whole cup in the picture" in told
    assert "1 of these the line would refuse as well" in told
    assert "1 counted as rejected" in told


def test_each_command_explains_itself_without_being_loaded_for_the_list() -> None:
    listed = RUN.invoke(app, ["--help"]).output
    assert all(name in listed for name in ("teach", "evaluate", "sweep", "distil", "twin"))
    assert "--keep-suspects" in RUN.invoke(app, ["teach", "--help"]).output
