"""What a lane looks with when its recipe cannot be loaded."""

from pathlib import Path
from typing import Any

import pytest

import inspector.inspection.__main__ as process
from inspector.config import CameraSettings, LaneSettings, LineSettings
from inspector.core.part import PartId
from inspector.core.verdict import Reason


def test_a_line_that_runs_rejects_and_says_why_whatever_its_new_recipe_fails_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_given: object, **_named: object) -> None:
        raise MemoryError("no room for the teacher")

    monkeypatch.setattr(process, "Judge", fails)
    camera = CameraSettings(producer=Path("none.cti"))
    lane = LaneSettings(name="lane-1", recipe=Path("none"), camera=camera)
    nothing: Any = None
    line = LineSettings(lanes=(lane,))
    eyes = process._eyes(line, nothing, nothing, nothing, Path("new"), resuming=True)
    assert eyes.fault == "MemoryError: no room for the teacher"
    refused = eyes.examine(nothing, PartId("lane-1", 1, 1), nothing, "Mono8", None)
    assert (refused.verdict.reason, refused.fault) == (Reason.ENGINE_ERROR, eyes.fault)
    with pytest.raises(MemoryError):
        process._eyes(line, nothing, nothing, nothing, Path("new"), resuming=False)
