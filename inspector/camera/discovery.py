"""Producers and the cameras they find."""

import ctypes
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inspector.camera.library import Harvester, ParameterKey, ParameterSet
from inspector.camera.nodes import GENICAM_ERRORS
from inspector.core.errors import CameraError

_ENUMERATION_MS: Final = 500
"""How long a producer may wait for cameras to answer one search."""


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """What a producer tells of a camera before it is opened."""

    serial: str
    model: str
    vendor: str
    user_name: str


class Complaints(logging.Handler):
    """Collects what harvesters would print with a traceback: one line each, the newest few."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first line of a complaint."""
        line = record.getMessage().split("\n")[0].strip()
        if line and line not in self.lines:
            self.lines = [*self.lines[-4:], line]


class Discovery:
    """One producer, searched for cameras as often as needed."""

    def __init__(self, producer: Path) -> None:
        """Load the producer.

        Raises:
            CameraError: there is no such file, or it is no GenTL producer.
        """
        self.complaints = Complaints()
        logger = logging.Logger("harvesters", logging.WARNING)  # noqa: LOG001 - kept out of the tree
        logger.addHandler(self.complaints)
        _check_producer(producer)
        self.harvester = Harvester(config=ParameterSet({ParameterKey.LOGGER: logger}))
        self.harvester.timeout_for_update = _ENUMERATION_MS
        # Without the check harvesters only logs that a file is missing.
        self.harvester.add_file(str(producer), check_existence=True)

    def search(self) -> list[FoundCamera]:
        """The cameras that can be reached now. It makes every acquirer created before obsolete."""
        self.harvester.update()
        return [
            FoundCamera(
                serial=_told(info, "serial_number"),
                model=_told(info, "model"),
                vendor=_told(info, "vendor"),
                user_name=_told(info, "user_defined_name"),
            )
            for info in self.harvester.device_info_list
        ]


def choose(
    found: list[FoundCamera], serial: str | None, *, seen_before: bool = False
) -> int | None:
    """Which of the cameras found is meant: its index, None when it is worth while to wait for it.

    Args:
        found: the cameras that answer.
        serial: the one that is meant; None takes the only one.
        seen_before: this camera has been here, so that it may be missing among others.

    Raises:
        CameraError: others are there but not this one, or several and none is named.
    """
    if not found:
        return None
    serials = ", ".join(camera.serial or "(none)" for camera in found)
    if serial is None:
        if len(found) == 1:
            return 0
        raise CameraError(
            f"{len(found)} cameras are there, with serials {serials}",
            "name the one that is meant as camera.serial",
        )
    for index, camera in enumerate(found):
        if camera.serial == serial:
            return index
    if seen_before:
        return None
    raise CameraError(
        f"no camera with serial {serial} is there, only {serials}",
        "correct camera.serial, or connect that camera and switch it on",
    )


def _check_producer(producer: Path) -> None:
    """Raise CameraError where the file is missing or cannot be loaded as a GenTL producer."""
    remedy = "set camera.producer to the .cti file that the camera maker's software installed"
    if not producer.is_file():
        raise CameraError(f"the GenTL producer {producer} does not exist", remedy)
    try:
        library = ctypes.CDLL(str(producer))
    except OSError as error:
        raise CameraError(
            f"the GenTL producer {producer} cannot be loaded: {error}",
            "install what it needs, with the environment that its maker's set-up script sets",
        ) from error
    if not hasattr(library, "GCInitLib"):
        raise CameraError(f"{producer} is a library, but no GenTL producer", remedy)


def _told(info: Any, name: str) -> str:
    """A property of a device, empty where the producer does not tell it."""
    try:
        return str(getattr(info, name) or "")
    except GENICAM_ERRORS:
        return ""
