"""Rules and documentation name metrics that there are."""

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import ProcessCollector

from tests.support.scraped import SEEN, parsed

ROOT = Path(__file__).parents[2]
RULES = [
    pytest.param(rule, id=rule["alert"])
    for group in yaml.safe_load((ROOT / "examples" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
LABELS = {
    sample.name: set(sample.labels) for family in parsed(SEEN) for sample in family.samples
}
METRIC = re.compile(r"\b(?:guideway|process)_\w+")
SELECTED = re.compile(r"(guideway_\w+)\{(\w+)(?:=|!=|=~|!~)\"[^\"]*\"\}")
DURATION = re.compile(r"\d+[smhd]")


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_names_metrics_and_labels_that_there_are(rule: dict) -> None:
    named = METRIC.findall(rule["expr"])
    labels = {"instance"}.union(*(LABELS[name] for name in named))

    assert named
    assert [
        (n, one) for n, one in SELECTED.findall(rule["expr"]) if one not in LABELS[n]
    ] == []
    shown = re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))
    assert set(shown) <= labels
    grouped = re.search(r"^(?:sum|count) by \(([\w, ]+)\)", rule["expr"])
    assert not grouped or set(shown) <= set(grouped[1].split(", "))


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_formed_as_prometheus_wants_it(rule: dict) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert DURATION.fullmatch(rule.get("for", "0s"))
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"]
    for opening, closing in ("()", "[]", "{}"):
        assert rule["expr"].count(opening) == rule["expr"].count(closing)
    if "rate(" in rule["expr"] or "increase(" in rule["expr"]:
        counters = re.findall(
            r"(?:rate|increase)\((\w+)(?:\{.*?\})?\[\d+[mh]\]\)", rule["expr"]
        )
        assert counters
        assert all(name.endswith(("_total", "_count", "_bucket")) for name in counters)


def test_no_two_rules_have_one_name() -> None:
    names = [param.id for param in RULES]

    assert len(set(names)) == len(names) > 10


def test_every_metric_is_explained_and_no_other() -> None:
    page = (ROOT / "docs" / "guidewayd.md").read_text()
    section = page.partition("## Metrics\n")[2].partition("\n## ")[0]

    assert set(re.findall(r"`(guideway_\w+)`", section)) == set(LABELS)
    for row in section.splitlines():
        names = re.findall(r"`(guideway_\w+)`", row)
        if row.startswith("| `guideway_"):
            labels = set(re.findall(r"`(\w+)`", row.split("|")[2]))
            assert [name for name in names if LABELS[name] != labels] == []


def test_the_process_tells_of_itself() -> None:
    names = {metric.name for metric in ProcessCollector(registry=None).collect()}

    assert {"process_resident_memory_bytes", "process_cpu_seconds"} <= names
