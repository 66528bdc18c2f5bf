"""The Helm chart: rendered by Helm, read by Kubernetes' schemas, and its settings taken by the server."""

import json
import re
import tomllib
from typing import Any

import kubernetes_validate
import pytest
import yaml

from benchmarks.server_process import ROOT
from server.metrics import Metrics
from tests.helpers.charts import (
    CHART,
    EVERYTHING,
    GRPC,
    POSTGRES,
    SCALED,
    SCHEMA,
    VALUES,
    helm,
    of_kind,
    pod_of,
    refusal,
    render,
    server_of,
    settings_of,
    settings_schema,
)

# The oldest release that the chart takes, and the newest whose schema there is.
RELEASES = ("1.27", "1.37")

each_values = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)


@each_values
def test_helm_and_kubernetes_have_nothing_against_it(values: dict[str, Any]) -> None:
    linted = helm("lint", "--strict", CHART, values=values)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    manifests = render(values)
    for manifest in manifests:
        if manifest["kind"] != "ServiceMonitor":  # which is none of Kubernetes' own
            for release in RELEASES:
                kubernetes_validate.validate(manifest, release, strict=True)
    assert ("ServiceMonitor" in {each["kind"] for each in manifests}) == ("serviceMonitor" in values)


def test_a_field_that_kubernetes_does_not_know_would_be_seen() -> None:
    service = of_kind(render({}), "Service")
    service = {**service, "spec": {**service["spec"], "prots": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service, RELEASES[-1], strict=True)


@each_values
def test_pods_are_confined(values: dict[str, Any]) -> None:
    pod = pod_of(render(values))
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    user = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    security = pod["securityContext"]
    assert [(str(security["runAsUser"]), str(security["runAsGroup"]))] == user
    assert security["fsGroup"] == security["runAsGroup"]
    assert security["runAsNonRoot"]
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    volumes = {each["name"] for each in pod["volumes"]} | ({"data"} if "database" not in values else set())
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
        assert {each["name"] for each in container["volumeMounts"]} <= volumes
    writable = {each["mountPath"] for each in server_of(render(values))["volumeMounts"] if not each.get("readOnly")}
    assert writable == {"/data", "/tmp", "/dev/shm"}


@each_values
def test_the_server_takes_its_settings(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = render(values)
    settings = settings_of(manifests, monkeypatch)
    for name, value in values.get("settings", {}).items():
        assert getattr(settings, re.sub("([A-Z])", r"_\1", name).lower()) == value
    assert settings.exposed == (not values.get("insecure", False))
    assert (settings.database_url is not None) == ("database" in values)
    mounts = {each["mountPath"] for each in server_of(manifests)["volumeMounts"]}
    assert str(settings.data_dir) in mounts
    assert (str(settings.bundles_dir) in mounts) == ("bundles" in values)
    assert (settings.ssl_certfile is not None) == ("tls" in values)
    if "tls" in values:
        assert str(settings.ssl_certfile and settings.ssl_certfile.parent) in mounts
    if settings.workers and settings.workers > 1:
        assert settings.shares_engine == bool(settings.shared_engine)


@each_values
def test_a_stop_waits_for_every_process(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = render(values)
    settings = settings_of(manifests, monkeypatch)
    stages = 3 if settings.shares_engine or "gpu" in values else 2
    assert settings.drain_seconds == 5
    assert pod_of(manifests)["terminationGracePeriodSeconds"] >= settings.drain_seconds + stages * settings.shutdown_timeout
    limit = server_of(manifests)["resources"]["limits"]
    assert limit.get("nvidia.com/gpu") == (1 if "gpu" in values else None)


@each_values
def test_ports_are_the_servers(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = render(values)
    server = server_of(manifests)
    settings = settings_of(manifests, monkeypatch)
    ports = {"http": settings.port} | ({"grpc": settings.grpc_port} if values.get("settings", {}).get("grpcPort") else {})
    assert {each["name"]: each["containerPort"] for each in server["ports"]} == ports
    probes = [server[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")]
    assert {each["port"] for each in probes} == {"http"}
    assert {each["scheme"] for each in probes} == {"HTTPS" if "tls" in values else "HTTP"}
    service = of_kind(manifests, "Service")
    assert {each["targetPort"]: each["port"] for each in service["spec"]["ports"]} == ports
    labels = {"app.kubernetes.io/name": "headstart", "app.kubernetes.io/instance": "headstart"}
    assert service["spec"]["selector"] == of_kind(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels


def test_sqlite_has_one_pod_and_postgresql_many() -> None:
    one, many = render({}), render({**POSTGRES, "replicas": 3})
    assert of_kind(one, "StatefulSet")["spec"]["replicas"] == 1
    assert not {"Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget"} & {each["kind"] for each in one}
    assert of_kind(many, "Deployment")["spec"]["replicas"] == 3
    assert of_kind(many, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert "replicas" not in of_kind(render(SCALED), "Deployment")["spec"]


def test_the_autoscaler_asks_for_a_metric_of_the_server() -> None:
    (metric,) = of_kind(render(SCALED), "HorizontalPodAutoscaler")["spec"]["metrics"]
    (rule,) = yaml.safe_load((ROOT / "deploy" / "prometheus" / "adapter.yml").read_text())["rules"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    metrics = Metrics()
    metrics.queue_images.labels("photos@1").set(3)
    assert f"\n{rule['name']['as']}{{" in metrics.render().decode()


def test_no_network_but_what_is_named() -> None:
    closed = of_kind(render({}), "NetworkPolicy")["spec"]
    assert closed["policyTypes"] == ["Ingress", "Egress"]
    assert not closed.keys() & {"ingress", "egress"}
    named = of_kind(render(EVERYTHING), "NetworkPolicy")["spec"]
    (way_in,) = named["ingress"]
    spaces = [each["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for each in way_in["from"]]
    assert spaces == ["ingress-nginx", "monitoring"]
    assert [[port["port"] for port in rule["ports"]] for rule in named["egress"]] == [[53, 53], [5432], [443]]
    assert all(rule["to"] for rule in named["egress"])
    for values, ports in ((EVERYTHING, ["http"]), (GRPC, ["http", "grpc"])):
        (way_in,) = of_kind(render(values), "NetworkPolicy")["spec"]["ingress"]
        assert [each["port"] for each in way_in["ports"]] == ports


def test_prometheus_finds_the_metrics_and_has_a_key() -> None:
    monitor = of_kind(render(EVERYTHING), "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"], endpoint["scheme"]) == ("http", "/metrics", "https")
    assert endpoint["authorization"] == {"credentials": {"name": "operator", "key": "key"}}
    labels = of_kind(render(EVERYTHING), "Service")["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"replica": 3}, "replica"),
        ({"settings": {"queueImage": 3}}, "queueImage"),
        ({"settings": {"queueImages": 0}}, "queueImages"),
        ({"settings": {"databaseUrl": "sqlite:///x"}}, "databaseUrl"),
        ({"settings": {"engine": "best"}}, "engine"),
        ({"resources": {"limit": {}}}, "limit"),
        ({"storage": {"size": "20 GB"}}, "size"),
        ({"networkPolicy": {"egress": [{"name": "all", "port": 1}]}}, "egress"),
        ({"extraEnv": [{"name": "HEADSTART_PORT", "value": "1"}]}, "extraEnv"),
        ({"autoscaling": {"enabled": True}}, "autoscaling needs database.secretName"),
        ({"database": {"secretName": "database"}}, "networkPolicy.egress must name PostgreSQL"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_values_are_refused(values: dict[str, Any], reason: str) -> None:
    assert reason in refusal(values)


def test_the_schema_knows_every_setting_of_the_server() -> None:
    """`python -m tests.helpers.charts` writes them into it."""
    assert json.loads(SCHEMA.read_text())["properties"]["settings"]["properties"] == settings_schema()


def test_the_chart_is_of_this_release() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == project["version"]
