"""An adapter learns from clean cups alone what clean cups differ by, and changes nothing before it has."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from inspector.core.errors import RecipeError
from inspector.detector import adapting
from inspector.detector.adapting import (
    CLEAN,
    MARKED,
    AdaptingPlan,
    Scene,
    adapt,
    adapt_command,
    scene,
)
from inspector.detector.disguise import disguised
from inspector.detector.lesson import CUPS_TEACHER
from inspector.detector.marks import marked
from inspector.detector.memory_bank import learn_bank
from inspector.detector.networks import (
    Adapter,
    Architecture,
    FeatureNetwork,
    load_teacher,
    write_graph,
)
from inspector.detector.preparation import Prepared
from inspector.detector.thumbnail import TrainingProgress
from inspector.engine import load_network
from inspector.recipe import Teacher

MODELS = Path(__file__).parents[2] / "models"
SIZE = (64, 160)
SHAPE = Architecture(rows=64, columns=160, width=64, depth=1, heads=1, patch=16, outputs=None)


def clean_cups(count: int, seed: int = 1) -> NDArray[np.uint8]:
    """Polar views of rings, each with bright drops of its own."""
    random = np.random.default_rng(seed)
    rings = 120 + 40 * np.sin(np.arange(SIZE[0]) / 5)
    views = np.repeat(rings[None, :, None, None], count, axis=0) + random.normal(
        0, 1, (count, *SIZE, 3)
    )
    for view in views:
        for _ in range(3):
            row, column = random.integers(0, SIZE[0] - 6), random.integers(0, SIZE[1] - 6)
            view[row : row + 6, column : column + 6] += 40
    return np.clip(views, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def teacher() -> FeatureNetwork:
    return load_teacher(Teacher("inspector-deit-tiny", rows=SIZE[0], columns=SIZE[1]), MODELS)


def scenes_of(
    cups: NDArray[np.uint8], teacher: FeatureNetwork, count: int, seed: int
) -> list[Scene]:
    randoms = [np.random.default_rng((seed, number)) for number in range(count)]
    return [scene(cups, teacher, 2.0, random) for random in randoms]


@pytest.fixture(scope="module")
def scenes(teacher: FeatureNetwork) -> list[Scene]:
    return scenes_of(clean_cups(16), teacher, 8, seed=0)


def test_marks_change_a_few_places_and_leave_the_rest_of_the_cup_as_it_is() -> None:
    view = clean_cups(1)[0]
    for seed in range(40):
        painted = marked(view, np.random.default_rng(seed))
        changed = np.abs(painted.astype(int) - view).max(axis=2) > 3
        assert changed.mean() < 0.6
    assert np.array_equal(
        marked(view, np.random.default_rng(9)), marked(view, np.random.default_rng(9))
    )


def test_every_kind_of_mark_is_seen_somewhere() -> None:
    view = np.full((224, 784, 3), 128, np.uint8)
    painted = [marked(view, np.random.default_rng(seed)) for seed in range(30)]
    assert all((one != view).any() for one in painted)
    covered = np.mean([(np.abs(one.astype(int) - 128).max(axis=2) > 5) for one in painted], axis=0)
    assert (covered.mean(axis=0) > 0).mean() > 0.9, "marks come all around the cup"


def test_a_fainter_mark_changes_a_cup_less() -> None:
    view = clean_cups(1)[0]
    plain, faint = (
        np.abs(marked(view, np.random.default_rng(3), strength).astype(int) - view).sum()
        for strength in (1.0, 0.3)
    )
    assert 0 < faint < 0.5 * plain


def test_cups_in_one_disguise_have_its_material_and_shape_and_their_own_drops() -> None:
    cups = clean_cups(4)
    cups[1:] = cups[0]
    worn = disguised(cups, np.random.default_rng(5)).astype(int)
    rings = worn.mean(axis=2)
    assert np.ptp(rings, axis=0).max() < 2, "turning a cup does not change its rings"
    assert np.abs(rings[0] - cups[0].mean(axis=1)).mean() > 5, "they look like another type's"
    assert (worn[0] != worn[1]).any(), "each is turned by an angle of its own"


def test_disguises_are_of_many_materials_and_shapes_and_some_cups_keep_their_own() -> None:
    cups = clean_cups(1)
    seen = [disguised(cups, np.random.default_rng(seed))[0].mean(axis=1) for seed in range(60)]
    change = [np.abs(rings - cups[0].mean(axis=1)).mean() for rings in seen]
    assert min(change) < 1 < 10 < max(change)
    assert all(np.isfinite(change))


def test_a_scene_knows_which_patches_were_marked(scenes: list[Scene]) -> None:
    for one in scenes:
        assert one.clean.shape == (CLEAN, 192, 4, 10)
        assert one.marked.shape == (MARKED, 192, 4, 10)
        assert one.change.shape == (MARKED, 4, 10)
        assert (one.change < 0.2).any()
    assert 0.02 < np.mean([float((one.change > 2).float().mean()) for one in scenes]) < 0.6


def test_an_untrained_adapter_changes_nothing() -> None:
    tokens = functional.layer_norm(torch.randn(2, 7, 64), (64,))
    assert torch.allclose(Adapter(64)(tokens), tokens, atol=1e-4)


def test_a_trained_adapter_calls_new_drops_clean_and_new_marks_dirty(
    scenes: list[Scene], teacher: FeatureNetwork, tmp_path: Path
) -> None:
    adapter = adapt(scenes, AdaptingPlan(steps=80), tmp_path / "checkpoint", TrainingProgress(80))
    others = scenes_of(clean_cups(30, seed=2), teacher, 8, seed=5)

    def missed(change: Tensor, clean: Tensor, dirty: Tensor) -> float:
        """Share of marked patches that do not stand out among three clean cups as drops do."""
        bank = learn_bank(clean[:3], "radius")
        hottest = -bank.distance_map(clean[3:]).quantile(0.01)
        return float((-bank.distance_map(dirty)[change > 2] <= hottest).float().mean())

    before = [missed(one.change, one.clean.float(), one.marked.float()) for one in others]
    with torch.inference_mode():
        after = [
            missed(one.change, *(adapter.on_maps(x.float()) for x in (one.clean, one.marked)))
            for one in others
        ]
    assert np.mean(after) < 0.85 * np.mean(before)


@pytest.mark.usefixtures("one_thread")
def test_an_interrupted_adapter_goes_on_where_it_was(scenes: list[Scene], tmp_path: Path) -> None:
    plan = AdaptingPlan(steps=60, comparisons=1)
    whole = adapt(scenes, plan, tmp_path / "whole", TrainingProgress(60))

    class StopError(Exception):
        pass

    class Interrupted(TrainingProgress):
        def on_step(self, step: int, loss: float) -> None:
            if step == 55:
                raise StopError

    with pytest.raises(StopError):
        adapt(scenes, plan, tmp_path / "half", Interrupted(60))
    resumed = adapt(scenes, plan, tmp_path / "half", TrainingProgress(60))
    for name, weight in whole.state_dict().items():
        assert torch.allclose(resumed.state_dict()[name], weight, atol=1e-5), name


def test_ctrl_c_loses_no_step_of_an_adapter(scenes: list[Scene], tmp_path: Path) -> None:
    plan, steps = AdaptingPlan(steps=5, comparisons=1), list[int]()

    class Pressed(TrainingProgress):
        def on_step(self, step: int, loss: float) -> None:
            steps.append(step)
            if steps == [1, 2, 3]:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(scenes, plan, tmp_path / "half", Pressed(5))
    adapt(scenes, plan, tmp_path / "half", Pressed(5))
    assert steps == [1, 2, 3, 4, 5]


def test_too_few_cups_of_a_type_are_refused(teacher: FeatureNetwork) -> None:
    with pytest.raises(RecipeError, match="too few to compare"):
        scene(clean_cups(CLEAN + MARKED - 1), teacher, 2.0, np.random.default_rng(0))


def test_an_adapter_behind_an_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="has an adapter already; name the one"):
        adapt_command([tmp_path], tmp_path / "out.safetensors", teacher=CUPS_TEACHER)


def test_all_types_are_read_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, brightest in (("dim", 900), ("bright", 4000)):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "0.png"), np.full((8, 8), brightest, np.uint16))
    given: list[int | None] = []

    def caught(*_given: object, bits: int | None = None, **_named: object) -> Prepared:
        given.append(bits)
        return Prepared(clean_cups(2), (), (), 0, None, ())

    monkeypatch.setattr(adapting, "prepare_frames", caught)
    with pytest.raises(RecipeError, match="too few to compare"):
        adapt_command([tmp_path / "dim", tmp_path / "bright"], tmp_path / "out", models=MODELS)
    assert given == [12, 12]


def test_the_line_computes_what_torch_computes_with_an_adapter(tmp_path: Path) -> None:
    torch.manual_seed(4)
    network = FeatureNetwork(replace(SHAPE, adapted=True)).eval()
    torch.nn.init.normal_(network.adapter.fc2.weight, std=0.2)  # type: ignore[union-attr,arg-type]
    write_graph(network, tmp_path / "adapted.onnx")
    views = clean_cups(2)
    with torch.inference_mode():
        expected = network(torch.from_numpy(views)).numpy()
    found = load_network(tmp_path / "adapted.onnx").run(views)
    assert np.abs(found - expected).max() < 1e-3
