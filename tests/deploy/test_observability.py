"""Dashboard, alert rules and scrape configuration: each metric and label in them is one that ``/metrics`` has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kvproxy.telemetry.metrics_page import metric_labels

FOLDER = Path(__file__).parents[2] / "deploy" / "observability"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "kvproxy-dashboard.json").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))["groups"]

FUNCTIONS = frozenset("rate increase deriv histogram_quantile sum max min count avg absent clamp_min".split())
WORDS = frozenset("by without and or unless on ignoring offset bool".split())
BY_PROMETHEUS = frozenset({"job", "instance"})
"""Labels that a scrape adds to every series."""
OWN = {"up": frozenset[str]()}
"""Metrics that Prometheus makes itself."""

_TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*")|(?P<range>\[[^\]]*\])|(?P<number>\d+(?:\.\d+)?(?:e\d+)?)"""
    r"""|(?P<name>[a-zA-Z_:][\w:]*)|(?P<sign>=~|!~|!=|==|<=|>=|[-+*/%^(){}=<>,])|(?P<space>\s+)"""
)


def tokens(expression: str) -> list[tuple[str, str]]:
    """Split an expression; anything that is no PromQL fails."""
    found, at = [], 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        assert match is not None, f"not understood: {expression[at : at + 20]!r} in {expression}"
        if match.lastgroup not in (None, "space"):
            found.append((str(match.lastgroup), match[0]))
        at = match.end()
    return found


def faults(expression: str) -> list[str]:
    """Return what is wrong with an expression, as far as it can be told without Prometheus."""
    known = {**metric_labels(), **OWN}
    parts, wrong, open_, grouped, metric = tokens(expression), [], [], False, ""
    for place, (kind, text) in enumerate(parts):
        following = parts[place + 1][1] if place + 1 < len(parts) else ""
        if text in "({":
            open_.append(text)
            grouped = text == "(" and place > 0 and parts[place - 1][1] in ("by", "without", "on", "ignoring")
        elif text in ")}":
            if not open_ or open_.pop() + text not in ("()", "{}"):
                wrong.append("brackets")
            grouped = False
        elif kind == "range" and not re.fullmatch(r"\[(?:\d+[smhd]|\$__rate_interval|\$__range)\]", text):
            wrong.append(f"range {text}")
        elif kind == "name" and open_ and open_[-1] == "{":
            if text not in known.get(metric, frozenset()) | BY_PROMETHEUS:
                wrong.append(f"label {text} of {metric}")
        elif kind == "name" and grouped:
            if text not in frozenset().union(*known.values()) | BY_PROMETHEUS | {"le"}:
                wrong.append(f"label {text}")
        elif kind == "name" and text not in WORDS:
            aggregated = following in ("by", "without")
            if following == "(" or aggregated:
                wrong += [] if text in FUNCTIONS else [f"function {text}"]
            elif text in known:
                metric = text
            else:
                wrong.append(f"metric {text}")
    return wrong + (["brackets"] if open_ else [])


def alert_rules() -> Iterator[dict[str, Any]]:
    for group in RULES:
        assert set(group) <= {"name", "interval", "rules"} and group["rules"]
        yield from group["rules"]


def panels() -> Iterator[dict[str, Any]]:
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def expressions() -> list[str]:
    shown = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [*shown, *(rule["expr"] for rule in alert_rules())]


@pytest.mark.parametrize("expression", expressions())
def test_expressions_ask_for_what_there_is(expression: str) -> None:
    assert faults(expression) == []


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("rate(kvproxy_requests[5m])", "metric kvproxy_requests"),
        ("rats(kvproxy_requests_total[5m])", "function rats"),
        ('kvproxy_hits_total{document="a"}', "label document of kvproxy_hits_total"),
        ("sum by (tenant) (kvproxy_hits_total)", "label tenant"),
        ("sum(rate(kvproxy_requests_total[5m])", "brackets"),
        ("rate(kvproxy_requests_total[5 minutes])", "range [5 minutes]"),
    ],
)
def test_faults_are_found(expression: str, fault: str) -> None:
    assert faults(expression) == [fault]


def test_rules_have_the_shape_of_rules() -> None:
    rules = list(alert_rules())
    assert len({rule["alert"] for rule in rules}) == len(rules) > 10
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "keep_firing_for", "labels", "annotations"}, rule
        assert re.fullmatch(r"Kvproxy[A-Z]\w+", rule["alert"])
        assert re.fullmatch(r"\d+[smhd]", rule.get("for", "1m"))
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["annotations"]["summary"].count("{{") == rule["annotations"]["summary"].count("}}")


def test_panels_have_the_shape_of_panels() -> None:
    assert DASHBOARD["schemaVersion"] >= 39 and DASHBOARD["uid"]
    every = DASHBOARD["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    places = set[tuple[int, int]]()
    for panel in every:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & places, panel["title"]
        places |= cells
    for panel in panels():
        assert panel["type"] in ("timeseries", "stat") and panel["description"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs) >= 1
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$(?!__)\{?(\w+)", json.dumps(every))) == variables


def test_the_scrape_sends_a_key_from_a_file() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    [scrape] = config["scrape_configs"]
    assert scrape["metrics_path"] == "/metrics" and scrape["job_name"] == "kvproxy"
    assert set(scrape["authorization"]) == {"type", "credentials_file"}
    assert config["rule_files"] == ["alerts.yaml"]
