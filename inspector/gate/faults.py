"""What is wrong with a block that came whole but is not one: the same whatever carried it."""

from inspector.gate.protocol import GateFault, GateLinkError
from inspector.gate.registers import BlockError, TornBlockError, WrongMapError


def misread(error: BlockError, peer: str, settings: str) -> GateLinkError:
    """The error's name among the link's faults, and its remedy.

    Args:
        error: what `decode_plc` says.
        peer: who gave the block, e.g. ``the PLC of lane-1 at 192.168.10.20:502``.
        settings: the keys that may lead to another block, for the remedy.
    """
    if isinstance(error, WrongMapError):
        return GateLinkError(
            GateFault.WRONG_MAP,
            f"{peer} shows {error}",
            f"load the PLC program of this version or correct {settings} (docs/plc.md)",
        )
    if isinstance(error, TornBlockError):
        return GateLinkError(
            GateFault.TORN,
            f"{peer} gave a torn block: {error}",
            "let the PLC copy the whole block within one scan (docs/plc.md)",
        )
    return GateLinkError(
        GateFault.GARBAGE,
        f"{peer} answers what makes no sense: {error}",
        f"see that {settings} name the PLC of this lane and its block is laid out as docs/plc.md says",
    )
