"""A process of the line goes when the one that started it is gone, however early that is."""

import subprocess
import sys

_CHILD = """
import os, time
from inspector.core.process import die_with_parent
started_by = os.environ.get("INSPECTOR_PARENT")
while {waits}: time.sleep(0.01)
die_with_parent()
print("at work", "INSPECTOR_PARENT" in os.environ)
"""
_STARTER = """
import subprocess, sys
from inspector.core.process import child_environment
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], env=child_environment())
{then}
"""


def _said(child: str, starter: str) -> str:
    """What both say until both are gone."""
    command = [sys.executable, "-c", starter, child]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_process_whose_starter_died_while_it_still_imported_does_no_work() -> None:
    adopted = _CHILD.format(waits="str(os.getppid()) == started_by")
    assert _said(adopted, _STARTER.format(then="")) == ""


def test_one_whose_starter_lives_goes_on_and_tells_no_child_of_its_own_of_that_starter() -> None:
    assert _said(_CHILD.format(waits="False"), _STARTER.format(then="child.wait()")) == (
        "at work False\n"
    )
