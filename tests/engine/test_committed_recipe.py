"""The recipe that comes with the project: whole, and reproduced by this machine's engine."""

from pathlib import Path

import numpy as np
import pytest

from inspector.decision import judge
from inspector.engine import Detector, open_detector, verify_golden
from inspector.recipe import Recipe, load_recipe
from inspector.vision import heat_on_cup

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(ROOT / "calibration" / "type-01", ROOT / "models")


@pytest.fixture(scope="module")
def detector(recipe: Recipe) -> Detector:
    return open_detector(recipe)


def test_its_engine_is_within_a_tenth_of_its_band(recipe: Recipe, detector: Detector) -> None:
    assert verify_golden(recipe, detector) < 0.1 * recipe.manifest.golden.band.map


def test_its_clean_golden_cup_passes_and_the_stained_ones_do_not(
    recipe: Recipe, detector: Detector
) -> None:
    clean, *stained = detector.distances(recipe.golden_images)
    assert not judge(clean, recipe.calibration).defective
    assert all(judge(distance, recipe.calibration).defective for distance in stained)


def test_a_cup_with_a_dark_blot_is_rejected_where_the_blot_is(
    recipe: Recipe, detector: Detector
) -> None:
    view = recipe.manifest.view
    cup = recipe.golden_images[0].copy()
    row, column = int(0.65 * view.rows), int(0.4 * view.columns)
    cup[row : row + 25, column : column + 25] //= 3
    blot = np.zeros((view.rows, view.columns), np.float32)
    blot[row : row + 25, column : column + 25] = 1
    judgement = judge(
        detector.distances([cup])[0], recipe.calibration, lambda heat: heat_on_cup(heat, view)
    )
    assert judgement.defective
    hottest = judgement.regions[0]
    y, x = np.argwhere(heat_on_cup(blot, view) > 0.5).mean(axis=0)
    assert hottest.x <= x <= hottest.x + hottest.width
    assert hottest.y <= y <= hottest.y + hottest.height
