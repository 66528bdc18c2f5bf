"""A real Label Studio in an environment of its own, for a slow test."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.server_process import free_port
from tests.helpers.environments import environment_with
from tests.helpers.label_studio import answers
from tests.helpers.waiting import wait_until

Json = dict[str, Any]

VERSION = "1.23.2"
_EMAIL, _PASSWORD = "annotator@example.org", "ten-images-and-one"
_START_SECONDS = 600.0  # It makes its database first.


class LabelStudio:
    """A running Label Studio, and what its user does there.

    Attributes:
        token: the user's personal access token.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        with httpx.Client(base_url=url, timeout=60, follow_redirects=True) as browser:
            browser.get("/user/login/")
            sent = {"email": _EMAIL, "password": _PASSWORD, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
            browser.post("/user/login/", data=sent, headers={"Referer": url}).raise_for_status()
            headers = {"X-CSRFToken": browser.cookies["csrftoken"], "Referer": url}
            self.token: str = browser.post("/api/token/", json={}, headers=headers).raise_for_status().json()["token"]
        access = httpx.post(f"{url}/api/token/refresh/", json={"refresh": self.token}).raise_for_status().json()["access"]
        self._api = httpx.Client(base_url=url, timeout=120, headers={"Authorization": f"Bearer {access}"})

    def close(self) -> None:
        self._api.close()

    def ask(self, method: str, path: str, **parts: Any) -> Any:
        response = self._api.request(method, path, **parts)
        assert response.is_success, (method, path, response.text)
        return response.json()

    def connect(self, project: int, backend: str) -> None:
        """Connects a model, and has the project show its predictions."""
        self.ask("POST", "/api/ml/", json={"project": project, "url": backend, "title": "Headstart"})
        self.ask("PATCH", f"/api/projects/{project}/", json={"model_version": "Headstart"})

    def upload(self, project: int, name: str, image: bytes) -> int:
        """Imports an image, and returns the id of its task."""
        self.ask("POST", f"/api/projects/{project}/import", files={"file": (name, image, "image/jpeg")})
        tasks: list[Json] = self.ask("GET", "/api/tasks/", params={"project": project, "page_size": 100})["tasks"]
        return max(int(task["id"]) for task in tasks)

    def annotate(self, task: int, label: str) -> int:
        """Labels the image of a task, and returns the annotation's id."""
        region = {"from_name": "choice", "to_name": "image", "type": "choices", "value": {"choices": [label]}}
        annotation: int = self.ask("POST", f"/api/tasks/{task}/annotations/", json={"result": [region]})["id"]
        return annotation

    def delete(self, annotation: int) -> None:
        """Deletes an annotation."""
        self._api.delete(f"/api/annotations/{annotation}/").raise_for_status()

    def opened(self, task: int) -> list[Json]:
        """The predictions of a task that is opened from the project's list."""
        predictions: list[Json] = self.ask("GET", f"/api/tasks/{task}/")["predictions"]
        return predictions

    def retrieve(self, project: int) -> None:
        """Does *Retrieve Predictions* for all tasks of the project's list."""
        chosen = {"selectedItems": {"all": True, "excluded": []}}
        self.ask("POST", "/api/dm/actions/", params={"id": "retrieve_tasks_predictions", "project": project}, json=chosen)

    def offered(self, project: int) -> Json:
        """The task that is given next to whoever labels all tasks."""
        task: Json = self.ask("GET", f"/api/projects/{project}/next/")
        return task


@contextmanager
def label_studio(folder: Path) -> Iterator[LabelStudio]:
    """Installs Label Studio into a folder, runs it with a user, and ends it. It sends nothing to its makers."""
    python = environment_with(folder / "environment", f"label-studio=={VERSION}")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    variables = {
        "COLLECT_ANALYTICS": "false",
        "FRONTEND_SENTRY_DSN": "",
        "HOME": str(folder),
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder / "data"),
        "LABEL_STUDIO_HOST": url,
        "LATEST_VERSION_CHECK": "false",
        "ML_BLOCK_LOCAL_IP": "false",
        "SENTRY_DSN": "",
        "SSRF_PROTECTION_ENABLED": "false",
    }
    command = [
        str(python.with_name("label-studio")),
        "start",
        "--no-browser",
        "--internal-host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    command += ["--username", _EMAIL, "--password", _PASSWORD]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    with (folder / "label-studio.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=url, timeout=10) as probe:
            wait_until(lambda: process.poll() is not None or answers(probe, "/health"), _START_SECONDS)
        assert process.poll() is None, (folder / "label-studio.log").read_text()
        studio = LabelStudio(url)
        yield studio
        studio.close()
    finally:
        process.terminate()
        process.wait(60)
