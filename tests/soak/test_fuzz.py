"""A few thousand of the inputs that ``python -m tests.soak.fuzz`` tries a million of."""

import sys

import pytest

from tests.soak import fuzz


def test_no_input_crashes_the_line_or_opens_the_gate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fuzz", "--inputs", "4000", "--seed", "1"])
    fuzz.main()
    told = capsys.readouterr().out
    assert told.startswith("4,000 inputs")
    assert all(
        f"| {target} |" in told for target in ("PLC blocks", "recipes", "frames", "OPC UA messages")
    )
