"""Teacher and student: vision transformers cut off after a middle block (§4.1, Table 1).

The published student is the teacher's twin; here it may also be narrower, its last layer then leads to the
teacher's channels. By default both outputs are normalised over their channels: with the raw tokens the
cosine loss (Eq. 4) leaves their length free, and the squared error of Eq. 1 then measures mostly that.
Normalised, Eq. 1 *is* the negative cosine distance: -0.5/L·Σ(Fs-Ft)² = cos(Fs, Ft) - 1.
"""

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from inspector.core.errors import EngineError, RecipeError
from inspector.core.files import write_atomically
from inspector.detector.from_timm import (
    VisionTransformer,
    VisionTransformerDistilled,
    foreign_weights,
    plain,
    plain_name,
    timm_weights,
)
from inspector.recipe.graph import (
    IMAGE_MEAN,
    IMAGE_STD,
    NORM_EPSILON,
    OutputNorm,
    transformer_graph,
)
from inspector.recipe.sources import source
from inspector.recipe.teacher import Teacher, fitted, graph_name, teacher_path, teacher_weights
from inspector.recipe.view import cup_patches, spread
from inspector.recipe.weights import Weights

_BATCH = 8
"""Pictures that are asked about at once."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """The shape of a transformer.

    Attributes:
        rows: of the input in pixels, a multiple of ``patch``.
        columns: likewise.
        width: channels of the tokens.
        depth: number of blocks.
        heads: attention heads, dividing ``width``.
        patch: side of a patch in pixels.
        outputs: channels of the feature map; a linear layer leads there from ``width``, None for none.
        prefix_tokens: tokens beside those of the patches: 1 class, 2 class and distillation.
        output_norm: what is done to each position of the feature map last.
        adapted: whether an :class:`Adapter` follows, on features normalised ``plain``.
        cup_only: leave out the patches of a cup image that lie beside the cup.
    """

    rows: int = 280
    columns: int = 280
    width: int = 192
    depth: int = 4
    heads: int = 3
    patch: int = 14
    outputs: int | None = 384
    prefix_tokens: int = 0
    output_norm: OutputNorm = "plain"
    adapted: bool = False
    cup_only: bool = False

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the feature map."""
        return self.rows // self.patch, self.columns // self.patch


class Adapter(nn.Module):
    """Features moved a little, each position by itself, and normalised again; untrained it changes nothing.

    Args:
        channels: of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 2 * channels)
        self.fc2 = nn.Linear(2 * channels, channels)
        nn.init.zeros_(self.fc2.weight)
        nn.init.zeros_(self.fc2.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """B×N×C features normalised over their channels, to the same."""
        moved = tokens + self.fc2(functional.gelu(self.fc1(tokens)))
        return functional.layer_norm(moved, moved.shape[-1:], eps=NORM_EPSILON)

    def on_maps(self, features: Tensor) -> Tensor:
        """The same of B×C×h×w."""
        tokens: Tensor = self(features.flatten(2).transpose(1, 2))
        return tokens.transpose(1, 2).reshape(features.shape)


class _Chosen(nn.Module):
    """Some of the tokens, N×T×C to N×K×C.

    Args:
        numbers: of the tokens.
    """

    numbers: Tensor

    def __init__(self, numbers: NDArray[np.int64]) -> None:
        super().__init__()
        self.register_buffer("numbers", torch.from_numpy(numbers), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens[:, self.numbers]


class FeatureNetwork(nn.Module):
    """Pictures to feature maps."""

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        shape = architecture
        self.architecture = shape
        build = VisionTransformerDistilled if shape.prefix_tokens == 2 else VisionTransformer
        self.transformer = build(
            img_size=(shape.rows, shape.columns),
            patch_size=shape.patch,
            embed_dim=shape.width,
            depth=shape.depth,
            num_heads=shape.heads,
            class_token=shape.prefix_tokens > 0,
            global_pool="token" if shape.prefix_tokens else "",
            num_classes=0,
            final_norm=shape.outputs is not None or shape.output_norm == "final",
        )
        # Taken out, so that noise can be added between the embedding and the rest.
        self.patch_embed = self.transformer.patch_embed
        self.transformer.patch_embed = nn.Identity()
        self.head: nn.Module = nn.Identity()
        self.head_norm: nn.Module = nn.Identity()
        if shape.outputs is not None:
            self.head = nn.Linear(shape.width, shape.outputs)
            nn.init.trunc_normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)
        if shape.output_norm == "plain":
            channels = shape.outputs or shape.width
            self.head_norm = nn.LayerNorm(channels, NORM_EPSILON, elementwise_affine=False)
        elif shape.output_norm == "final" and shape.outputs is not None:
            self.head_norm = nn.LayerNorm(shape.outputs, NORM_EPSILON)
        self.adapter: nn.Module = nn.Identity()
        if shape.adapted:
            self.adapter = Adapter(shape.outputs or shape.width)
        self.spread_out: nn.Module = nn.Identity()
        if shape.cup_only:
            kept = cup_patches(shape.grid)
            prefix = np.arange(shape.prefix_tokens)
            # Where timm drops patches at random: between the positions and the first block.
            self.transformer.patch_drop = _Chosen(np.concatenate([prefix, kept + len(prefix)]))
            # A row of ones for all that are left out: as long as features normalised plain.
            beside = nn.ConstantPad2d((0, 0, 0, 1), 1.0)
            self.spread_out = nn.Sequential(beside, _Chosen(spread(kept, shape.grid)))
        self.register_buffer("mean", 255 * torch.tensor(IMAGE_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(IMAGE_STD).view(3, 1, 1), persistent=False)

    def embed(self, images: Tensor) -> Tensor:
        """B×R×K×3 (RGB, uint8 or float, 0 … 255) to the patch embedding B×N×C, without positions."""
        pixels = (images.permute(0, 3, 1, 2).float() - self.mean) / self.std
        embedding: Tensor = self.patch_embed(pixels)
        return embedding

    def forward(self, images: Tensor, offset: Tensor | None = None) -> Tensor:
        """Pictures to feature maps.

        Args:
            images: B×R×K×3, RGB, uint8 or float, 0 … 255.
            offset: B×N×C, added to the patch embedding: latent or transfer noise (§4.3).

        Returns:
            B×C×h×w float32.
        """
        tokens = self.embed(images)
        if offset is not None:
            tokens = tokens + offset
        tokens = self.transformer.forward_features(tokens)  # extra tokens, positions, blocks, norm
        tokens = tokens[:, self.architecture.prefix_tokens :]
        tokens = self.spread_out(self.adapter(self.head_norm(self.head(tokens))))
        features: Tensor = tokens.transpose(1, 2).reshape(len(tokens), -1, *self.architecture.grid)
        return features


def load_teacher(teacher: Teacher, models: Path = Path("models")) -> FeatureNetwork:
    """The frozen teacher in torch, from the same weights as its ONNX graph.

    Args:
        teacher: which one.
        models: folder of the committed networks.

    Raises:
        EngineError: its weights cannot be had, or are others; the message names the remedy.
    """
    known = source(teacher.name)
    network = FeatureNetwork(
        Architecture(
            rows=teacher.rows,
            columns=teacher.columns,
            width=known.width,
            depth=teacher.depth,
            heads=known.heads,
            patch=known.patch,
            outputs=None,
            prefix_tokens=known.prefix_tokens,
            output_norm=teacher.output_norm,
            cup_only=teacher.cup_only,
            adapted=known.adapter is not None,
        )
    )
    offline = known.origin is not None
    try:
        if offline:
            _assign(network, teacher_weights(teacher, models))
        else:
            _assign(network, fitted(timm_weights(teacher), teacher))
    except (KeyError, ValueError) as error:
        raise foreign_weights(teacher) from error
    return network.eval().requires_grad_(requires_grad=False)


def perturbed_copy(teacher: FeatureNetwork, strength: float, seed: int) -> FeatureNetwork:
    """A student that starts as its teacher, out of tune: w += strength·std(w)·noise in each tensor.

    Args:
        teacher: the frozen teacher.
        strength: 0 copies exactly; 0.5 spares most of the training.
        seed: of the noise.

    Returns:
        A network that learns; the teacher stays as it is.
    """
    student = copy.deepcopy(teacher).requires_grad_().train()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in student.parameters():
            noise = torch.randn(weight.shape, generator=random).to(weight)
            weight.add_(noise, alpha=strength * float(weight.std()))
    return student


def student_shape(teacher: Architecture, width: int | None) -> Architecture:
    """The teacher's twin (§4.1), or narrower with a linear layer that leads to its channels.

    Args:
        teacher: the teacher's shape.
        width: channels of the student's tokens; None for the twin.

    Raises:
        RecipeError: the width cannot be shared out among attention heads.
    """
    if width is None:
        return teacher
    return replace(
        teacher,
        width=width,
        heads=student_heads(width),
        outputs=teacher.width,
        prefix_tokens=0,
        adapted=False,
    )


def student_heads(width: int) -> int:
    """How many attention heads a student of so many channels has.

    Raises:
        RecipeError: the width cannot be shared out among attention heads.
    """
    heads = max(1, width // 64)
    if width < 1 or width % heads:
        raise RecipeError(
            f"a student cannot be {width} channels wide", "use a multiple of 64, e.g. 192"
        )
    return heads


def features(network: FeatureNetwork, images: NDArray[np.uint8]) -> Tensor:
    """Feature maps of pictures in the network's size, on the GPU where there is one.

    Args:
        network: teacher or student; on the CPU, and there again afterwards.
        images: n×R×K×3 uint8 RGB.

    Returns:
        n×C×h×w float32 on the CPU.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device)
    try:
        with torch.inference_mode():
            parts = torch.split(torch.from_numpy(images), _BATCH)
            return torch.cat([network(part.to(device)).cpu() for part in parts])
    finally:
        network.to("cpu")


def plain_weights(network: nn.Module) -> dict[str, NDArray[np.float32]]:
    """A network's parameters as float32 arrays, named as ``inspector.recipe.graph`` does.

    Takes timm's own transformers as well: layer scales are multiplied into the matrices they follow.
    """
    return plain(network.state_dict())


def graph_bytes(network: FeatureNetwork, *, apart: bool = False) -> bytes:
    """The ONNX graph that computes what the network computes, as the content of a file.

    Args:
        network: which one.
        apart: see ``inspector.recipe.graph.transformer_graph``.
    """
    shape = network.architecture
    model = transformer_graph(
        plain_weights(network),
        shape.heads,
        (shape.rows, shape.columns),
        shape.output_norm,
        cup_only=shape.cup_only,
        apart=apart,
    )
    return bytes(model.SerializeToString(deterministic=True))


def write_graph(network: FeatureNetwork, path: Path, *, apart: bool = False) -> None:
    """Write :func:`graph_bytes`, atomically.

    Args:
        network: which one.
        path: where to.
        apart: see ``inspector.recipe.graph.transformer_graph``.

    Raises:
        EngineError: the file cannot be written.
    """
    try:
        write_atomically(path, graph_bytes(network, apart=apart))
    except OSError as error:
        raise EngineError(
            f"cannot write {path}: {error.strerror}", "make room, or choose another models folder"
        ) from error


def export_teacher(teacher: Teacher, network: FeatureNetwork, models: Path) -> Path:
    """The teacher's graph for the line; timm's is written into the models folder.

    Args:
        teacher: which one.
        network: what :func:`load_teacher` made of it.
        models: folder of the networks.

    Returns:
        The graph's file, as ``inspector.recipe.teacher_path`` finds it.

    Raises:
        EngineError: the graph cannot be made or written.
    """
    if source(teacher.name).origin is None:
        write_graph(network, models / graph_name(teacher))
    return teacher_path(teacher, models)


def _assign(network: FeatureNetwork, weights: Weights) -> None:
    """Give a network all of its parameters.

    Raises:
        KeyError: one is missing.
        ValueError: one has another shape.
    """
    shapes = {name: value.shape for name, value in plain_weights(network).items()}
    if any(weights[name].shape != shape for name, shape in shapes.items()):
        raise ValueError("a parameter has another shape")
    network.load_state_dict(
        {
            name: torch.tensor(weights[plain_name(name)]).reshape(value.shape)
            for name, value in network.state_dict().items()
        }
    )
