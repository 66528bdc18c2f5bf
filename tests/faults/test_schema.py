"""What a machine makes of the OpenAPI document, thousands of requests long."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.server_process import ROOT
from tests.helpers.servers import RealServer, run_server

pytestmark = pytest.mark.slow

_CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
_SEED = 1
_CASES_PER_CALL = 750  # 20,000 requests in all, ten minutes on two cores
# Refuses what the schema allows and a rule beyond it does not; `schema_hooks` has a check of its own for that.
_LEFT_OUT = "positive_data_acceptance"


def test_every_answer_is_as_documented(tmp_path: Path) -> None:
    made = run_server(
        "keys", "create", "--tenant", "default", "--scope", "manage", "--data-dir", str(tmp_path / "data"), folder=tmp_path
    )
    key = made.stdout.strip()
    with RealServer(tmp_path / "data") as server:
        schemathesis = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(_CONFIGURATION)]
        command = [*schemathesis, "run", f"{server.url}/openapi.json"]
        options = ["--checks", "all", "--exclude-checks", _LEFT_OUT, "--continue-on-failure", "--request-timeout", "60"]
        options += ["--header", f"Authorization: Bearer {key}"]
        count = ["--max-examples", str(_CASES_PER_CALL), "--seed", str(_SEED)]
        environment = {
            **os.environ,
            "HEADSTART_URL": server.url,
            "HEADSTART_TOKEN": key,
            "SCHEMATHESIS_HOOKS": "tests.faults.schema_hooks",
            "PYTHONPATH": str(ROOT),
        }
        run = [*command, *options, *count]
        found = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        print(found.stdout)
        assert found.returncode == 0, found.stdout
        assert "Traceback" not in server.log()
