"""The diverter's line and who holds it; the kernel's own GPIO lines where it can simulate some."""

import errno
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from inspector.config.gates import GpioGateSettings
from inspector.core.errors import GateError
from inspector.gate.gpio import GpioWires, HeldOutput
from inspector.gate.lines import InputLine, OutputLine

MS = 1_000_000

HOLDER = """
import os, sys, time
from inspector.gate import lines, pulse
class NamedPipe:
    def __init__(self, _chip, path):
        self._end = os.open(path, os.O_WRONLY)
    def set(self, high):
        os.write(self._end, b"%d %d\\n" % (high, time.monotonic_ns()))
    def close(self):
        os.close(self._end)
lines.OutputLine = NamedPipe
sys.exit(pulse.main("no chip", sys.argv[1]))
"""
"""The holder with a named pipe for a line: it writes each level and when it was set."""
GIVER = """
import os, sys, time
from inspector.gate.gpio import HeldOutput
deed, *holder = sys.argv[1:]
HeldOutput(holder).pass_until(time.monotonic_ns() + 10_000_000_000)
os.kill(os.getpid(), int(deed))
"""
"""A process that gives a pass and is killed or stopped at once."""


class Line:
    """The other end of the line."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._end = os.open(path, os.O_RDWR)
        self.holder = [sys.executable, "-c", HOLDER, str(path)]

    def next(self) -> tuple[bool, int]:
        """The next level and when it was set, host monotonic clock, ns."""
        words = b""
        while not words.endswith(b"\n"):
            words += os.read(self._end, 1)
        high, at_ns = words.split()
        return high == b"1", int(at_ns)

    def moves(self) -> bool:
        """Whether it does within half a second."""
        return bool(select.select([self._end], [], [], 0.5)[0])

    def close(self) -> None:
        os.close(self._end)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path / "line")
    yield made
    made.close()


@pytest.fixture
def output(line: Line) -> Iterator[HeldOutput]:
    held = HeldOutput(line.holder)
    yield held
    held.close()


def on_a_good_day(attempt: Callable[[], bool]) -> None:
    """A busy machine may sleep over a pass of some milliseconds; not five times."""
    assert any(attempt() for _ in range(5))


def test_a_pass_ends_at_its_time_and_one_told_again_goes_on(line: Line, output: HeldOutput) -> None:
    def ends_in_time() -> bool:
        first_ns = time.monotonic_ns() + 100 * MS
        output.pass_until(first_ns)
        output.pass_until(first_ns + 60 * MS)
        rose, _ = line.next() if line.moves() else (False, 0)
        fell, at_ns = line.next() if rose else (True, 0)
        return not fell and first_ns + 60 * MS <= at_ns < first_ns + 90 * MS

    on_a_good_day(ends_in_time)


def test_a_reject_ends_a_pass_before_its_time(line: Line, output: HeldOutput) -> None:
    def ends_at_once() -> bool:
        output.pass_until(time.monotonic_ns() + 10_000 * MS)
        _, rose_ns = line.next()
        output.reject()
        _, fell_ns = line.next()
        return fell_ns < rose_ns + 150 * MS

    on_a_good_day(ends_at_once)


def test_no_pass_is_longer_than_200_ms_whatever_is_told(line: Line, output: HeldOutput) -> None:
    told_ns = time.monotonic_ns()
    output.pass_until(told_ns + 3_600_000 * MS)
    assert line.next()[0]
    high, at_ns = line.next()
    assert not high
    assert at_ns - told_ns < 3_600_000 * MS


def test_a_pass_whose_time_is_over_is_not_given(line: Line, output: HeldOutput) -> None:
    output.pass_until(time.monotonic_ns() - 1)
    output.close()
    assert line.next()[0] is False


@pytest.mark.parametrize("deed", [signal.SIGKILL, signal.SIGSTOP])
def test_a_pass_ends_though_whoever_gave_it_is_killed_or_stopped_in_its_midst(
    line: Line, deed: signal.Signals
) -> None:
    giver = subprocess.Popen([sys.executable, "-c", GIVER, str(int(deed)), *line.holder])
    assert line.next()[0]
    assert line.next()[0] is False
    giver.kill()
    giver.wait()


def test_a_stop_told_to_every_process_at_once_leaves_the_line_in_reject(
    line: Line, output: HeldOutput
) -> None:
    """A service manager tells all of a service to stop, the holder as well, perhaps amid a pass."""
    output.pass_until(time.monotonic_ns() + 10_000 * MS)
    assert line.next()[0]
    output._process.send_signal(signal.SIGTERM)
    output.close()
    assert line.moves(), "the line stays as it was: every cup passes from now on"
    assert line.next()[0] is False


def test_a_holder_that_was_killed_is_noticed_and_named(line: Line, output: HeldOutput) -> None:
    output._process.kill()
    output._process.wait()
    with pytest.raises(GateError, match="ended or does not listen"):
        output.reject()
    with pytest.raises(GateError, match="ended or does not listen"):
        output.pass_until(time.monotonic_ns() + 50 * MS)


def test_a_holder_that_does_not_read_does_not_hold_up_the_program(output: HeldOutput) -> None:
    output._process.send_signal(signal.SIGSTOP)

    def tell_again_and_again() -> None:
        for _ in range(100_000):
            output.pass_until(time.monotonic_ns() + 10 * MS)

    with pytest.raises(GateError, match="does not listen"):
        tell_again_and_again()
    output._process.kill()


# -- the kernel's lines ----------------------------------------------------------------------------


def settings(chip: str, **more: int | str) -> GpioGateSettings:
    return GpioGateSettings.model_validate(
        {"driver": "gpio", "chip": chip, "diverter_line": 1, "photo_eye_line": 0, **more}
    )


@pytest.mark.parametrize(
    ("chip", "says"),
    [
        ("/dev/gpiochip99", "there is no /dev/gpiochip99, or no line 1 on it; correct gate.chip"),
        ("/dev/null", "line 1 of /dev/null cannot be had"),
    ],
)
def test_lines_that_cannot_be_had_are_named_with_a_remedy(chip: str, says: str) -> None:
    with pytest.raises(GateError, match=says):
        GpioWires(settings(chip))


class RequestInTheAir:
    """What the library gives for a requested line, where there is no chip to request one of."""

    offsets = (0,)

    def __init__(self, *batches: list[tuple[int, int]]) -> None:
        self._batches = list(batches)

    def wait_edge_events(self, _timeout: float) -> bool:
        return bool(self._batches)

    def read_edge_events(self, _most: int) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(line_seqno=number, timestamp_ns=at_ns)
            for number, at_ns in self._batches.pop(0)
        ]


def the_eye(monkeypatch: pytest.MonkeyPatch, *batches: list[tuple[int, int]]) -> InputLine:
    monkeypatch.setattr("gpiod.request_lines", lambda *_given, **_named: RequestInTheAir(*batches))
    return InputLine("/dev/gpiochip0", 27, active_low=False, debounce_ms=1)


def test_edges_come_with_the_kernels_time_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    eye = the_eye(monkeypatch, [(1, 100), (2, 300)], [(3, 700)])
    assert [list(eye.edges()) for _ in range(3)] == [[100, 300], [700], []]


def test_an_edge_that_the_kernel_had_no_room_for_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    eye = the_eye(monkeypatch, [(1, 100)], [(3, 700)])
    eye.edges()
    with pytest.raises(GateError, match="1 edges of the photo-eye were lost; raise"):
        eye.edges()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError(errno.EACCES, ""), "may not be used by this user; add the user"),
        (OSError(errno.EBUSY, ""), "line 27 of /dev/gpiochip0 is in use; end the program"),
        (ValueError("out of range"), "has no line 27; correct the line"),
    ],
)
def test_each_way_not_to_get_a_line_has_its_remedy(
    monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    def refuse(*_given: object, **_named: object) -> None:
        raise error

    monkeypatch.setattr("gpiod.request_lines", refuse)
    with pytest.raises(GateError, match=says):
        OutputLine("/dev/gpiochip0", 27)


SIM = Path("/sys/kernel/config/gpio-sim")
LEVELS = Path("/sys/devices/platform")


@pytest.fixture
def bank() -> Iterator[tuple[str, Path]]:
    """A simulated chip of two lines, and the folder in which its lines are pulled and seen."""
    if not SIM.is_dir():
        pytest.skip("the kernel has no gpio-sim (modprobe gpio-sim, configfs mounted)")
    device = SIM / f"inspector-{os.getpid()}"
    (device / "bank0").mkdir(parents=True)
    (device / "bank0" / "num_lines").write_text("2")
    (device / "live").write_text("1")
    chip = (device / "bank0" / "chip_name").read_text().strip()
    name = (device / "dev_name").read_text().strip()
    yield f"/dev/{chip}", LEVELS / name / chip
    (device / "live").write_text("0")
    (device / "bank0").rmdir()
    device.rmdir()


def level(folder: Path) -> str:
    return (folder / "sim_gpio1" / "value").read_text().strip()


def break_the_beam(folder: Path) -> None:
    for pull in ("pull-up", "pull-down"):
        (folder / "sim_gpio0" / "pull").write_text(pull)
        time.sleep(0.01)


def test_on_the_kernels_lines_edges_are_dated_and_a_pass_ends(bank: tuple[str, Path]) -> None:
    chip, folder = bank
    wires = GpioWires(settings(chip))
    assert level(folder) == "0"
    before_ns = time.monotonic_ns()
    break_the_beam(folder)
    (at_ns,) = wires.edges()
    assert before_ns < at_ns < time.monotonic_ns()
    wires.pass_until(time.monotonic_ns() + 100 * MS)
    end = time.monotonic() + 10
    while level(folder) == "0":
        assert time.monotonic() < end
    while level(folder) == "1":
        assert time.monotonic() < end
    wires.close()


def test_on_the_kernels_lines_a_line_in_use_is_named(bank: tuple[str, Path]) -> None:
    chip, _ = bank
    held = OutputLine(chip, 1)
    with pytest.raises(GateError, match="is in use"):
        GpioWires(settings(chip))
    held.close()
    with pytest.raises(GateError, match="has no line 7"):
        InputLine(chip, 7, active_low=False, debounce_ms=1)
