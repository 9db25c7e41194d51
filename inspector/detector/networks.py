"""Teacher and student: the same vision transformer, one frozen and wide, one small and learning (§4.1).

The student has the teacher's patches and depth but a quarter of its arithmetic; its last layer projects
its tokens to the teacher's channels. Both outputs are normalised over their channels: with the raw
tokens the cosine loss (Eq. 4) leaves their length free, and the squared error of Eq. 1 then measures
mostly that. Normalised, Eq. 1 *is* the negative cosine distance: -0.5/L·Σ(Fs-Ft)² = cos(Fs, Ft) - 1.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from inspector.recipe.graph import IMAGE_MEAN, IMAGE_STD, NORM_EPSILON
from inspector.recipe.teacher import PATCH, Teacher, teacher_weights
from inspector.recipe.weights import source


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
        class_token: one token beside those of the patches, as pretrained networks have.
    """

    rows: int = 280
    columns: int = 280
    width: int = 192
    depth: int = 4
    heads: int = 3
    patch: int = PATCH
    outputs: int | None = 384
    class_token: bool = False

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the feature map."""
        return self.rows // self.patch, self.columns // self.patch


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each added to its normalised input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}
        )
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )

    def forward(self, x: Tensor) -> Tensor:
        """B×T×C to B×T×C."""
        batch, tokens, width = x.shape
        qkv = self.attn["qkv"](self.norm1(x))
        query, key, value = qkv.view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.attn["proj"](mixed.transpose(1, 2).reshape(batch, tokens, width))
        inner = functional.gelu(self.mlp["fc1"](self.norm2(x)))
        return torch.add(x, self.mlp["fc2"](inner))


class VisionTransformer(nn.Module):
    """Pictures to feature maps."""

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        shape = architecture
        extra = 1 if shape.class_token else 0
        self.architecture = shape
        self.patch_embed = nn.Conv2d(3, shape.width, shape.patch, stride=shape.patch)
        self.cls_token = nn.Parameter(torch.zeros(1, shape.width)) if shape.class_token else None
        self.pos_embed = nn.Parameter(torch.empty(math.prod(shape.grid) + extra, shape.width))
        self.blocks = nn.ModuleList(Block(shape.width, shape.heads) for _ in range(shape.depth))
        if shape.outputs is not None:
            self.norm = nn.LayerNorm(shape.width, eps=NORM_EPSILON)
            self.head = nn.Linear(shape.width, shape.outputs)
        self.register_buffer("mean", 255 * torch.tensor(IMAGE_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(IMAGE_STD).view(3, 1, 1), persistent=False)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """B×R×K×3 (RGB, uint8 or float, 0 … 255) to B×C×h×w float32, normalised over C."""
        x = (images.permute(0, 3, 1, 2).float() - self.mean) / self.std
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(len(x), 1, -1), x], dim=1)
        x = x + self.pos_embed
        for block in self.blocks:
            x = block(x)
        if self.cls_token is not None:
            x = x[:, 1:]
        if self.architecture.outputs is not None:
            x = self.head(self.norm(x))
        x = functional.layer_norm(x, x.shape[-1:], eps=NORM_EPSILON)
        return x.transpose(1, 2).reshape(len(x), -1, *self.architecture.grid)


def load_teacher(teacher: Teacher) -> VisionTransformer:
    """The frozen teacher in torch, from the same weights as its ONNX graph.

    Raises:
        EngineError: its package is not installed; the message holds the pip command.
    """
    origin = source(teacher.name)
    network = VisionTransformer(
        Architecture(
            rows=teacher.rows,
            columns=teacher.columns,
            width=origin.width,
            depth=teacher.depth,
            heads=origin.heads,
            outputs=None,
            class_token=True,
        )
    )
    weights = teacher_weights(teacher)
    network.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    return network.eval().requires_grad_(requires_grad=False)


def plain_weights(network: nn.Module) -> dict[str, NDArray[np.float32]]:
    """A network's parameters as arrays, e.g. for ``inspector.recipe.graph.write_transformer``."""
    return {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
