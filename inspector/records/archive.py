"""The picture archive: JPEG files by day, bounded by size and by what the disk has left."""

import contextlib
import re
import shutil
from collections import Counter, deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray

from inspector.core.errors import RecordsError
from inspector.core.part import PartId
from inspector.records.ledger import StoredPicture
from inspector.records.pictures import Picture

_JPEG_QUALITY = 90
# Whatever keep_free_mb says: room for a journal segment, the write-ahead log and some growth.
_ROWS_OWN_BYTES = 16 << 20
_FILE_NAME = re.compile(
    r"(?P<lane>.+)-(?P<session>[0-9]{1,18})-(?P<number>[0-9]{1,18})-(?:cup|heat)\.jpg"
)
_log = structlog.get_logger()


def pictures_folder(directory: Path) -> Path:
    """Where the pictures lie below the records directory."""
    return directory / "pictures"


def picture_file(directory: Path, stem: str, kind: str) -> Path:
    """The file of one kind (``cup`` or ``heat``) of a stored picture."""
    return pictures_folder(directory) / f"{stem}-{kind}.jpg"


def heat_overlay(cup_image: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The heat map in JET colours (paper §5), half transparent over the cup; uint8 h×w×3 RGB.

    Args:
        cup_image: uint8 h×w×3 RGB.
        heat: float32 of any size, 0 cold to 1 hot; clipped, and NaN counts as hot.
    """
    height, width = cup_image.shape[:2]
    level = np.clip(np.nan_to_num(heat, nan=1.0), 0.0, 1.0)
    grey = cv2.resize((level * 255).astype(np.uint8), (width, height), cv2.INTER_LINEAR)
    colours = cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
    overlay: NDArray[np.uint8] = cv2.addWeighted(cup_image, 0.45, colours, 0.55, 0.0)
    return overlay


class PictureArchive:
    """Stores pictures and deletes the oldest to stay within its bounds.

    The files are the truth; the ledger's ``pictures`` table follows them: ``added`` and ``gone``
    collect what has to be written there. Which pictures there are is not kept in memory, where it would
    grow for weeks: the oldest day's folder is read when it is its turn to go.

    Args:
        directory: the records directory.
        limit_bytes: all pictures together.
        keep_free_bytes: what the disk must have left; the last 16 MB always belong to the rows.
        known: the pictures that the ledger knows, part → stem.

    Raises:
        RecordsError: the folder cannot be made.
    """

    def __init__(
        self,
        directory: Path,
        limit_bytes: int,
        keep_free_bytes: int,
        known: Mapping[PartId, str] = MappingProxyType({}),
    ) -> None:
        self._directory = directory
        self._folder = pictures_folder(directory)
        self._limit = limit_bytes
        self._keep_free = max(keep_free_bytes, _ROWS_OWN_BYTES)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            here = [picture for day in self._days() for picture in _found(day)]
        except OSError as error:
            raise RecordsError(
                f"cannot use the picture archive {self._folder}: {error.strerror}",
                "give this user write access to it, or set records.directory to another folder",
            ) from error
        self._oldest: deque[StoredPicture] = deque()
        self._kept_days: set[str] = set()
        """Of pictures that could not be deleted: left alone until the next start."""
        self._sizes: Counter[str] = Counter()
        """Of each day's pictures, bytes."""
        for picture in here:
            self._sizes[_day(picture.stem)] += picture.size
        parts = {picture.part for picture in here}
        self.added = [picture for picture in here if known.get(picture.part) != picture.stem]
        self.gone = [part for part in known if part not in parts]

    def store(self, picture: Picture) -> bool:
        """Write a picture's files; False where there is no room for it, or the disk fails."""
        files = {"cup": _jpeg(picture.cup_image)}
        if picture.heat is not None:
            files["heat"] = _jpeg(heat_overlay(picture.cup_image, picture.heat))
        size = sum(map(len, files.values()))
        if not self.make_room(size):
            return False
        part = picture.part
        day = datetime.now(UTC).strftime("%Y-%m-%d")
        stem = _stem(day, part)
        try:
            (self._folder / day).mkdir(exist_ok=True)
            for kind, content in files.items():
                _write(picture_file(self._directory, stem, kind), content)
        except OSError as error:
            _log.error("picture_not_stored", stem=stem, error=error.strerror)
            self._delete_files(stem)
            return False
        self.added.append(StoredPicture(part, stem, size))
        self._sizes[day] += size
        return True

    @property
    def size(self) -> int:
        """Of all pictures, bytes; what others delete is found missing when there is no room left."""
        return self._sizes.total()

    def make_room(self, size: int = 0) -> bool:
        """Delete the oldest pictures until ``size`` bytes more fit the bounds; False where they cannot."""
        while not self._fits(size):
            if not self._oldest:
                if not self._find_oldest():
                    return self._fits(size)
                continue
            oldest = self._oldest.popleft()
            day = _day(oldest.stem)
            if not self._delete_files(oldest.stem):
                # A disk that is read only by now, files of somebody else: not tried for ever.
                self._kept_days.add(day)
                self._oldest.clear()
                continue
            self._sizes[day] -= oldest.size
            self.gone.append(oldest.part)
        return True

    def _find_oldest(self) -> bool:
        """Read the oldest day of which anything may be deleted; False where there is none."""
        days = self._days()
        for deleted in self._sizes.keys() - {day.name for day in days}:
            del self._sizes[deleted]
        for day in days:
            if day.name not in self._kept_days:
                self._oldest.extend(_found(day))
                self._sizes[day.name] = sum(picture.size for picture in self._oldest)
            if self._oldest:
                return True
        return False

    def _days(self) -> list[Path]:
        """The folders of the days, oldest first."""
        return sorted(day for day in self._folder.iterdir() if day.is_dir())

    def _fits(self, size: int) -> bool:
        free = shutil.disk_usage(self._folder).free
        return self.size + size <= self._limit and free - size >= self._keep_free

    def _delete_files(self, stem: str) -> bool:
        """False, and said, where a file stays."""
        for kind in ("cup", "heat"):
            try:
                picture_file(self._directory, stem, kind).unlink(missing_ok=True)
            except OSError as error:
                _log.error(
                    "picture_not_deleted",
                    stem=stem,
                    error=error.strerror,
                    remedy="give this user write access to it, see whether the disk is read only, and start "
                    "the line anew: pictures of that day stay until then",
                )
                return False
        with contextlib.suppress(OSError):  # other pictures of that day are left
            (self._folder / stem).parent.rmdir()
        return True


def _found(day: Path) -> list[StoredPicture]:
    """What a day's folder holds, oldest first; left-overs of an interrupted write are removed."""
    sizes: dict[PartId, int] = {}
    ages: dict[PartId, int] = {}
    for file in day.iterdir():
        match = _FILE_NAME.fullmatch(file.name)
        state = file.stat()
        if match is None or state.st_size == 0:
            if file.suffix == ".part" or match is not None:
                file.unlink()
            continue
        part = PartId(match["lane"], int(match["session"]), int(match["number"]))
        sizes[part] = sizes.get(part, 0) + state.st_size
        ages[part] = state.st_mtime_ns
    return [
        StoredPicture(part, _stem(day.name, part), sizes[part])
        for part in sorted(sizes, key=ages.__getitem__)
    ]


def _day(stem: str) -> str:
    return stem.partition("/")[0]


def _stem(day: str, part: PartId) -> str:
    return f"{day}/{part.lane}-{part.session}-{part.number}"


def _jpeg(rgb: NDArray[np.uint8]) -> bytes:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    done, content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise ValueError(f"cannot encode a picture of shape {rgb.shape}")
    return bytes(content)


def _write(file: Path, content: bytes) -> None:
    """All of it or nothing: readers never see half a picture."""
    unfinished = file.with_suffix(".part")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(file)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
