"""The alerts and the dashboard, held against a real Prometheus that reads from a real server."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from benchmarks.server_process import ROOT, free_port
from server.app import ROUTES
from tests.helpers.databases import kind
from tests.helpers.markdown import Document
from tests.helpers.programs import output_of, program
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, queries

PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "headstart.json").read_text())
RULES = [rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
_PATIENCE_SECONDS = 30.0
_CUSTOM_VISION = "/customvision/v3.0/Prediction/{task}/classify/iterations/{iteration}"
_FREE = "headstart_disk_free_bytes"  # which a server does not know of a PostgreSQL server's disk


def expressions() -> list[str]:
    """Those of the dashboard's panels, as Grafana would send them."""
    written = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [each.replace("$__rate_interval", "1m").replace("$job", "headstart") for each in written]


class Prometheus:
    """A Prometheus of its own, which reads a server's metrics twice a second."""

    def __init__(self, folder: Path, target: str) -> None:
        config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
        config["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), "500ms")
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
        shutil.copy(PROMETHEUS / "alerts.yml", folder)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        address = f"127.0.0.1:{free_port()}"
        self._api = httpx.Client(base_url=f"http://{address}/api/v1", timeout=10)
        with (folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [
                    program("prometheus", "prometheus"),
                    f"--config.file={folder}/prometheus.yml",
                    f"--storage.tsdb.path={folder}/tsdb",
                    f"--web.listen-address={address}",
                ],
                stderr=log,
            )

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer; an error fails."""
        answer = self._api.get(path, params=parameters).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[Any]:
        found: list[Any] = self.get("/query", query=expression)["result"]
        return found

    def until(self, expression: str) -> None:
        """Waits until an expression has a result."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                if self.query(expression):
                    return
            except (httpx.TransportError, json.JSONDecodeError):  # It is starting.
                assert self._process.poll() is None
            time.sleep(0.05)
        pytest.fail(f"no result of {expression}")

    def close(self) -> None:
        self._api.close()
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...], support: Labelled) -> Iterator[Prometheus]:
    """It has seen a server do everything that the dashboard shows."""
    folder = tmp_path_factory.mktemp("prometheus")
    with ServerProcess(folder / "data", *small_flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        prometheus = Prometheus(folder, process.url.removeprefix("http://"))
        try:
            prometheus.until('count_over_time(up{job="headstart"}[1m]) > 1')
            task = create(api, support, capture=json.dumps({"keep": "all"}))["id"]
            assert api.post(f"/v1/tasks/{task}/predict", **queries([support[0][1]])).status_code == 200
            assert api.get("/v1/tasks/nobodys").status_code == 404
            assert api.post("/v1/refreshes", json={"to": small_flags[-1], "tasks": [task]}).status_code == 202
            prometheus.until('count_over_time(headstart_stage_seconds_count{stage="head"}[1m]) > 1 and on () headstart_refreshes')
            yield prometheus
        finally:
            prometheus.close()


def test_every_expression_of_the_dashboard_has_a_result(prometheus: Prometheus) -> None:
    without = [each for each in expressions() if not prometheus.query(each)]
    assert all(kind() == "postgresql" and _FREE in each for each in without), without


def test_the_autoscalers_query_counts_the_images_that_wait(prometheus: Prometheus) -> None:
    """As prometheus-adapter would ask, here by instance where it asks by pod."""
    (rule,) = yaml.safe_load((PROMETHEUS / "adapter.yml").read_text())["rules"]
    parts = {"Series": rule["seriesQuery"].partition("{")[0], "LabelMatchers": 'job="headstart"', "GroupBy": "instance"}
    asked = re.sub("<<[.](\\w+)>>", lambda part: parts[part[1]], rule["metricsQuery"])
    (found,) = prometheus.query(asked)
    assert 0 <= float(found["value"][1]) < 1


def test_alerts_and_dashboard_ask_for_metrics_that_exist(prometheus: Prometheus) -> None:
    known = set(prometheus.get("/label/__name__/values")) | {"headstart_backbone_missing"}  # which nothing misses here
    asked = {name for each in (*expressions(), *(rule["expr"] for rule in RULES)) for name in metrics_of(each)}
    assert len(asked) > 15
    assert asked <= (known | {_FREE} if kind() == "postgresql" else known)


def test_the_alert_about_slow_predictions_watches_every_way_to_ask_for_one() -> None:
    (slow,) = (rule["expr"] for rule in RULES if rule["alert"] == "HeadstartSlow")
    (watched,) = re.findall('route=~"(.*?)"', slow)
    assert {route.path for route in ROUTES if re.fullmatch(watched, route.path)} == {
        "/v1/predict",
        "/v1/tasks/{task}/predict",
        "/v1/tasks/{task}/hf",
        "/v2/models/{model}/infer",
        "/v2/models/{model}/versions/{version}/infer",
        *(f"{_CUSTOM_VISION}/{end}" for end in ("image", "image/nostore", "url", "url/nostore")),
    }


def metrics_of(expression: str) -> list[str]:
    return re.findall(r"\b(?:headstart|process)_\w+", re.sub(r'"[^"]*"', "", expression))


def test_the_rules_load_and_raise_no_alarm_about_a_well_server(prometheus: Prometheus) -> None:
    def rules() -> list[dict[str, Any]]:
        return [rule for group in prometheus.get("/rules")["groups"] for rule in group["rules"]]

    deadline = time.monotonic() + _PATIENCE_SECONDS
    while any(rule["health"] == "unknown" for rule in rules()):
        assert time.monotonic() < deadline
    assert [(rule["name"], rule["health"]) for rule in rules()] == [(rule["alert"], "ok") for rule in RULES]
    assert "firing" not in {rule["state"] for rule in rules()}


def test_each_alert_fires_when_it_should(tmp_path: Path) -> None:
    for file in (PROMETHEUS / "alerts.yml", ROOT / "tests" / "deploy" / "alerts_test.yml"):
        shutil.copy(file, tmp_path)
    promtool = program("promtool", "prometheus")
    for config in ("prometheus.yml", "compose.yml"):
        output_of(promtool, "check", "config", PROMETHEUS / config)
    output_of(promtool, "test", "rules", tmp_path / "alerts_test.yml")
    tested = yaml.safe_load((tmp_path / "alerts_test.yml").read_text())["tests"]
    firing = {case["alertname"] for test in tested for case in test["alert_rule_test"] if case.get("exp_alerts")}
    silent = {case["alertname"] for test in tested for case in test["alert_rule_test"] if not case.get("exp_alerts")}
    assert firing == silent == {rule["alert"] for rule in RULES}


def test_each_alert_has_its_line_for_the_operator() -> None:
    path = ROOT / "docs" / "operations.md"
    anchors = Document(path, path.read_text()).anchors()
    for rule in RULES:
        file, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (file, anchor) == ("docs/operations.md", rule["alert"].lower())
        assert anchor in anchors


def test_the_dashboards_panels_are_told_apart_and_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24
