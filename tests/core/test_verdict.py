import dataclasses

import pytest

from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, Verdict, rejected

PART = PartId("lane-1", 7, 42)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.CLEAN])
def test_nothing_but_a_clean_inspection_can_pass_a_part(reason: Reason) -> None:
    with pytest.raises(ValueError, match=reason):
        Verdict(PART, Outcome.PASS, reason)


def test_a_clean_part_is_not_rejected_for_being_clean() -> None:
    with pytest.raises(ValueError, match="clean"):
        rejected(PART, Reason.CLEAN)


def test_a_verdict_cannot_be_changed_into_another() -> None:
    verdict = rejected(PART, Reason.LATE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        verdict.outcome = Outcome.PASS  # type: ignore[misc]


def test_part_seventeen_of_yesterday_is_not_part_seventeen_of_today() -> None:
    assert PartId("lane-1", 1, 17) != PartId("lane-1", 2, 17)
