"""The Helm chart, rendered by Helm itself. `python -m tests.helpers.charts` writes the server's settings into its schema."""

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from benchmarks.server_process import ROOT
from server.settings import Settings
from tests.helpers.programs import installed

CHART = ROOT / "deploy" / "helm" / "headstart"
SCHEMA = CHART / "values.schema.json"

# Those that the chart sets by other values.
_OF_THE_CHART = {
    "host", "port", "insecure", "ssl_certfile", "ssl_keyfile", "data_dir", "database_url", "bundles_dir", "allowed_hosts",
}  # fmt: skip

Manifest = dict[str, Any]


def helm(*arguments: str | Path, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs Helm, with values on its standard input where there are some."""
    command = [installed("helm", "make .venv-dev/bin/helm"), *arguments]
    command += [] if values is None else ["--values", "-"]
    return subprocess.run(command, input=yaml.safe_dump(values), capture_output=True, text=True, timeout=60, check=False)


def render(values: dict[str, Any], release: str = "headstart") -> list[Manifest]:
    """Returns the manifests of a release in the namespace `birds`."""
    done = helm("template", release, CHART, "--namespace", "birds", values=values)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def refusal(values: dict[str, Any]) -> str:
    """Returns why Helm refuses values."""
    done = helm("template", "headstart", CHART, values=values)
    assert done.returncode != 0, done.stdout
    return done.stderr


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
