"""``recipe.json``: every key of it, typed. Unknown keys are errors."""

import hashlib
import json
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FORMAT: Final = 7
"""Counts up with the keys below, and when the same frame leads to other views: those taught before would
judge them otherwise, and golden images, which are views already, would not tell."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
NAME = r"^[a-z0-9][a-z0-9-]{0,31}$"
Name = Annotated[str, Field(pattern=NAME)]
FileName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$")
]
"""A path below its folder: no absolute path, no way upwards."""


class Entry(BaseModel):
    """Base of all parts: immutable, finite numbers, and a key that nobody knows is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FileEntry(Entry):
    """A file and what it must be."""

    file: FileName = Field(description="path below the recipe's (networks: the models') folder")
    sha256: Sha256


class TeacherEntry(Entry):
    """The frozen network: made on this machine from its package's weights, never committed."""

    name: str = Field(description="the weights' source")
    rows: int = Field(gt=0, description="of its input, px")
    columns: int = Field(gt=0, description="of its input, px")
    depth: int = Field(gt=0, description="blocks before the features are taken")
    output_norm: Literal["plain", "final", "none"] = Field(
        default="plain", description="what is done to each position of the features last"
    )
    file: FileName | None = Field(
        default=None,
        description="its graph, in models, where it cannot be made from the source alone: in int8",
    )
    sha256: Sha256 = Field(description="of the graph made from them")


class CalibrationEntry(Entry):
    """What clean pictures said, and how they were asked."""

    q_a: float = Field(description="heat normalised to 0 (Eq. 3)")
    q_b: float = Field(description="heat normalised to 1")
    image_threshold: float = Field(description="image score above which a part is rejected")
    pixel_threshold: float = Field(description="normalised heat above which a pixel is shown")
    score_share: float = Field(ge=0, le=1, description="share of positions averaged; 0: maximum")
    position_scale: FileEntry | None = Field(description="h×w float32 .npy; none: not used")
    training_images: int = Field(ge=1, description="clean pictures it was taught from")
    threshold_images: int = Field(ge=1, description="clean pictures behind the thresholds")
    scored_on: Literal["held-out", "leave-one-out", "augmented views"] = Field(
        description="what those pictures are, which is what the promise rests on"
    )
    false_reject_rate: float = Field(
        gt=0, le=1, description="promised: at most this share of clean parts rejected; 1: nothing"
    )
    confidence: float = Field(gt=0, lt=1, description="of the promise")
    how: str = Field(description="how all of it was fitted, in words")

    @model_validator(mode="after")
    def _ordered(self) -> "CalibrationEntry":
        if self.q_a >= self.q_b:
            raise ValueError("q_b must be above q_a")
        return self


class BandEntry(Entry):
    """How far an engine may be from the golden maps, in normalised heat."""

    map: float = Field(gt=0, description="largest difference at any position")
    score: float = Field(gt=0, description="largest difference of the image score")


class GoldenEntry(Entry):
    """Pictures and what float32 torch made of them: what every engine must reproduce."""

    images: tuple[FileEntry, ...] = Field(min_length=1, description="cup images, PNG")
    distances: FileEntry = Field(description="n×h×w float32 .npy, D of Eq. 1")
    band: BandEntry


class ViewEntry(Entry):
    """What of the picture the networks see."""

    kind: Literal["upright", "round", "polar", "whole"] = Field(
        default="upright",
        description="upright: the cup image; round: its patches that show the cup, alone; polar: the "
        "cup unwrapped around its rings' centres, in even light, radius down, angle across; whole: the "
        "picture as it is, of things that are no cups",
    )
    rows: int = Field(default=384, gt=0, description="of the view, px")
    columns: int = Field(default=384, gt=0, description="of the view, px")
    contrast: float = Field(
        default=1.0,
        ge=1,
        le=8,
        description="polar: so many times as far as it is each pixel is put from its ring's light",
    )

    @model_validator(mode="after")
    def _rings_for_contrast(self) -> "ViewEntry":
        if self.contrast != 1 and self.kind != "polar":
            raise ValueError("only a polar view has rings, and so a contrast")
        return self


class Manifest(Entry):
    """A cup type's recipe, whole."""

    format: Literal[7] = FORMAT
    name: Name
    version: int = Field(ge=1, description="counts up with every teaching of this type")
    precision: Literal["float32", "int8"] = Field(
        default="float32",
        description="the networks' own: calibration, thresholds and band hold for it alone",
    )
    view: ViewEntry = ViewEntry()
    bits: int | None = Field(
        default=None,
        ge=8,
        le=16,
        description="of a sample in the clean pictures, where they are stored with 16; none: they are not",
    )
    aspect: float | None = Field(
        default=None,
        gt=0,
        description="width to height of the clean pictures, where they are compared whole; none: not known",
    )
    background: FileEntry | None = Field(description="network that finds the cup; in models")
    teacher: TeacherEntry
    student: FileEntry | None = Field(description="in models; none: a bank compares")
    bank: FileEntry | None = Field(description="clean patches; in models; none: a student compares")
    orientation: FileEntry | None = Field(description="what upright is; none: not turned")
    calibration: CalibrationEntry
    golden: GoldenEntry
    sha256: Sha256 = Field(description="over everything above, and so over every file")

    @model_validator(mode="after")
    def _compares_in_one_way(self) -> "Manifest":
        if (self.student is None) == (self.bank is None):
            raise ValueError("a recipe compares with a student or with a bank")
        return self

    @model_validator(mode="after")
    def _narrow_graph_is_a_file(self) -> "Manifest":
        if (self.precision == "int8") != (self.teacher.file is not None):
            raise ValueError("a teacher in int8 is a file, and one in float32 is not")
        return self

    @model_validator(mode="after")
    def _finds_what_it_compares(self) -> "Manifest":
        if self.view.kind == "whole" and self.background is not None:
            raise ValueError("a recipe that compares whole pictures finds no cups")
        return self

    def digest(self) -> str:
        """What ``sha256`` must be."""
        # Where there is nothing to say a recipe says what it did before it knew these keys.
        unsaid = {key for key in ("bits", "aspect") if getattr(self, key) is None}
        content = self.model_dump(mode="json", exclude={"sha256", *unsaid})
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def sealed(self) -> "Manifest":
        """The same with its own hash filled in."""
        return self.model_copy(update={"sha256": self.digest()})
