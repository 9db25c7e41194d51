"""Every guard of tracker and PLC program, broken once: the soak must notice each.

A guard whose loss nobody notices is either superfluous or untested; both would be a hole in the claim.
"""

import inspect
import sys
from types import ModuleType

import pytest

import inspector.core.gate_program as plc_module
import inspector.tracking.tracker as tracker_module
from tests.soak.plant import CROWDED, ROUGH, WILD, Plant

Replacements = tuple[tuple[str, str], ...]
LATE_VERDICT = (
    "if part.deadline_ns is None or now_ns >= part.deadline_ns:\n"
    "            part.reject(Reason.LATE, now_ns)\n"
    "            return [Ignored(verdict.part, IgnoredWhy.LATE), *self._flush(now_ns)]",
    "pass",
)
OVERDUE_PASS = (
    "if part.deadline_ns is None or now_ns >= part.deadline_ns:\n                    part.reject",
    "if False:\n                    part.reject",
)
TOO_CLOSE = ("if nearest_ns < self._last_at_ns:", "if False:")
NOT_ALONE = ("elif not self._alone(part):", "elif False:")
TRACKER_GUARDS: dict[str, Replacements] = {
    "a verdict is about the frame that was sent": (
        (
            "if not part.inspecting or part.frame is None or frame_key(part.frame) != key:",
            "if False:",
        ),
    ),
    "a verdict is for its own part": (
        (
            "part = next((part for part in self._open if part.id == verdict.part), None)",
            "part = self._open[0] if self._open else None",
        ),
    ),
    "nothing passes after its deadline, whether the verdict or the command is late": (
        LATE_VERDICT,
        OVERDUE_PASS,
    ),
    "a pass not commanded by its deadline falls": (OVERDUE_PASS,),
    "a part waits until it is known to be alone": (NOT_ALONE,),
    "parts too close are rejected": (TOO_CLOSE,),
    "the one before is rejected with it": (("for other in self._open:", "for other in ():"),),
    "an incomplete frame is not inspected": (("if not frame.complete:", "if False:"),),
    "commands keep the order of the parts": (
        (
            "part = self._open[0]\n            if part.verdict is not None and part",
            "part = next((p for p in self._open if p.verdict), self._open[0])\n"
            "            if part.verdict is not None and part",
        ),
    ),
    "a part counted twice is one part": (("if number <= self._last_number:", "if False:"),),
    "parts that passed unseen get their rows": (("if first == number:", "if True:"),),
    "a reject is final": (
        (
            "if self.verdict is None:\n            self.verdict = rejected(self.id, reason)",
            "if self.verdict is None:\n            return",
        ),
    ),
    "a frame fits its own part only": (
        (
            "abs(frame.exposed_ns - part.at_ns) < self.timing.window_ns",
            "abs(frame.exposed_ns - part.at_ns) < 5 * self.timing.window_ns",
        ),
    ),
    "a new count begins anew": (("if session != self._session:", "if self._session is None:"),),
    "what a decided part is told again does not count": (
        (
            "if part.verdict is not None:\n            return [Ignored(verdict.part, IgnoredWhy.DECIDED)]",
            "pass",
        ),
    ),
    "a part without a frame is rejected in time": (
        ("if now_ns >= self._frame_due(part):", "if False:"),
    ),
    "a part without a verdict is rejected in time": (
        (
            "elif now_ns >= part.deadline_ns:\n                part.reject(Reason.LATE",
            "elif False:\n                part.reject(Reason.LATE",
        ),
    ),
}
PLC_GUARDS: dict[str, Replacements] = {
    "only an OK opens": (("if part.result.outcome != OK:", "if False:"),),
    "no result, no pass": (
        (
            "if part.result is None or part.received_at is None:",
            "if part.result is None:\n            return GateReason.OK\n        if part.received_at is None:",
        ),
    ),
    "the gate is shut between parts": (
        (
            "self.passing = all_ok and self.line_alive and",
            "self.passing = (all_ok or not near) and self.line_alive and",
        ),
    ),
    "what a timed belt carried when it stood is lost": (
        (
            "if doubt := self.belt.move(now_ns, counts, runs=runs):",
            "doubt = self.belt.move(now_ns, counts, runs=runs)\n        if False:",
        ),
    ),
    "a result of another count is not fresh, whether by its count or by its time": (
        (
            "if ours != self.session:",
            "if False:",
        ),
        ("if part.premature:", "if False:"),
    ),
}


UNCOUNTED: tuple[Replacements, Replacements] = (
    (
        (
            "if self._last_at_ns is None:\n            # When",
            "if False:\n            # When",
        ),
    ),
    (("near = self.parameters.belt.encoder and run < apart", "near = False"),),
)
"""The tracker rejects the first part of a new count unless the belt was seen empty; the PLC what comes too
soon after it began. A belt that stands looks empty, so that the first alone is not enough."""


def with_broken(module: ModuleType, guard: Replacements) -> ModuleType:
    """A copy of the module without a guard."""
    source = inspect.getsource(module)
    for old, new in guard:
        assert old in source, f"the guard has moved: {old!r}"
        source = source.replace(old, new)
    copy = ModuleType(f"{module.__name__}_broken")
    # Dataclasses look their module up.
    sys.modules[copy.__name__] = copy
    exec(compile(source, copy.__name__, "exec"), copy.__dict__)
    return copy


def breaks(tracker: ModuleType, program: ModuleType) -> bool:
    """Whether some episode breaks the claim, or the broken code itself, within 60,000 parts."""
    for seed in range(30):
        plant = Plant(
            seed,
            2_000,
            (WILD, CROWDED, ROUGH)[seed % 3],
            tracker=tracker.Tracker,
            program=program.GateProgram,
        )
        try:
            plant.play()
        except AssertionError:
            return True
    return False


@pytest.mark.parametrize("name", TRACKER_GUARDS)
def test_a_tracker_without_this_guard_is_found_out(name: str) -> None:
    assert breaks(with_broken(tracker_module, TRACKER_GUARDS[name]), plc_module)


@pytest.mark.parametrize("name", PLC_GUARDS)
def test_a_plc_without_this_guard_is_found_out(name: str) -> None:
    assert breaks(tracker_module, with_broken(plc_module, PLC_GUARDS[name]))


def test_line_and_plc_without_their_guards_against_uncounted_cups_are_found_out() -> None:
    tracker, plc = UNCOUNTED
    assert breaks(with_broken(tracker_module, tracker), with_broken(plc_module, plc))


def test_the_episode_in_which_a_belt_that_stood_looked_empty_holds_with_the_plcs_guard_only() -> (
    None
):
    """Of ten million parts one cup went by so: the PLC began anew while the belt stood, right behind it."""
    _, plc = UNCOUNTED
    Plant(3295, 2_000, CROWDED).play()
    broken = with_broken(plc_module, plc)
    with pytest.raises(AssertionError, match="cup 493 let through without a verdict"):
        Plant(3295, 2_000, CROWDED, program=broken.GateProgram).play()
