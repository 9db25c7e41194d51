"""The alerting rules that come with the line are raised when they should be, and not before."""

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from inspector.telemetry import metrics
from tests.telemetry.alerting import judged, raised, rules

LANE = {"lane": "lane-1"}
UP = {'inspector_link_up{lane="lane-1", link="plc"}': "1x30"}
TROUBLES: dict[str, tuple[dict[str, str], str, dict[str, str]]] = {
    "PartPassedWrongly": (
        {'inspector_parts_passed_wrongly_total{lane="lane-1"}': "0 0 1x30"},
        "critical",
        LANE,
    ),
    "LineGone": ({'inspector_link_up{lane="lane-1", link="plc"}': "1 _x30"}, "critical", {}),
    "LinkDown": (
        {'inspector_link_up{lane="lane-1", link="plc"}': "1 0x30"},
        "critical",
        {**LANE, "link": "plc"},
    ),
    "InspectionHangs": ({"inspector_status_time_seconds": "0 60 120x30"}, "critical", {}),
    "NothingPasses": (
        {'inspector_nothing_passes_raised{lane="lane-1"}': "0 1x30"},
        "critical",
        LANE,
    ),
    "TooManyRejects": (
        {'inspector_reject_alarm_raised{lane="lane-1", alarm="reject_share"}': "0 1x30"},
        "warning",
        {**LANE, "alarm": "reject_share"},
    ),
    "GateTrouble": (
        {'inspector_gate_condition_raised{lane="lane-1", condition="plc_stopped"}': "0 1x30"},
        "warning",
        {**LANE, "condition": "plc_stopped"},
    ),
    "VerdictsLate": (
        {'inspector_deadlines_missed_total{lane="lane-1"}': "0 0 1x30"},
        "warning",
        LANE,
    ),
    "FramesLost": (
        {
            'inspector_frame_gaps_total{lane="lane-1"}': "0 0 1x30",
            'inspector_underruns_total{lane="lane-1"}': "0x30",
        },
        "warning",
        LANE,
    ),
    "ProcessDiesAgainAndAgain": (
        {'inspector_process_restarts_total{process="page"}': "0 1 2 3x30"},
        "warning",
        {"process": "page"},
    ),
    "EngineDrifts": (
        {
            'inspector_golden_error_ratio{lane="lane-1", backend="openvino", precision="int8"}': "1x30"
        },
        "warning",
        {**LANE, "backend": "openvino", "precision": "int8"},
    ),
    "RecordsBehind": ({"inspector_ledger_backlog_bytes": "2000000x30"}, "warning", {}),
}
QUIET = {
    **UP,
    "inspector_status_time_seconds": "0+60x30",
    # Nothing passes while the belt stands: see the condition.
    'inspector_nothing_passes_raised{lane="lane-1"}': "1x30",
    'inspector_parts_passed_wrongly_total{lane="lane-1"}': "0x30",
    'inspector_reject_alarm_raised{lane="lane-1", alarm="reject_share"}': "0x30",
    'inspector_gate_condition_raised{lane="lane-1", condition="belt_stands"}': "1x30",
    'inspector_deadlines_missed_total{lane="lane-1"}': "7x30",
    'inspector_frame_gaps_total{lane="lane-1"}': "3x30",
    'inspector_underruns_total{lane="lane-1"}': "0x30",
    'inspector_frames_total{lane="lane-1", state="complete"}': "0+60x30",
    'inspector_frames_total{lane="lane-1", state="incomplete"}': "2x30",
    'inspector_process_restarts_total{process="page"}': "0 1x30",
    'inspector_golden_error_ratio{lane="lane-1", backend="openvino", precision="int8"}': "0.5x30",
    "inspector_ledger_backlog_bytes": "4000x30",
}


def test_each_rule_has_a_trouble_that_raises_it_here() -> None:
    assert {rule["alert"] for rule in rules()} == set(TROUBLES)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_asks_for_what_the_line_tells_and_names_a_remedy(rule: dict[str, Any]) -> None:
    told = {
        metric._name + ("_total" if isinstance(metric, Counter) else "")
        for metric in vars(metrics).values()
        if isinstance(metric, MetricWrapperBase)
    }
    assert set(re.findall(r"inspector_\w+", rule["expr"])) <= told
    assert rule["annotations"].keys() == {"summary", "remedy"}


def test_of_a_line_that_runs_well_nobody_is_told(tmp_path: Path) -> None:
    judged(tmp_path, QUIET, {name: [] for name in TROUBLES})


@pytest.mark.parametrize("alert", TROUBLES)
def test_somebody_is_told_of(tmp_path: Path, alert: str) -> None:
    series, severity, labels = TROUBLES[alert]
    judged(tmp_path, UP | series, {alert: [raised(alert, severity, labels)]})


def test_of_two_lines_the_one_that_is_gone_is_told_by_its_address(tmp_path: Path) -> None:
    here = {"job": "inspector", "instance": "hall-3:9108"}
    link = 'inspector_link_up{lane="lane-1", link="plc", job="inspector", instance="%s"}'
    series = {link % "hall-3:9108": "1 _x30", link % "hall-4:9108": "1x30"}
    judged(tmp_path, series, {"LineGone": [raised("LineGone", "critical", here)]})


def test_a_line_that_was_never_there_is_told(tmp_path: Path) -> None:
    judged(tmp_path, {}, {"LineGone": [raised("LineGone", "critical", {})]})


def test_frames_of_which_packets_are_lost_are_told_though_none_is_missing(tmp_path: Path) -> None:
    series = {
        'inspector_frame_gaps_total{lane="lane-1"}': "0x30",
        'inspector_underruns_total{lane="lane-1"}': "0x30",
        'inspector_frames_total{lane="lane-1", state="complete"}': "0+60x30",
        'inspector_frames_total{lane="lane-1", state="incomplete"}': "0 0 1x30",
    }
    judged(tmp_path, UP | series, {"FramesLost": [raised("FramesLost", "warning", LANE)]})


def test_that_nothing_passes_is_not_told_twice_where_a_link_is_down(tmp_path: Path) -> None:
    down = {'inspector_link_up{lane="lane-1", link="camera"}': "0x30"}
    series = UP | down | {'inspector_nothing_passes_raised{lane="lane-1"}': "1x30"}
    judged(tmp_path, series, {"NothingPasses": []})
