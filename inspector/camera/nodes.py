"""GenICam features by name: read, written and asked for, with errors that name the feature."""

from collections.abc import Iterable
from typing import Any, Final

from inspector.camera.library import genapi, gentl
from inspector.core.errors import CameraError

GENICAM_ERRORS: Final = (genapi.GenericException, gentl.GenericException)
"""Whatever the binding raises; the two share no base of their own."""

Value = str | int | float | bool


class Nodes:
    """The features of a camera and, where the camera has none of a name, of its data stream."""

    def __init__(self, *node_maps: Any) -> None:
        self._node_maps = node_maps

    def offers(self, name: str, choice: str | None = None) -> bool:
        """True when the feature is there and usable, and the choice among its entries."""
        node = self._find(name)
        if node is None or not genapi.is_available(node):
            return False
        return choice is None or choice in self.choices(name)

    def takes(self, name: str, value: Value) -> bool:
        """True when the feature may be written now, and the value is among its entries if it has any."""
        node = self._find(name)
        if node is None or not genapi.is_writable(node):
            return False
        choices = self.choices(name)
        return not choices or value in choices

    def choices(self, name: str) -> tuple[str, ...]:
        """The entries of an enumeration that may be chosen now; empty where it is none."""
        entries: Iterable[Any] = getattr(self._find(name), "entries", ())
        return tuple(entry.symbolic for entry in entries if genapi.is_available(entry))

    def read(self, name: str) -> Value:
        """The feature's value, from the camera itself and not from a cache.

        Raises:
            CameraError: the camera has no such feature, or does not answer.
        """
        node = self._required(name)
        try:
            # Arguments: verify, ignore the cache.
            value: Value = node.get_value(False, True)
        except GENICAM_ERRORS as error:
            raise CameraError(
                f"the camera's {name} cannot be read: {brief(error)}", "check cable and power"
            ) from error
        return value

    def write(self, name: str, value: Value) -> None:
        """Set the feature.

        Raises:
            CameraError: it is missing, not writable now, or does not take this value; the message
                names it and, where they are few, what it takes.
        """
        node = self._required(name)
        choices = self.choices(name)
        if choices and value not in choices:
            raise CameraError(
                f"the camera's {name} does not offer {value}", f"choose one of {', '.join(choices)}"
            )
        if not genapi.is_writable(node):
            raise CameraError(
                f"the camera's {name} cannot be written now",
                "remove it from node_values or from the camera settings, or set what locks it before",
            )
        try:
            # A float node refuses an int in some versions of the binding.
            node.value = float(value) if isinstance(node, genapi.IFloat) else value
        except (*GENICAM_ERRORS, TypeError) as error:
            limits = ""
            if isinstance(node, genapi.IFloat | genapi.IInteger):
                limits = f" between {node.min:g} and {node.max:g}"
            raise CameraError(
                f"the camera's {name} does not take {value!r}: {brief(error)}",
                f"give a value{limits} that it takes",
            ) from error

    def execute(self, name: str) -> None:
        """Run a command feature.

        Raises:
            CameraError: it is missing, or the camera does not answer.
        """
        node = self._required(name)
        try:
            node.execute()
        except GENICAM_ERRORS as error:
            raise CameraError(
                f"the camera's {name} failed: {brief(error)}", "check cable and power"
            ) from error

    def _find(self, name: str) -> Any:
        for node_map in self._node_maps:
            if node_map is not None and node_map.has_node(name):
                return getattr(node_map, name)
        return None

    def _required(self, name: str) -> Any:
        node = self._find(name)
        if node is None:
            raise CameraError(
                f"the camera has no feature {name}",
                "remove it from the configuration, or use the name in the camera's own manual",
            )
        return node


def brief(error: Exception) -> str:
    """The first sentence of the binding's message, without its source files and line numbers."""
    return str(error).split(" : ")[0].split("\n")[0].strip() or type(error).__name__
