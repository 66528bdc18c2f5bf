"""The application on a Ray of its own on this machine, over real HTTP, for benchmarks and tests.

`RayProcess` runs this file, which serves until its standard input ends, and then ends everything that it started.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.server_process import ROOT, free_port
from models.bundle import PAPER_BUNDLE

_CORES = 4  # that Ray believes in: the replicas of an ordinary machine may share cores
_STORE_BYTES = 100 * 2**20
_STOP_SECONDS = 120.0
_READY = "ready"
_NAME = "headstart"
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_DEDUP_LOGS": "0",
    "RAY_prestart_worker_first_driver": "0",
}


class RayProcess:
    """The application on a free port of this machine; ready when constructed, stopped with its context.

    Args:
        data_dir: of the application.
        hook: `module:function` that each process of Ray calls at its start.
        replicas: options of the deployments `Api` and `Engines`, as in a configuration of Serve.
        settings: of the server.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        hook: str | None = None,
        replicas: Mapping[str, Mapping[str, Any]] | None = None,
        **settings: str,
    ) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = data_dir.with_name(f"{data_dir.name}-{port}.log")
        asked = {"data_dir": str(data_dir), "insecure": "true", "bundle": PAPER_BUNDLE, **settings}
        self._folder = tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True)
        command = [sys.executable, "-m", "benchmarks.ray_process", str(port), self._folder.name]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 -- the command is ours
                [*command, json.dumps(asked), json.dumps(replicas or {}), hook or ""],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **_ENVIRONMENT},
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def log(self) -> str:
        """Returns the output of all of its processes."""
        return self._log.read_text()

    def stop(self) -> None:
        """Ends the application, and Ray with it."""
        try:
            self.process.communicate(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()  # Ray's processes end with the one that started them.
            self.process.communicate()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        self.stop()

    def _wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.decode().strip() == _READY:
                return
        raise RuntimeError(f"the application did not start:\n{self.log()[-5000:]}")


def _serve(port: str, folder: str, settings: str, replicas: str, hook: str) -> None:
    import ray
    from ray import serve
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    environment = {"worker_process_setup_hook": hook} if hook else {}
    ray.init(
        num_cpus=_CORES, object_store_memory=_STORE_BYTES, include_dashboard=False, _temp_dir=folder, runtime_env=environment
    )
    http = {"host": "127.0.0.1", "port": int(port)}
    serve.start(http_options=http)
    deployments = [{"name": name, **options} for name, options in json.loads(replicas).items()]
    application = {"import_path": "server.on_ray:application", "args": json.loads(settings), "deployments": deployments}
    # `serve deploy` does the same with a file.
    _get_global_client().deploy_apps(ServeDeploySchema(http_options=http, applications=[{"name": _NAME, **application}]))
    while (status := serve.status().applications[_NAME]).status != "RUNNING":
        if status.status == "DEPLOY_FAILED":
            reasons = [status.message, *(each.message for each in status.deployments.values())]
            sys.exit("\n".join(reasons))
        time.sleep(0.1)
    print(_READY, flush=True)
    sys.stdin.read()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
