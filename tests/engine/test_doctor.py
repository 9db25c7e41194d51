"""What the doctor says of a lane's networks."""

from pathlib import Path

import pytest

from inspector.config import CameraSettings, LaneSettings, LineSettings
from inspector.core.errors import EngineError
from inspector.doctor import check_recipe
from inspector.engine.detector import Detector
from inspector.recipe import Recipe, load_recipe

ROOT = Path(__file__).parents[2]


@pytest.fixture
def line() -> LineSettings:
    lane = LaneSettings(
        name="lane-1",
        recipe=ROOT / "calibration" / "type-01",
        camera=CameraSettings(producer=Path("none.cti")),
    )
    return LineSettings(lanes=(lane,), models=ROOT / "models", engine="onnxruntime")


def test_the_engine_has_a_row_of_its_own_that_says_how_near_the_golden_maps_it_is(
    line: LineSettings,
) -> None:
    whole, proven = check_recipe("lane-1 recipe", line.lanes[0].recipe, line, prove=True)
    assert (whole.check, whole.level) == ("lane-1 recipe", "ok")
    assert (proven.check, proven.level) == ("lane-1 recipe: engine", "ok")
    assert proven.text.startswith("onnxruntime in float32 is within ")
    band = load_recipe(line.lanes[0].recipe, line.models).manifest.golden.band.map
    assert f"of the golden maps ({band:.2g} is allowed); as configured" in proven.text


def test_an_engine_that_disagrees_is_an_error_in_its_own_row(
    line: LineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disagree(_recipe: Recipe, _detector: Detector) -> float:
        raise EngineError("the networks disagree with golden image 1", "check CPU and backend")

    monkeypatch.setattr("inspector.engine.choice.verify_golden", disagree)
    whole, refused = check_recipe("lane-1 recipe", line.lanes[0].recipe, line, prove=True)
    assert whole.level == "ok"
    assert (refused.check, refused.level) == ("lane-1 recipe: engine", "error")
    assert refused.remedy == "check CPU and backend"


def test_a_line_that_starts_proves_its_recipes_itself(line: LineSettings) -> None:
    (whole,) = check_recipe("lane-1 recipe", line.lanes[0].recipe, line, prove=False)
    assert whole.check == "lane-1 recipe"
