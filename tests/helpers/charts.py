"""The Helm chart, rendered by Helm itself. `python -m tests.helpers.charts` writes the server's settings into its schema."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.server_process import ROOT
from server.settings import Settings, load_settings
from tests.helpers.programs import installed

CHART = ROOT / "deploy" / "helm" / "headstart"
SCHEMA = CHART / "values.schema.json"

# Those that the chart sets by other values.
_OF_THE_CHART = {
    "host", "port", "insecure", "ssl_certfile", "ssl_keyfile", "data_dir", "database_url", "bundles_dir", "allowed_hosts",
}  # fmt: skip

Manifest = dict[str, Any]

POSTGRES = {
    "database": {"secretName": "database"},
    "networkPolicy": {"egress": [{"name": "PostgreSQL", "cidr": "10.0.0.5/32", "port": 5432}]},
}
SCALED = {**POSTGRES, "autoscaling": {"enabled": True}}
WORKERS = {"settings": {"workers": 4, "sharedEngine": True, "maxBodyBytes": 128_000_000, "qualityDrop": 0.1}}
GPU = {"gpu": {"enabled": True, "runtimeClassName": "nvidia"}, "settings": {"workers": 4}}
TLS = {"tls": {"secretName": "certificate"}, "allowedHosts": ["api.example.org", "*.lan"]}
GRPC = {"settings": {"grpcPort": 8001}, "networkPolicy": {"fromNamespaces": ["robots"]}}
EVERYTHING: dict[str, Any] = {
    **SCALED,
    **GPU,
    **TLS,
    "image": {"tag": "1.2.3", "pullSecrets": ["registry"]},
    "settings": {
        "workers": 2,
        "shutdownTimeout": 60,
        "oidcIssuer": "https://id.example.org",
        "oidcAudience": "headstart",
        "oidcJwks": "https://id.example.org/keys",
    },
    "bundles": {"image": "registry.example.org/bundles:1"},
    "networkPolicy": {
        "fromNamespaces": ["ingress-nginx", "monitoring"],
        "egress": [
            {"name": "PostgreSQL", "namespace": "postgres", "port": 5432},
            {"name": "OIDC issuer", "cidr": "0.0.0.0/0", "port": 443},
        ],
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "keySecret": {"name": "operator"}},
    "extraEnv": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}],
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
}
CLAIM = {"bundles": {"existingClaim": "bundles"}, "insecure": True, "storage": {"className": "fast"}}
VALUES = {
    "sqlite": {},
    "postgres": POSTGRES,
    "scaled": SCALED,
    "workers": WORKERS,
    "gpu": GPU,
    "tls": TLS,
    "grpc": GRPC,
    "claim": CLAIM,
    "everything": EVERYTHING,
}


def helm(*arguments: str | Path, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs Helm, with values on its standard input where there are some."""
    command = [installed("helm", "make .venv-dev/bin/helm"), *arguments]
    command += [] if values is None else ["--values", "-"]
    return subprocess.run(command, input=yaml.safe_dump(values), capture_output=True, text=True, timeout=60, check=False)


def render(values: dict[str, Any]) -> list[Manifest]:
    """Returns the manifests of the release `headstart` in the namespace `birds`."""
    return _rendered(json.dumps(values))


@cache
def _rendered(values: str) -> list[Manifest]:
    done = helm("template", "headstart", CHART, "--namespace", "birds", values=json.loads(values))
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def refusal(values: dict[str, Any]) -> str:
    """Returns why Helm refuses values."""
    done = helm("template", "headstart", CHART, values=values)
    assert done.returncode != 0, done.stdout
    return done.stderr


def of_kind(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = (each for each in manifests if each["kind"] == kind)
    return found


def pod_of(manifests: list[Manifest]) -> dict[str, Any]:
    (found,) = (each for each in manifests if each["kind"] in {"StatefulSet", "Deployment"})
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


def server_of(manifests: list[Manifest]) -> dict[str, Any]:
    (container,) = pod_of(manifests)["containers"]
    found: dict[str, Any] = container
    return found


def environment_of(manifests: list[Manifest]) -> dict[str, str]:
    """What the server's process sees, with a database and an address for those of the cluster."""
    cluster = {"POD_IP": "10.1.2.3", "HEADSTART_DATABASE_URL": "postgresql://headstart@db/headstart"}
    seen = dict(of_kind(manifests, "ConfigMap")["data"])
    for each in server_of(manifests).get("env", ()):
        text = each["value"] if "value" in each else cluster[each["name"]]
        seen[each["name"]] = text.replace("$(POD_IP)", cluster["POD_IP"])
    return seen


def settings_of(manifests: list[Manifest], patch: pytest.MonkeyPatch) -> Settings:
    """The settings that the server reads, which refuses unknown ones."""
    for name in [name for name in os.environ if name.startswith("HEADSTART_")]:
        patch.delenv(name)
    for name, text in environment_of(manifests).items():
        patch.setenv(name, text)
    return load_settings([])


def settings_schema() -> dict[str, Any]:
    """Returns the schema of the server's settings by the names that they have in the chart."""
    fields = Settings.model_json_schema()["properties"]
    return {_in_the_chart(name): _type_of(field) for name, field in sorted(fields.items()) if name not in _OF_THE_CHART}


def _in_the_chart(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _type_of(field: dict[str, Any]) -> dict[str, Any]:
    typed = next((each for each in field.get("anyOf", ()) if each != {"type": "null"}), field)
    return {key: value for key, value in typed.items() if key not in {"title", "default", "description"}}


if __name__ == "__main__":
    schema = json.loads(SCHEMA.read_text())
    schema["properties"]["settings"]["properties"] = settings_schema()
    SCHEMA.write_text(json.dumps(schema, indent=2) + "\n")
