"""A recipe is whole and unchanged, or the line says which file is wrong and does not start."""

import json
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inspector.core.errors import RecipeError
from inspector.recipe import load_recipe, write_recipe
from inspector.recipe.manifest import FORMAT
from tests.recipe.conftest import OnDisk


def test_a_written_recipe_is_read_back_as_it_was(small_recipe: OnDisk) -> None:
    recipe = load_recipe(small_recipe.folder, small_recipe.models)
    assert recipe.manifest == small_recipe.manifest
    assert recipe.label.startswith("type-09 v1 ")
    assert recipe.golden_images.shape == (2, 384, 384, 3)
    assert recipe.golden_distances.dtype == np.float32
    assert recipe.calibration.image_threshold == 2.0
    assert recipe.orientation == small_recipe.folder / "orientation.npz"
    assert recipe.background == small_recipe.models / "background.onnx"
    assert (recipe.teacher.rows, recipe.teacher.columns) == (280, 280)


def test_a_recipe_of_before_keeps_its_hash_and_what_it_knows_since_is_in_that(
    small_recipe: OnDisk,
) -> None:
    manifest = small_recipe.manifest
    of_before = manifest.model_dump(mode="json", exclude={"sha256", "bits", "aspect"})
    (small_recipe.folder / "recipe.json").write_text(
        json.dumps({**of_before, "sha256": manifest.sha256})
    )
    assert load_recipe(small_recipe.folder, small_recipe.models).manifest == manifest
    knowing = [manifest.model_copy(update=new) for new in ({"bits": 12}, {"aspect": 1.5})]
    assert len({one.digest() for one in (manifest, *knowing)}) == 3


@pytest.mark.parametrize(
    "name",
    ["golden/1.png", "golden/distances.npy", "position-scale.npy", "orientation.npz"],
)
@pytest.mark.parametrize("harm", ["missing", "changed"])
def test_a_harmed_file_is_named_with_its_cure(small_recipe: OnDisk, name: str, harm: str) -> None:
    _harm(small_recipe.folder / name, harm)
    with pytest.raises(RecipeError, match=f"{name} is .*(restore|teach)"):
        load_recipe(small_recipe.folder, small_recipe.models)


@pytest.mark.parametrize("name", ["student.onnx", "background.onnx"])
@pytest.mark.parametrize("harm", ["missing", "changed"])
def test_a_harmed_network_is_named_with_its_cure(
    small_recipe: OnDisk, name: str, harm: str
) -> None:
    _harm(small_recipe.models / name, harm)
    with pytest.raises(RecipeError, match=f"{name} is .*restore the models folder"):
        load_recipe(small_recipe.folder, small_recipe.models)


def _harm(path: Path, how: str) -> None:
    if how == "missing":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))


def _set_threshold(content: dict[str, dict[str, float]]) -> None:
    content["calibration"]["image_threshold"] = 99.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # A newer program's recipe: restoring it would bring the same back.
        (lambda c: c.update(colour="red"), "colour: no such key; bring this program up to date"),
        (lambda c: c["calibration"].update(luck=1), "calibration.luck: no such key"),
        (lambda c: c["student"].update(file="../../etc/passwd"), "student.file"),
        (lambda c: c["calibration"].update(q_a=0.5), "q_b must be above q_a"),
        (lambda c: c.pop("golden"), "golden: Field required"),
        (lambda c: c["view"].update(kind="whole"), "compares whole pictures finds no cups"),
        (lambda c: c.update(student=None), "with a student or with a bank"),
        (lambda c: c.update(bank=c["student"]), "with a student or with a bank"),
        (_set_threshold, "was changed after it was made"),
    ],
)
def test_a_changed_manifest_is_refused_by_key(
    small_recipe: OnDisk, change: Callable[[dict[str, dict[str, object]]], object], message: str
) -> None:
    path = small_recipe.folder / "recipe.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(RecipeError, match=message):
        load_recipe(small_recipe.folder, small_recipe.models)


def test_a_recipe_of_other_views_is_refused_and_says_that_it_must_be_taught_anew(
    small_recipe: OnDisk,
) -> None:
    """Restoring it, the cure of a damaged one, would bring the same recipe back."""
    path = small_recipe.folder / "recipe.json"
    older = json.loads(path.read_text()) | {"format": FORMAT - 1}
    path.write_text(json.dumps(older))
    with pytest.raises(RecipeError, match=r"is of format 6, .*; teach the type anew") as caught:
        load_recipe(small_recipe.folder, small_recipe.models)
    assert "restore" not in str(caught.value)


def test_half_a_manifest_is_refused(small_recipe: OnDisk) -> None:
    path = small_recipe.folder / "recipe.json"
    path.write_text(path.read_text()[:200])
    with pytest.raises(RecipeError, match=r"recipe\.json"):
        load_recipe(small_recipe.folder, small_recipe.models)


def test_a_folder_without_a_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no recipe in"):
        load_recipe(tmp_path, tmp_path)


def test_a_recipe_whose_maps_do_not_fit_each_other_is_refused(small_recipe: OnDisk) -> None:
    content = small_recipe.manifest.model_copy(
        update={
            "golden": small_recipe.manifest.golden.model_copy(
                update={"images": small_recipe.manifest.golden.images[:1]}
            )
        }
    )
    write_recipe(small_recipe.folder, content, {})
    with pytest.raises(RecipeError, match="one map a golden image"):
        load_recipe(small_recipe.folder, small_recipe.models)


def test_a_recipe_that_cannot_be_written_leaves_the_old_one(small_recipe: OnDisk) -> None:
    blocked = small_recipe.folder / "golden"
    with pytest.raises(RecipeError, match="cannot write the recipe"):
        write_recipe(small_recipe.folder, small_recipe.manifest, {"golden": b"a folder is here"})
    assert blocked.is_dir()
    assert load_recipe(small_recipe.folder, small_recipe.models).manifest == small_recipe.manifest
    assert not list(small_recipe.folder.glob(".*"))


def test_a_disk_that_is_full_half_way_leaves_the_old_recipe_whole(small_recipe: OnDisk) -> None:
    files = {"golden/1.png": b"fits", "golden/distances.npy": bytes(1 << 20)}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, before[1]))
    try:
        with pytest.raises(RecipeError, match=r"cannot write the recipe .*: File too large"):
            write_recipe(small_recipe.folder, small_recipe.manifest, files)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert load_recipe(small_recipe.folder, small_recipe.models).manifest == small_recipe.manifest
    assert not list(small_recipe.folder.rglob(".*"))
