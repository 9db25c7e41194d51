"""A recipe's folder on disk: read it whole and checked, or not at all; write it likewise."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from inspector.core.errors import RecipeError
from inspector.core.files import write_together
from inspector.decision import Calibration
from inspector.recipe.manifest import FORMAT, FileEntry, Manifest, TeacherEntry
from inspector.recipe.teacher import Teacher, teacher_path
from inspector.recipe.weights import file_sha256

MANIFEST = "recipe.json"
_MEND_RECIPE = "restore the recipe's folder from where it was made, or teach the type again"
_MEND_MODELS = "restore the models folder from where the recipe was made, or teach the type again"


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """A verified recipe: every file it names is there and is the one it was made with.

    Attributes:
        manifest: all it says of itself.
        folder: where it lies.
        models: where its networks lie.
        teacher_file: the teacher's graph where it lies in models, None where this machine makes it.
        student: the student's graph, None where a bank compares.
        bank: the graph of the clean patches, None where a student compares.
        background: the graph that finds the cup, None where pictures hold nothing else.
        orientation: the file that says what upright is, None where cups are not turned.
        calibration: ready for ``inspector.decision.judge``.
        golden_images: n×S×S×3 uint8 RGB.
        golden_distances: n×h×w float32, D of Eq. 1 as float32 torch computed it.
    """

    manifest: Manifest
    folder: Path
    models: Path
    teacher_file: Path | None
    student: Path | None
    bank: Path | None
    background: Path | None
    orientation: Path | None
    calibration: Calibration
    golden_images: NDArray[np.uint8]
    golden_distances: NDArray[np.float32]

    @property
    def label(self) -> str:
        """Name, version and hash: what stands in every verdict."""
        return f"{self.manifest.name} v{self.manifest.version} {self.manifest.sha256[:12]}"

    @property
    def teacher(self) -> Teacher:
        """Which teacher, and how it is read."""
        entry = self.manifest.teacher
        return Teacher(
            name=entry.name,
            rows=entry.rows,
            columns=entry.columns,
            depth=entry.depth,
            output_norm=entry.output_norm,
            cup_only=self.manifest.view.kind == "round",
        )

    def teacher_graph(self) -> Path:
        """The teacher's graph, made at first use where it is no file of the recipe's own.

        Raises:
            EngineError: see :func:`inspector.recipe.teacher_path`.
        """
        if self.teacher_file is not None:
            return self.teacher_file
        return teacher_path(self.teacher, self.models, self.manifest.teacher.sha256)

    def cup_finder(self) -> tuple[Path, str]:
        """The graph that finds the cup in a frame, and its hash: what no line can do without.

        Raises:
            RecipeError: it was taught from pictures that are compared whole.
        """
        if self.background is None or self.manifest.background is None:
            raise RecipeError(f"{self.label} finds no cups", "teach it from whole camera frames")
        return self.background, self.manifest.background.sha256


def load_recipe(folder: Path, models: Path) -> Recipe:
    """Read a recipe and check every file it names.

    Args:
        folder: the recipe's, with ``recipe.json`` in it.
        models: where the networks it names lie.

    Raises:
        RecipeError: a file is missing or changed, a key is unknown or wrong, or parts do not fit; the
            message names the file and what to do.
    """
    manifest = _manifest(folder / MANIFEST)
    golden_files = [_checked(folder, entry) for entry in manifest.golden.images]
    shape = (manifest.view.rows, manifest.view.columns, 3)
    images = np.stack([_picture(path, shape) for path in golden_files])
    distances = _array(_checked(folder, manifest.golden.distances))
    if distances.ndim != 3 or len(distances) != len(images):
        raise RecipeError(
            f"{folder / manifest.golden.distances.file} does not hold one map a golden image",
            _MEND_RECIPE,
        )
    scale_entry = manifest.calibration.position_scale
    scale = _array(_checked(folder, scale_entry)) if scale_entry is not None else None
    if scale is not None and scale.shape != distances.shape[1:]:
        raise RecipeError(
            f"the position scale of {folder} and its golden maps have different sizes", _MEND_RECIPE
        )
    return Recipe(
        manifest=manifest,
        folder=folder,
        models=models,
        teacher_file=_teacher_file(models, manifest.teacher),
        student=_optional(models, manifest.student, _MEND_MODELS),
        bank=_optional(models, manifest.bank, _MEND_MODELS),
        background=_optional(models, manifest.background, _MEND_MODELS),
        orientation=_optional(folder, manifest.orientation, _MEND_RECIPE),
        calibration=_calibration(folder, manifest, scale),
        golden_images=images,
        golden_distances=distances,
    )


def write_recipe(folder: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
    """Write a recipe's files and its manifest, together; seals the manifest.

    The manifest takes its place last: until it is there, an older one still holds or none at all, and files
    that do not match it are found by their hashes. Networks are not written: they lie in the models folder.

    Args:
        folder: the recipe's.
        manifest: its ``sha256`` may hold anything; it is computed here.
        files: content by path below ``folder``, as the manifest names them.

    Raises:
        RecipeError: the folder cannot be written.
    """
    sealed = manifest.sealed()
    text = json.dumps(sealed.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    contents = {folder / name: content for name, content in files.items()}
    try:
        write_together({**contents, folder / MANIFEST: text.encode()})
    except OSError as error:
        raise RecipeError(
            f"cannot write the recipe {folder}: {error.strerror}",
            "make room, or choose a folder that can be written",
        ) from error
    return sealed


def array_bytes(array: NDArray[np.float32]) -> bytes:
    """An array as the content of a ``.npy`` file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def picture_bytes(image: NDArray[np.uint8]) -> bytes:
    """S×S×3 uint8 RGB as the content of a ``.png`` file."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return bytes(encoded.tobytes())


def _manifest(path: Path) -> Manifest:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RecipeError(
            f"there is no recipe in {path.parent}", f"give a folder that holds a {MANIFEST}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read", _MEND_RECIPE) from error
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"] == ("format",):
            # Restoring it would bring the same back: its views are not those of this program.
            raise RecipeError(
                f"{path} is of format {first['input']}, and this program's views and keys are those of "
                f"format {FORMAT}",
                "teach the type anew",
            ) from error
        key = ".".join(str(step) for step in first["loc"]) or "the file"
        if first["type"] == "extra_forbidden":
            raise RecipeError(
                f"{path}: {key}: no such key",
                "bring this program up to date, for a newer one may have taught it, or teach the type again",
            ) from error
        raise RecipeError(f"{path}: {key}: {first['msg']}", _MEND_RECIPE) from error
    if manifest.sha256 != manifest.digest():
        raise RecipeError(f"{path} was changed after it was made", _MEND_RECIPE)
    return manifest


def _checked(folder: Path, entry: FileEntry, mend: str = _MEND_RECIPE) -> Path:
    path = folder / entry.file
    try:
        found = file_sha256(path)
    except FileNotFoundError as error:
        raise RecipeError(f"{path} is missing", mend) from error
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}", mend) from error
    if found != entry.sha256:
        raise RecipeError(f"{path} is damaged or not the file the recipe was made with", mend)
    return path


def _optional(folder: Path, entry: FileEntry | None, mend: str) -> Path | None:
    return None if entry is None else _checked(folder, entry, mend)


def _teacher_file(models: Path, entry: TeacherEntry) -> Path | None:
    if entry.file is None:
        return None
    return _checked(models, FileEntry(file=entry.file, sha256=entry.sha256), _MEND_MODELS)


def _array(path: Path) -> NDArray[np.float32]:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RecipeError(f"{path} is not a plain .npy file", _MEND_RECIPE) from error
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        raise RecipeError(f"{path} does not hold float32 numbers", _MEND_RECIPE)
    return array


def _picture(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None or picture.shape != shape:
        raise RecipeError(f"{path} is not a picture of {shape[0]}×{shape[1]} pixels", _MEND_RECIPE)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _calibration(
    folder: Path, manifest: Manifest, scale: NDArray[np.float32] | None
) -> Calibration:
    entry = manifest.calibration
    try:
        return Calibration(
            q_a=entry.q_a,
            q_b=entry.q_b,
            image_threshold=entry.image_threshold,
            pixel_threshold=entry.pixel_threshold,
            score_share=entry.score_share,
            position_scale=scale,
        )
    except ValueError as error:
        raise RecipeError(
            f"the calibration of {folder} makes no sense: {error}", _MEND_RECIPE
        ) from error
