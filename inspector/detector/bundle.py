"""A taught cup type on disk: graphs into the models folder, everything else beside the manifest."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import EngineError
from inspector.core.files import write_atomically
from inspector.decision import Calibration
from inspector.detector.checkpoint import undivided
from inspector.detector.memory_bank import MemoryBank
from inspector.detector.networks import FeatureNetwork, export_teacher, graph_bytes
from inspector.detector.preparation import ORIENTATION
from inspector.detector.promise import Promise
from inspector.recipe import Recipe, Teacher, load_recipe, write_recipe
from inspector.recipe.bank_graph import bank_graph
from inspector.recipe.manifest import (
    BandEntry,
    CalibrationEntry,
    FileEntry,
    GoldenEntry,
    Manifest,
    TeacherEntry,
    ViewEntry,
)
from inspector.recipe.recipe import MANIFEST, array_bytes, picture_bytes
from inspector.recipe.weights import file_sha256

BAND, BAND_SHARE = 0.05, 0.02
"""What an engine may be off, and as a part of the threshold where that is more: float32 engines stay within a
tenth of it, products in float16 within half; wrong networks do not. Heat is told in units of what clean cups
differ by (Eq. 3): the more alike they are, the more of these is the same rounding, and the threshold."""
SCALE = "position-scale.npy"
GOLDEN = "golden/distances.npy"


@dataclass(frozen=True, slots=True, eq=False)
class Clean:
    """The clean pictures of a cup type after vision.

    Attributes:
        views: n×R×K×3 uint8 RGB.
        names: of the pictures, for messages.
        orientation: content of the orientation reference, None where cups are not turned.
        background: the network that finds the cup, in the models folder; None for whole pictures.
        rejected: how many clean cups there were beside these that vision refuses, as the line would.
        bits: of a sample in those stored with 16; None where there are none.
        aspect: width to height, their median, where they are compared whole; else None.
    """

    views: NDArray[np.uint8]
    names: Sequence[str]
    orientation: bytes | None = None
    background: FileEntry | None = None
    rejected: int = 0
    bits: int | None = None
    aspect: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What compares, and the numbers that its maps are decided by.

    Attributes:
        compared: what the teacher is compared with.
        calibration: of its maps.
        promise: of the threshold.
        taught_from: clean pictures that taught it.
        how: in words.
        golden: views that every engine must reproduce, n×R×K×3 uint8 RGB.
        golden_distances: what float32 torch makes of them, n×h×w.
        teacher_graph: the teacher's in int8; None: in float32, as its source has it.
        band: how far an engine may be from the golden maps; None: as float32 and float16 need.
    """

    compared: MemoryBank | FeatureNetwork
    calibration: Calibration
    promise: Promise
    taught_from: int
    how: str
    golden: NDArray[np.uint8]
    golden_distances: NDArray[np.float32]
    teacher_graph: bytes | None = None
    band: BandEntry | None = None


def write_bundle(
    name: str,
    view: ViewEntry,
    teacher: Teacher,
    network: FeatureNetwork,
    clean: Clean,
    fitted: Fitted,
    folder: Path,
    models: Path,
) -> Recipe:
    """Write graphs and recipe, and read the recipe back.

    A graph is written before the manifest that names it by its hash: until that is there, the recipe is
    the old one or refuses to load, never a mixture. No graph takes another's place.

    Args:
        name: the recipe's.
        view: what of the cup is compared.
        teacher: which teacher, and how it is read.
        network: the same in torch.
        clean: what it was taught from.
        fitted: what was learned.
        folder: the recipe's.
        models: where the graphs go.

    Raises:
        RecipeError: a file of the recipe cannot be written.
        EngineError: a graph cannot be written.
    """
    narrow = fitted.teacher_graph
    stem = name if narrow is None else f"{name}-int8"
    by_bank = isinstance(fitted.compared, MemoryBank)
    compared = _compared_bytes(fitted.compared, network)
    found = _keep(compared, models, stem, "bank" if by_bank else "student")
    files = {f"golden/{n}.png": picture_bytes(one) for n, one in enumerate(fitted.golden, 1)}
    pictures = tuple(_entry(file, content) for file, content in files.items())
    files[GOLDEN] = array_bytes(fitted.golden_distances)
    scale = fitted.calibration.position_scale
    if scale is not None:
        files[SCALE] = array_bytes(scale)
    if clean.orientation is not None:
        files[ORIENTATION] = clean.orientation

    def entry(file: str) -> FileEntry | None:
        return _entry(file, files[file]) if file in files else None

    promise, calibration = fitted.promise, fitted.calibration
    if narrow is None:
        file, teacher_sha256 = None, file_sha256(export_teacher(teacher, network, models))
    else:
        own = _keep(narrow, models, stem, "teacher")
        file, teacher_sha256 = own.file, own.sha256
    manifest = Manifest(
        name=name,
        version=_next_version(folder),
        precision="float32" if narrow is None else "int8",
        view=view,
        bits=clean.bits,
        aspect=clean.aspect,
        background=clean.background,
        teacher=TeacherEntry(
            name=teacher.name,
            rows=teacher.rows,
            columns=teacher.columns,
            depth=teacher.depth,
            output_norm=teacher.output_norm,
            file=file,
            sha256=teacher_sha256,
        ),
        student=None if by_bank else found,
        bank=found if by_bank else None,
        orientation=entry(ORIENTATION),
        calibration=CalibrationEntry(
            q_a=calibration.q_a,
            q_b=calibration.q_b,
            image_threshold=calibration.image_threshold,
            pixel_threshold=calibration.pixel_threshold,
            score_share=calibration.score_share,
            position_scale=entry(SCALE),
            training_images=fitted.taught_from,
            threshold_images=promise.images,
            scored_on=promise.scored_on,
            false_reject_rate=promise.false_reject_rate,
            confidence=promise.confidence,
            how=fitted.how,
        ),
        golden=GoldenEntry(
            images=pictures,
            distances=_entry(GOLDEN, files[GOLDEN]),
            band=fitted.band or wide_band(calibration),
        ),
        sha256="0" * 64,
    )
    # One file takes its place after the other: stopped between two, none of the recipes would be whole.
    with undivided():
        write_recipe(folder, manifest, files)
    return load_recipe(folder, models)


def wide_band(calibration: Calibration) -> BandEntry:
    """How far a float32 or float16 engine may be from the golden maps, in normalised heat."""
    most = max(BAND, BAND_SHARE * calibration.image_threshold)
    return BandEntry(map=most, score=most)


def _compared_bytes(compared: MemoryBank | FeatureNetwork, network: FeatureNetwork) -> bytes:
    if isinstance(compared, FeatureNetwork):
        return graph_bytes(compared)
    patches = np.asarray(compared.patches.numpy(), np.float32)
    return bank_graph(patches, compared.reach, network.architecture.grid)


def _keep(graph: bytes, models: Path, stem: str, role: str) -> FileEntry:
    """Write a graph of the recipe's own, named by its content as well.

    By the recipe's name alone it took the place of the one that another recipe of that name needs.
    """
    sha256 = hashlib.sha256(graph).hexdigest()
    path = models / f"{stem}-{sha256[:12]}-{role}.onnx"
    try:
        write_atomically(path, graph)
    except OSError as error:
        raise EngineError(
            f"cannot write {path}: {error.strerror}", "make room, or choose another models folder"
        ) from error
    return FileEntry(file=path.name, sha256=sha256)


def _next_version(folder: Path) -> int:
    """One more than the recipe that is there; 1 where there is none that can be read."""
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        return Manifest.model_validate_json(text).version + 1
    except (OSError, ValueError):
        return 1


def _entry(name: str, content: bytes) -> FileEntry:
    return FileEntry(file=name, sha256=hashlib.sha256(content).hexdigest())
