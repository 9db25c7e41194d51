"""Changed views of clean pictures to learn from, by name and in any combination (§4.3, §4.4).

None knows what a defect of this cup type looks like. The strategies of a plan are applied in the order
of ``STRATEGIES``, each in half of the steps, independently of the others: first those that change what
both networks see, then the corruptions, which only the student sees and is asked to see through.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from inspector.core.errors import RecipeError
from inspector.detector.networks import FeatureNetwork
from inspector.detector.stains import stain

PROBABILITY = 0.5
"""That a step applies a strategy of its plan. The paper does not say; half leaves clean pictures too."""
LATENT_STRENGTH = 0.25
"""Of latent noise, in standard deviations of the student's patch embedding. Ours; the paper gives none."""


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """What the two networks see in one step.

    Attributes:
        chosen: the pictures' numbers among the training pictures.
        student: B×R×K×3 float 0 … 255.
        teacher: likewise.
        minable: B×h×w bool, positions whose distance may be mined (Eq. 6): where the student's picture
            is not painted over.
        offset: B×N×C, added to the student's patch embedding; None for nothing.
        teacher_changed: whether the teacher sees something else than the training pictures.
    """

    chosen: Sequence[int]
    student: Tensor
    teacher: Tensor
    minable: Tensor
    offset: Tensor | None = None
    teacher_changed: bool = False


Material = Mapping[str, NDArray[np.uint8]]
"""Pictures that strategies draw from besides the training pictures, by the strategy's name."""


@dataclass(frozen=True, slots=True, eq=False)
class Supplies:
    """What strategies may use besides the pictures of the step."""

    student: FeatureNetwork
    teacher: FeatureNetwork
    material: Material = field(default_factory=dict)


def _nothing_needed(_supplies: Supplies) -> None:
    """Most strategies work with the training pictures alone."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way to change the views of a step.

    Attributes:
        apply: views to changed views, everything random from the generator.
        check: called once before the training; raises RecipeError where the supplies do not do.
    """

    apply: Callable[[Views, Supplies, np.random.Generator], Views]
    check: Callable[[Supplies], None] = _nothing_needed


Change = Callable[[Tensor, np.random.Generator], Tensor]
"""B×R×K×3 float 0 … 255 to the same."""


def _both_see(change: Change) -> Strategy:
    """The student's and the teacher's pictures changed alike."""

    def apply(views: Views, _supplies: Supplies, random: np.random.Generator) -> Views:
        seed = int(random.integers(2**63))
        teacher = change(views.teacher, np.random.default_rng(seed))
        if views.student is views.teacher:
            return replace(views, student=teacher, teacher=teacher, teacher_changed=True)
        student = change(views.student, np.random.default_rng(seed))
        return replace(views, student=student, teacher=teacher, teacher_changed=True)

    return Strategy(apply)


def rotation(images: Tensor, random: np.random.Generator) -> Tensor:
    """Eq. 7 to 9: turned by up to ±3° (the paper: "a small degree")."""
    angle = torch.from_numpy(np.deg2rad(random.uniform(-3, 3, len(images)))).float()
    zero = torch.zeros_like(angle)
    rows = ([angle.cos(), -angle.sin(), zero], [angle.sin(), angle.cos(), zero])
    turns = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1).to(images.device)
    planes = images.permute(0, 3, 1, 2)
    grid = functional.affine_grid(turns, list(planes.shape), align_corners=False)
    turned = functional.grid_sample(planes, grid, padding_mode="border", align_corners=False)
    return turned.permute(0, 2, 3, 1)


def turn(images: Tensor, random: np.random.Generator) -> Tensor:
    """Rotation of a polar view: the unwrapped cup turned by up to ±3°."""
    reach = max(1, round(images.shape[2] * 3 / 360))
    return torch.roll(images, int(random.integers(-reach, reach + 1)), dims=2)


def brightness_contrast(images: Tensor, random: np.random.Generator) -> Tensor:
    """Eq. 10, 11: up to ±10 % brighter, with up to ±10 % more contrast.

    The paper gives no ranges; these cover a lamp's ageing between two cleanings.
    """
    shape = (len(images), 1, 1, 1)
    contrast = torch.from_numpy(random.uniform(0.9, 1.1, shape)).float().to(images.device)
    shift = torch.from_numpy(random.uniform(-0.1, 0.1, shape)).float().to(images.device)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((images - mean) * contrast + mean * (1 + shift)).clamp(0, 255)


def _stained(views: Views, _supplies: Supplies, random: np.random.Generator) -> Views:
    """Stained-shape noise: the student sees stains, the teacher none; none of them is mined."""
    size = views.student.shape[1:3]
    stains = [stain((size[0], size[1]), random) for _ in views.chosen]
    colour = torch.from_numpy(np.stack([one.colour for one in stains])).to(views.student.device)
    opacity = torch.from_numpy(np.stack([one.opacity for one in stains])).to(views.student.device)
    painted = views.student + (colour - views.student) * opacity[..., None]
    patches = functional.adaptive_max_pool2d(opacity, views.minable.shape[1:])
    return replace(views, student=painted, minable=views.minable & (patches == 0))


def _added(views: Views, noise: Tensor) -> Views:
    return replace(views, offset=noise if views.offset is None else views.offset + noise)


def _latent(views: Views, supplies: Supplies, random: np.random.Generator) -> Views:
    """Latent noise: Gaussian, of a quarter of the spread that each channel of the embedding has."""
    with torch.no_grad():
        spread = supplies.student.embed(views.student).std(dim=(0, 1))
    count = views.minable[0].numel()
    seed = int(random.integers(2**63))
    generator = torch.Generator(spread.device).manual_seed(seed)
    shape = (len(views.chosen), count, len(spread))
    noise = torch.randn(shape, generator=generator, device=spread.device)
    return _added(views, LATENT_STRENGTH * spread * noise)


def _transfer(views: Views, supplies: Supplies, random: np.random.Generator) -> Views:
    """Eq. 12, 13: M = Fe_t(defective) - Fe_t(normal) of another type, added to the student's Fe."""
    pairs = supplies.material["transfer"]
    drawn = pairs[random.integers(len(pairs), size=len(views.chosen))]
    defective, normal = torch.from_numpy(drawn).to(views.student.device).unbind(dim=1)
    with torch.no_grad():
        difference = supplies.teacher.embed(defective) - supplies.teacher.embed(normal)
    return _added(views, difference)


def _check_transfer(supplies: Supplies) -> None:
    shape = supplies.student.architecture
    pairs = supplies.material.get("transfer")
    if pairs is None or len(pairs) == 0:
        raise RecipeError(
            "'transfer' has no pictures of other cup types to learn from",
            "hand over pairs of a defective and a normal cup, or leave 'transfer' out",
        )
    if pairs.shape[1:] != (2, shape.rows, shape.columns, 3):
        raise RecipeError(
            f"pairs of the shape {pairs.shape[1:]} cannot be transferred",
            f"hand over pairs of pictures of {shape.rows}×{shape.columns} px, defective one first",
        )
    if shape.width != supplies.teacher.architecture.width:
        raise RecipeError(
            f"what a teacher of width {supplies.teacher.architecture.width} sees cannot be added to "
            f"a student of width {shape.width} (Eq. 13)",
            "give the student its teacher's width, or leave 'transfer' out",
        )


STRATEGIES: dict[str, Strategy] = {
    "rotation": _both_see(rotation),
    "turn": _both_see(turn),
    "brightness-contrast": _both_see(brightness_contrast),
    "stained-shape": Strategy(_stained),
    "latent": Strategy(_latent),
    "transfer": Strategy(_transfer, _check_transfer),
}
"""By name, in the order in which they are applied.

A strategy that shows the student other pictures, as a generating network makes them (§4.4), belongs
first: what both see is then changed alike in them.
"""


def check_strategies(names: Sequence[str]) -> None:
    """Raise RecipeError where a name is not known, with the list of those that are."""
    unknown = [name for name in names if name not in STRATEGIES]
    if unknown:
        raise RecipeError(
            f"no training strategy is called {unknown[0]!r}", f"use any of: {', '.join(STRATEGIES)}"
        )


def changed_views(
    pictures: Tensor,
    chosen: Sequence[int],
    names: Sequence[str],
    supplies: Supplies,
    random: np.random.Generator,
) -> Views:
    """The views of one step.

    Args:
        pictures: B×R×K×3 float 0 … 255, training pictures.
        chosen: their B numbers.
        names: of the strategies of the plan.
        supplies: what they may use.
        random: everything random comes from it.
    """
    shape = (len(pictures), *supplies.student.architecture.grid)
    everywhere = torch.ones(shape, dtype=torch.bool, device=pictures.device)
    views = Views(chosen, pictures, pictures, everywhere)
    for name, strategy in STRATEGIES.items():
        if name in names and random.random() < PROBABILITY:
            views = strategy.apply(views, supplies, random)
    return views
