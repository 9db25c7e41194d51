"""Builds the simulated Triton's producer at first use, and keeps it."""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from inspector.core.errors import CameraError
from inspector.twin.triton.generate import headers

PRODUCER_NAME: Final = "inspector_triton.cti"
_SOURCES: Final = Path(__file__).parent
_FLAGS: Final = (
    *("-std=c++17", "-O3", "-fPIC", "-shared", "-pthread", "-fvisibility=hidden"),
    *("-Wall", "-Wextra"),
    # A host may unload the producer while its process ends; its code must outlive its threads.
    "-Wl,-z,nodelete",
)


def producer_path() -> Path:
    """The simulated camera's .cti, compiled when this version of it is not in the cache yet.

    The cache is `$XDG_CACHE_HOME/inspector` (else `~/.cache/inspector`), one directory for each
    combination of sources and compiler. Any number of processes may call this at once.

    Raises:
        CameraError: there is no compiler, or it failed.
    """
    compiler = find_compiler()
    generated = headers()
    directory = _cache() / f"triton-{_fingerprint(compiler, generated)[:16]}"
    producer = directory / PRODUCER_NAME
    if producer.exists():
        return producer
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not producer.exists():
            with tempfile.TemporaryDirectory(prefix="build-", dir=directory) as work:
                _compiled(compiler, generated, Path(work)).replace(producer)
    return producer


def _compiled(compiler: list[str], generated: dict[str, str], work: Path) -> Path:
    """Compile the producer in the directory `work` and return the finished file there."""
    for name, text in generated.items():
        (work / name).write_text(text)
    built = work / PRODUCER_NAME
    sources = [str(path) for path in sorted(_SOURCES.glob("*.cpp"))]
    command = [*compiler, *_FLAGS, f"-I{work}", f"-I{_SOURCES}", *sources, "-o", str(built)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        reason = next((line for line in outcome.stderr.splitlines() if "error" in line), "")
        raise CameraError(
            f"the simulated camera does not compile with {compiler[0]}: {reason.strip()}",
            "install g++ (or pip install ziglang) and try again",
        )
    if outcome.stderr.strip():
        print(outcome.stderr, file=sys.stderr)
    return built


def find_compiler() -> list[str]:
    """The system's C++ compiler, else ziglang's from PyPI."""
    for name in ("g++", "c++", "clang++"):
        if found := shutil.which(name):
            return [found]
    if importlib.util.find_spec("ziglang") is not None:
        # Without a target zig would build for this very processor; the cache may be shared.
        return [sys.executable, "-m", "ziglang", "c++", "-mcpu=baseline"]
    raise CameraError(
        "there is no C++ compiler for the simulated camera", "install g++ or pip install ziglang"
    )


def _fingerprint(compiler: list[str], generated: dict[str, str]) -> str:
    """Changes with every source, every flag, and the compiler."""
    version = subprocess.run(
        [*compiler, "--version"], capture_output=True, text=True, check=False
    ).stdout
    digest = hashlib.sha256(repr((compiler, version, _FLAGS)).encode())
    for path in sorted((*_SOURCES.glob("*.cpp"), *_SOURCES.glob("*.h"))):
        digest.update(path.name.encode() + path.read_bytes())
    for name, text in sorted(generated.items()):
        digest.update(name.encode() + text.encode())
    return digest.hexdigest()


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "inspector"
