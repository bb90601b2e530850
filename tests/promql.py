"""The queries that we ship for Prometheus, and what they ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml

DEPLOY: Final = Path(__file__).parents[1] / "deploy"
DASHBOARD: Final = DEPLOY / "grafana/stepwire.json"
ALERTS: Final = DEPLOY / "prometheus/alerts.yml"
SCALING: Final = DEPLOY / "kubernetes/components/keda/scaling.yaml"

# Given by Prometheus, and by the form of a histogram.
OTHERS_LABELS: Final = {"instance", "le"}


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard that show something."""
    shown = json.loads(DASHBOARD.read_text())["panels"]
    return [panel for panel in shown if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Each with what it is for."""
    for panel in panels():
        for target in panel["targets"]:
            # Grafana puts a time there.
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for scaled in yaml.safe_load_all(SCALING.read_text()):
        for trigger in scaled["spec"]["triggers"]:
            yield trigger["name"], trigger["metadata"]["query"]


def metrics_of(query: str) -> set[str]:
    """The names of all time series that it reads; raises if it is not PromQL."""
    text = promql_parser.parse(query).prettify()
    names = re.findall(r"\b(?:stepwire|process)_[a-z0-9_]+", text)
    return set(names)


def labels_of(query: str) -> set[str]:
    """The labels that it matches, or groups by."""
    text = promql_parser.parse(query).prettify()
    grouped = re.findall(r"\b(?:by|on|without) \(([^)]*)\)", text)
    named = {name.strip() for names in grouped for name in names.split(",")}
    return (named | set(re.findall(r"[{,]\s*([a-z_]+)(?:=|!)", text))) - {""}
