"""The dashboard asks for nothing that the camera does not export, and has what Grafana's schema asks for.

The schema is `kinds/dashboard/dashboard_kind.cue` of Grafana: what it requires of a dashboard, a panel, a row
and a place. What a Grafana draws of it is not shown here.
"""

import json
import re
from importlib.resources import files
from itertools import combinations
from typing import Any

import pytest
from prometheus_client import parser

from firmware.status import BrokerVitals, StorageVitals, UpdateVitals, Vitals
from firmware.stream.metrics import Measured, exposed
from tests.stream.rig import STEADY
from tests.stream.test_metrics import WATCHING

EVERYTHING = Vitals(
    BrokerVitals(named=True, up=True, connections=1, waiting=0, refused=0),
    1_800_000_000,
    1,
    0,
    UpdateVitals({"idle": True}, 0),
    StorageVitals(2, 1),
)
ASKED = re.compile(r"\bveilcam_\w+")
SELECTED = re.compile(r"\bveilcam_\w+\{([^}]*)\}")
OF_PROMETHEUS = {"instance", "job"}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    content = (files("firmware.stream") / "grafana" / "veilcam.json").read_text(encoding="utf-8")
    read: dict[str, Any] = json.loads(content)
    return read


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """Labels by the name of a sample."""
    body, _ = exposed(Measured(STEADY, WATCHING, EVERYTHING), "")
    return {
        sample.name: set(sample.labels)
        for family in parser.text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def expressions(dashboard: dict[str, Any]) -> list[str]:
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return queries + [one["definition"] for one in dashboard["templating"]["list"] if "definition" in one]


def test_every_metric_that_it_asks_for_is_exported(
    dashboard: dict[str, Any], exported: dict[str, set[str]]
) -> None:
    asked = {name for query in expressions(dashboard) for name in ASKED.findall(query)}
    assert asked - exported.keys() == set()
    assert exported.keys() - asked == set(), "and every metric is shown somewhere"


def test_it_selects_by_labels_that_the_metrics_have(
    dashboard: dict[str, Any], exported: dict[str, set[str]]
) -> None:
    for query in expressions(dashboard):
        assert query.count("(") == query.count(")"), query
        for selected in SELECTED.finditer(query):
            name = ASKED.findall(selected.group())[0]
            labels = {one.partition("=")[0] for one in re.findall(r"\w+=~?\"", selected.group(1))}
            assert labels <= exported[name] | OF_PROMETHEUS, query
            assert "instance" in labels, f"{query}: shows cameras that were not chosen"


def test_a_rate_is_of_a_counter_and_nothing_else_is(dashboard: dict[str, Any]) -> None:
    for query in expressions(dashboard):
        rated = set(re.findall(r"(?:rate|increase)\((veilcam_\w+)", query))
        counters = {name for name in ASKED.findall(query) if name.endswith("_total")}
        assert rated == counters, query


def test_it_has_what_the_schema_asks_for(dashboard: dict[str, Any]) -> None:
    assert dashboard["schemaVersion"] == 39
    assert dashboard["editable"] is True
    assert dashboard["graphTooltip"] in (0, 1, 2)
    assert dashboard["id"] is None, "an id is a Grafana's own"
    assert re.fullmatch(r"[\w-]{1,40}", dashboard["uid"])
    assert {"from", "to"} <= dashboard["time"].keys()
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)
    drawn = {panel["type"] for panel in dashboard["panels"]} - {"row"}
    assert drawn == {one["id"] for one in dashboard["__requires"] if one["type"] == "panel"}
    for panel in dashboard["panels"]:
        assert_panel(panel)


def assert_panel(panel: dict[str, Any]) -> None:
    if panel["type"] == "row":
        assert (panel["collapsed"], panel["panels"]) == (False, [])
        return
    assert panel["title"]
    assert panel["description"]
    assert panel["fieldConfig"].keys() == {"defaults", "overrides"}
    assert panel["options"]
    references = [target["refId"] for target in panel["targets"]]
    assert references
    assert len(set(references)) == len(references)
    for target in (panel, *panel["targets"]):
        assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, "any Prometheus"


def test_panels_fit_the_grid_and_lie_on_no_other(dashboard: dict[str, Any]) -> None:
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    for at in places:
        assert at.keys() == {"x", "y", "w", "h"}
        assert at["x"] >= 0
        assert at["x"] + at["w"] <= 24
        assert at["h"] > 0
    for one, other in combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)


def test_its_variables_are_those_that_its_queries_name(dashboard: dict[str, Any]) -> None:
    named = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard))) - {"__rate_interval"}
    assert named == {one["name"] for one in dashboard["templating"]["list"]}
