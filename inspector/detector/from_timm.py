"""What comes from timm: its vision transformers, and weights from its hub or from files of the same kind.

timm imports torchvision whatever it is used for, and torchvision refuses to be imported where its compiled
part was built for another torch: the one that pip finds is built for CUDA, the torch here may be the CPU's.
Nothing of that part is used, so the two operators that it is asked for by name are declared without it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.core.errors import EngineError
from inspector.recipe.sources import offline_teachers
from inspector.recipe.teacher import Teacher
from inspector.recipe.weights import file_sha256

try:
    import torchvision  # noqa: F401
except RuntimeError:
    # Declared for as long as this object lives.
    OPERATORS = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for _name in ("nms", "qnms"):
        _schema = f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        OPERATORS.define(_schema)  # type: ignore[no-untyped-call]

from timm.models import create_model, load_state_dict
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer

__all__ = [
    "VisionTransformer",
    "VisionTransformerDistilled",
    "create_model",
    "foreign_weights",
    "plain",
    "plain_name",
    "timm_weights",
]


def timm_weights(teacher: Teacher) -> dict[str, NDArray[np.float32]]:
    """All weights of a timm teacher: from its local file where there is one, otherwise from the hub.

    Returns:
        Weights as ``inspector.recipe.graph`` names them, others beside them, for the input size that they
        were trained with.

    Raises:
        EngineError: the hub cannot be reached, or the file is missing, another one or no weights file.
    """
    path = teacher.file
    if path is None:
        try:
            return plain(create_model(teacher.name, pretrained=True).state_dict())
        except Exception as error:  # what the hub's libraries raise shares no base class
            raise EngineError(
                f"the weights of {teacher.name} cannot be had from timm's hub",
                "run this on a machine with internet, or give a local file of them, or use an offline "
                f"teacher: {offline_teachers()}",
            ) from error
    if not path.is_file():
        raise EngineError(f"{path} is missing", f"give a file of {teacher.name}'s weights")
    if teacher.file_sha256 is not None and file_sha256(path) != teacher.file_sha256:
        raise EngineError(f"{path} is damaged or not the file it should be", "fetch it again")
    try:
        return plain(load_state_dict(str(path), weights_only=True))
    except Exception as error:  # what the files' readers raise shares no base class
        raise foreign_weights(teacher) from error


def foreign_weights(teacher: Teacher) -> EngineError:
    """What to say where the weights found are not the teacher's."""
    return EngineError(
        f"{teacher.file or 'the file found'} does not hold the weights of {teacher.name}",
        "fetch it again from where it came from",
    )


def plain(state: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    """A state dict's tensors as float32 arrays under plain names.

    The leading axis of tokens and positions goes; layer scales are multiplied into the matrices they
    follow (the same function, fewer steps).
    """
    arrays = {
        plain_name(name): np.array(value.detach().float().cpu().numpy(), np.float32)
        for name, value in state.items()
        if isinstance(value, Tensor)
    }
    arrays = {name: value[0] if value.ndim == 3 else value for name, value in arrays.items()}
    for name in [name for name in arrays if name.endswith(".gamma")]:
        block, scale, _ = name.rsplit(".", 2)
        layer = f"{block}.{'attn.proj' if scale == 'ls1' else 'mlp.fc2'}"
        factor = arrays.pop(name)
        arrays[f"{layer}.weight"] = arrays[f"{layer}.weight"] * factor[:, None]
        arrays[f"{layer}.bias"] = arrays[f"{layer}.bias"] * factor
    return arrays


def plain_name(name: str) -> str:
    """A parameter's name in ``inspector.recipe.graph`` by its name in torch."""
    return name.removeprefix("transformer.").replace("patch_embed.proj.", "patch_embed.")
