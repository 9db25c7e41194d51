"""The alerting rules that come with the line, and promtool, which says what they make of some series."""

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parents[2] / "deploy" / "alerts.yaml"


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def judged(folder: Path, series: dict[str, str], expected: dict[str, list[dict[str, Any]]]) -> None:
    """Let promtool say what is raised after nine minutes of these series, a value each minute."""
    given = [{"series": name, "values": values} for name, values in series.items()]
    told = [
        {"eval_time": "9m", "alertname": name, "exp_alerts": alerts}
        for name, alerts in expected.items()
    ]
    test = {"interval": "1m", "input_series": given, "alert_rule_test": told}
    (folder / "test.yaml").write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]})
    )
    check = subprocess.run(
        ["promtool", "test", "rules", "test.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 0, check.stdout + check.stderr


def raised(alert: str, severity: str, labels: dict[str, str]) -> dict[str, Any]:
    """What promtool is to expect of a rule that is raised."""
    (rule,) = (one for one in rules() if one["alert"] == alert)
    summary = rule["annotations"]["summary"]
    summary = re.sub(
        r"{{ with \$labels\.(\w+) }}(.*?){{ end }}",
        lambda named: named[2].replace("{{ . }}", labels[named[1]]) if named[1] in labels else "",
        summary,
    )
    for name, value in labels.items():
        summary = summary.replace("{{ $labels." + name + " }}", value)
    return {
        "exp_labels": {**labels, "severity": severity},
        "exp_annotations": {"summary": summary, "remedy": rule["annotations"]["remedy"]},
    }
