"""The defects that the twin can draw."""

from enum import StrEnum


class DefectKind(StrEnum):
    """A kind of defect; its value is the folder name in a data set."""

    MOULD = "mould"
    CRACK = "crack"
    HOLE = "hole"
    CHIP = "chip"
    RESIDUE = "residue"
    SCRATCH = "scratch"
    STAIN = "stain"
