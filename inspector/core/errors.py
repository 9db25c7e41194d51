"""Errors a person reads: one line that says what is wrong and how to mend it."""


class InspectorError(Exception):
    """Base of all errors shown to a user.

    Args:
        what: what is wrong, without a final full stop.
        remedy: what to do about it, without a final full stop.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["InspectorError"], tuple[str, str]]:
        """From one process to another it stays the same error."""
        return type(self), (self.what, self.remedy)


class ConfigurationError(InspectorError):
    """The line's configuration cannot be used."""


class CameraError(InspectorError):
    """The camera or its producer cannot be used."""


class GateError(InspectorError):
    """The PLC or its link cannot be used."""


class RecipeError(InspectorError):
    """A recipe or one of its files is missing, changed or does not fit."""


class EngineError(InspectorError):
    """A network cannot be loaded, disagrees with its golden images, or failed while running."""


class RecordsError(InspectorError):
    """The ledger or the archive cannot be used."""
