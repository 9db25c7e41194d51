"""Which way a cup's print faces, told from clean pictures of its type and nothing else.

A cup is unwrapped around its rim's centre: rows are radii, columns angles, so that turning it is a
shift along the columns. The logarithm makes light and print add up. Lamps stay where they are while
the cup turns, so a clean picture is, row by row and frequency by frequency along the angle,

    picture = light + print shifted by the cup's angle + noise.

:func:`learn_orientation` (in ``learning``) tells the three apart. :meth:`OrientationReference.match`
is the matched filter that follows from them: take the light away, correlate with the print, weigh
every row and frequency by how little it differs from cup to cup.
"""

import io
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import RecipeError
from inspector.vision.pixels import averaged, halvings

HARMONICS = 120
"""Frequencies along the angle that are kept, 1 to this; finer ones do not help below 1°."""
_ROWS = 48
_COLUMNS = 512
_INNER, _OUTER = 0.12, 0.95
"""Radii looked at, as parts of the rim's. The rim itself is left out: chips sit there."""
_RADIUS_PX = 150.0
"""A rim this large shows all that is looked at; a larger one is halved while it stays so, against noise."""
_FINE = 4096
_DARK = 8.0
"""Added before the logarithm, so that noise in dark places does not weigh more than print."""
_VERSION = 2
"""Counts up when the same frame leads to another spectrum."""

Spectrum = NDArray[np.complex64]
"""(3·rows, harmonics): one row a radius and colour, one column a frequency along the angle."""

_LOGARITHM = np.log(np.arange(256) + _DARK).astype(np.float32)
_ORDER = np.arange(1, HARMONICS + 1)


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a cup lies.

    Attributes:
        angle_deg: counter-clockwise turn of the cup in the picture against the reference, in
            degrees, above -180 to 180.
        confidence: 0 to 1, likeness of the cup's print to the reference at that angle.
        certain: the confidence reaches what clean cups of this type show and blank ones do not.
    """

    angle_deg: float
    confidence: float
    certain: bool


@dataclass(frozen=True, slots=True, eq=False)
class OrientationReference:
    """What clean pictures say of a cup type's light and print.

    Attributes:
        light: what stays where it is in the picture when the cup turns.
        ink: what turns with the cup (print and relief), at angle 0.
        noise: variance of what is left, same shape.
        threshold: confidence from which an angle is believed.
    """

    light: Spectrum
    ink: Spectrum
    noise: NDArray[np.float32]
    threshold: float

    def match(self, picture: Spectrum) -> Orientation:
        """The angle at which an unwrapped cup fits the print best."""
        angle, confidence = best_angle(picture - self.light, self.ink, self.noise)
        degrees = float(np.degrees(angle))
        return Orientation(
            angle_deg=degrees - 360.0 if degrees > 180.0 else degrees,
            confidence=confidence,
            certain=confidence >= self.threshold,
        )

    def save(self, file: Path | IO[bytes]) -> None:
        """Write the reference as one .npz file."""
        np.savez_compressed(
            file,
            version=np.int32(_VERSION),
            light=self.light,
            ink=self.ink,
            noise=self.noise,
            threshold=np.float64(self.threshold),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a reference written by :meth:`save`; nothing in the file is executed.

        Raises:
            RecipeError: the file is missing, damaged, or of another version.
        """
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                if (version := int(file["version"])) != _VERSION:
                    raise RecipeError(
                        f"{path} is an orientation reference of version {version}, and this program "
                        f"looks at cups as version {_VERSION} says",
                        "teach the type anew",
                    )
                reference = cls(
                    light=file["light"].astype(np.complex64),
                    ink=file["ink"].astype(np.complex64),
                    noise=file["noise"].astype(np.float32),
                    threshold=float(file["threshold"]),
                )
            shape = (3 * _ROWS, HARMONICS)
            fits = reference.light.shape == reference.ink.shape == reference.noise.shape == shape
            if not fits or not float(reference.noise.min()) > 0.0:
                raise ValueError("of another size, or without noise")
        except OSError as error:
            raise RecipeError(
                f"cannot read the orientation reference {path}: {error.strerror}",
                "restore the recipe's folder",
            ) from error
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise RecipeError(
                f"{path} is no orientation reference",
                "restore the recipe's folder, or teach the type anew",
            ) from error
        return reference


def unwrapped(picture: NDArray[np.uint8], x: float, y: float, radius: float) -> Spectrum:
    """The cup's wall and base as a spectrum along the angle.

    Args:
        picture: H×W×3 uint8 RGB, the cup as it lies.
        x: of its rim's centre.
        y: likewise.
        radius: the rim's.
    """
    times = halvings(radius / _RADIUS_PX)
    small = averaged(picture, times)
    radius, x, y = (radius / times, *((place + 0.5) / times - 0.5 for place in (x, y)))
    right, down = _rays()
    polar = cv2.remap(small, x + radius * right, y + radius * down, cv2.INTER_LINEAR)
    colours = cv2.split(cv2.LUT(polar, _LOGARITHM))
    lines = np.stack(colours, axis=1).reshape(-1, _COLUMNS)
    # OpenCV's, which stays in float32: a sixth of numpy's time.
    waves = cv2.dft(lines, flags=cv2.DFT_ROWS | cv2.DFT_COMPLEX_OUTPUT)
    return np.ascontiguousarray(waves[:, 1 : HARMONICS + 1]).view(np.complex64)[..., 0]


def turned(spectrum: Spectrum, angle: float | NDArray[np.float64]) -> Spectrum:
    """The spectrum of the same cup turned counter-clockwise by ``angle`` radians.

    Several angles turn several spectra, stacked along a first axis, each by its own, or one spectrum
    by all of them.
    """
    phases = np.exp(-1j * np.multiply.outer(angle, _ORDER)).astype(np.complex64)
    return np.asarray(spectrum * phases[..., None, :], np.complex64)


def best_angle(picture: Spectrum, ink: Spectrum, noise: NDArray[np.float32]) -> tuple[float, float]:
    """Angle in radians (0 to 2π) and confidence (whitened cosine) of the best fit."""
    half = np.zeros(_FINE // 2 + 1, np.complex128)
    half[1 : HARMONICS + 1] = (picture * ink.conj() / noise).sum(0)
    correlation = np.fft.irfft(half, _FINE) * (_FINE / 2)
    top = int(correlation.argmax())
    before, at, after = (float(correlation[(top + step) % _FINE]) for step in (-1, 0, 1))
    curvature = before - 2.0 * at + after
    between = 0.5 * (before - after) / curvature if curvature < 0.0 else 0.0
    energy = _energy(picture, noise) * _energy(ink, noise)
    confidence = max(at, 0.0) / float(np.sqrt(energy)) if energy > 0.0 else 0.0
    return (top + between) * (2.0 * np.pi / _FINE) % (2.0 * np.pi), confidence


def _energy(spectrum: Spectrum, noise: NDArray[np.float32]) -> float:
    return float(((np.square(spectrum.real) + np.square(spectrum.imag)) / noise).sum())


@cache
def _rays() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How far right of and below the centre each radius and angle lies, rows×columns, in rim radii."""
    radius = np.linspace(_INNER, _OUTER, _ROWS, dtype=np.float32)[:, None]
    angle = np.arange(_COLUMNS, dtype=np.float32)[None, :] * np.float32(2.0 * np.pi / _COLUMNS)
    return radius * np.cos(angle), -radius * np.sin(angle)
