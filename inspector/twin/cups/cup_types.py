"""The four cup types of the twin: what differs between them apart from the baked light."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from inspector.core.errors import InspectorError


class UnknownCupTypeError(InspectorError):
    """There is no cup type of that name in the twin."""


class Emblem(StrEnum):
    """The drawn mark in front of the brand name; each has one clear direction."""

    LOOP = "loop"
    LEAF = "leaf"
    DROP = "drop"
    BEAN = "bean"


@dataclass(frozen=True, slots=True)
class PrintArtwork:
    """What is printed on the wall, read from inside the cup.

    Attributes:
        emblem: the mark in front of the name.
        name: the brand name in large letters.
        note: the small second line.
        ink: linear RGB factor of full ink coverage on the wall, each in (0, 1].
        coverage: how much of the ink shows through to the inside, in (0, 1].
    """

    emblem: Emblem
    name: str
    note: str
    ink: tuple[float, float, float]
    coverage: float


@dataclass(frozen=True, slots=True)
class CupType:
    """One cup type.

    Attributes:
        name: ``type-01`` to ``type-04``; also the folder of its baked light.
        number: 1 to 4; keeps the random numbers of two types with one seed apart.
        description: for people.
        translucent: whether light comes through the wall (a crack then leaks light).
        artwork: the print on its wall.
    """

    name: str
    number: int
    description: str
    translucent: bool
    artwork: PrintArtwork


_ALL: Final = (
    CupType(
        "type-01",
        1,
        "frosted natural polypropylene, 0.3 l",
        True,
        PrintArtwork(Emblem.LOOP, "RE-CUP", "0,3 l", (0.16, 0.34, 0.22), 0.72),
    ),
    CupType(
        "type-02",
        2,
        "opaque white with a strong taper, 0.4 l",
        False,
        PrintArtwork(Emblem.LEAF, "MEHRWEG", "0,4 l", (0.55, 0.10, 0.10), 0.36),
    ),
    CupType(
        "type-03",
        3,
        "translucent teal, low, 0.2 l",
        True,
        PrintArtwork(Emblem.DROP, "AQUA", "0,2 l", (0.06, 0.14, 0.42), 0.62),
    ),
    CupType(
        "type-04",
        4,
        "opaque sand, 0.3 l",
        False,
        PrintArtwork(Emblem.BEAN, "KAFFEE", "to go", (0.20, 0.13, 0.07), 0.55),
    ),
)
CUP_TYPES: Final[dict[str, CupType]] = {cup_type.name: cup_type for cup_type in _ALL}
"""Every cup type by its name."""


def cup_type_named(cup_type: CupType | str) -> CupType:
    """The cup type of that name; a cup type is handed back as it is.

    Raises:
        UnknownCupTypeError: there is none.
    """
    if isinstance(cup_type, CupType):
        return cup_type
    try:
        return CUP_TYPES[cup_type]
    except KeyError:
        raise UnknownCupTypeError(
            f"the twin has no cup type {cup_type!r}", f"use one of {', '.join(CUP_TYPES)}"
        ) from None
