"""The thresholds of a taught recipe fitted anew: another false-reject rate, the same networks."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import RecipeError
from inspector.detector.calibrating import calibrate
from inspector.detector.evaluation import Distances
from inspector.detector.preparation import chosen
from inspector.detector.promise import Promise
from inspector.detector.teaching import how_fitted, scale_of
from inspector.recipe import Recipe, load_recipe, write_recipe
from inspector.recipe.manifest import FileEntry
from inspector.recipe.recipe import array_bytes

SCALE = "position-scale.npy"


def recalibrate(
    recipe: Recipe,
    models: Path,
    views: NDArray[np.uint8],
    distances: Distances,
    wanted: float,
    seed: int = 0,
) -> tuple[Recipe, Promise]:
    """Fit scale, quantiles and thresholds anew and write the recipe with its next version.

    Args:
        recipe: a taught one.
        models: where its networks are.
        views: the clean pictures it was taught from, all of them, in the same order.
        distances: its detector.
        wanted: false-reject rate asked for.
        seed: of the teaching, which says which pictures trained.

    Raises:
        RecipeError: these are not as many pictures as it was taught from.
    """
    old = recipe.manifest
    count = old.calibration.training_images + old.calibration.threshold_images
    if len(views) != count:
        raise RecipeError(
            f"{recipe.label} was taught from {count} pictures, here are {len(views)}",
            "give what 'prepare' wrote for it, or teach the type again",
        )
    training, held_out = chosen(len(views), old.calibration.training_images, seed)
    scale = scale_of(old.view)(distances(views[training]))
    share = old.calibration.score_share
    calibration, promise = calibrate(distances(views[held_out]), scale, wanted, share)
    content = array_bytes(scale)
    student = old.calibration.how.partition("Position scale:")[0]
    entry = old.calibration.model_copy(
        update={
            "q_a": calibration.q_a,
            "q_b": calibration.q_b,
            "image_threshold": calibration.image_threshold,
            "pixel_threshold": calibration.pixel_threshold,
            "position_scale": FileEntry(file=SCALE, sha256=hashlib.sha256(content).hexdigest()),
            "false_reject_rate": promise.false_reject_rate,
            "how": student + how_fitted(old.view, promise),
        }
    )
    manifest = old.model_copy(update={"version": old.version + 1, "calibration": entry})
    write_recipe(recipe.folder, manifest, {SCALE: content})
    return load_recipe(recipe.folder, models), promise
