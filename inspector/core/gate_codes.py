"""What the program at the gate says of itself and of each part; the numbers are those of docs/plc.md."""

from enum import IntEnum, IntFlag


class GateAction(IntEnum):
    """What the gate did with a part."""

    PASSED = 1
    DIVERTED = 2
    DIVERTED_BY_DEFAULT = 3
    """Not because of a NOK, but for want of a usable OK."""


class GateReason(IntEnum):
    """Why the gate did so."""

    OK = 1
    NOK = 2
    NO_RESULT = 3
    """No result for this part before it was at the gate."""
    STALE_HEARTBEAT = 4
    """The line's heartbeat stood still."""
    LINE_NOT_RUNNING = 5
    """The line's state was not RUNNING."""
    PREMATURE_RESULT = 6
    """A result came before the part was counted: not a fresh one."""
    LATE_RESULT = 7
    """The result came when its part was at the gate or past it."""
    NEIGHBOUR = 8
    """Another part without an OK was within the gate's reach."""
    UNCOUNTED = 9
    """The part had passed the photo-eye before the program started to count."""
    BELT_STOPPED = 10
    """A timed belt stood while the part was on it, or had only just begun to run; or one with an encoder
    stood so long that hands may have been at it."""
    BELT_REVERSED = 11
    """The belt ran backwards while the part was on it, which may break the photo-eye's beam again."""
    ENCODER_SILENT = 12
    """The belt's drive ran and its encoder did not count."""
    OUT_OF_STEP = 13
    """A part came to the gate's own eye where none should be, or none came where one should."""
    UNCONFIRMED = 14
    """A part that was to be rejected was not seen in the reject chute: nothing passes until that is reset."""


class GateStatus(IntFlag):
    """Bits of the status register."""

    READY = 1
    """The program runs and the diverter is under its control."""
    LINE_ALIVE = 2
    """The line's heartbeat changed within the program's time limit."""
    PHOTO_EYE = 4
    """A photo-eye is counted; without it parts are placed by the age of their result."""
    OVERRUN = 8
    """Gate results were overwritten before the line had read them."""
    BELT_STANDS = 16
    """The belt stands, starts or runs back: where parts counted now are is not certain."""
    UNCONFIRMED = 32
    """A reject was not confirmed: the diverter may be stuck. Nothing passes until somebody resets it."""
