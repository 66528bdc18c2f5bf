"""What Label Studio sends to a machine-learning backend, and a host that gives images as it does, for tests.

The bodies are those of its release 1.23: `ml/api_connector.py`, `webhooks/utils.py` and the serializers that these use.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from benchmarks.server_process import ROOT, free_port
from tests.helpers.waiting import wait_until

Json = dict[str, Any]

TOKEN = "0123456789abcdef0123456789abcdef01234567"
PERSONAL, ACCESS = "eyJh.eyJy.c2ln", "eyJh.eyJh.c2ln"  # as JWTs look
_CREATED = datetime(2026, 11, 21, 9, 30, 0, 123456, UTC)


def config_of(labels: list[str], *, several: bool = False) -> str:
    """A labelling interface as its template for image classification has it."""
    choices = "".join(f'<Choice value="{label}"/>' for label in labels)
    kind = ' choice="multiple"' if several else ""
    return f'<View><Image name="image" value="$image"/><Choices name="choice" toName="image"{kind}>{choices}</Choices></View>'


@dataclass
class Host:
    """A host on this machine that gives images to whoever has the token, and notes what it is asked.

    Attributes:
        images: by path.
        redirects: where paths lead instead.
        asked: the paths, in the order asked.
    """

    images: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append(self.path)
                if self.headers["Authorization"] not in {f"Token {TOKEN}", f"Bearer {ACCESS}"}:
                    self._answer(401, b"")
                elif self.path in host.redirects:
                    self._answer(302, b"", ("Location", host.redirects[self.path]))
                elif self.path in host.images:
                    self._answer(200, host.images[self.path])
                else:
                    self._answer(404, b"")

            def do_POST(self) -> None:
                host.asked.append(self.path)
                sent = self.rfile.read(int(self.headers["Content-Length"]))
                known = self.path == "/api/token/refresh/" and PERSONAL.encode() in sent
                self._answer(200 if known else 401, b'{"access": "%s"}' % ACCESS.encode())

            def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
                self.send_response(status)
                for name, value in (("Content-Length", str(len(body))), *headers):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,)).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running_backend(label_studio: str, server: str, folder: Path, key: str) -> Iterator[httpx.Client]:
    """The backend in a process of its own, and a client of it.

    Args:
        label_studio, server: the addresses that it is told.
        folder: for what it prints.
        key: of Label Studio.
    """
    port = free_port()
    command = [sys.executable, "-m", "headstart_label_studio", "--label-studio", label_studio, "--url", server]
    with (folder / f"{port}.log").open("wb") as log:
        environment = {**os.environ, "LABEL_STUDIO_API_KEY": key}
        process = subprocess.Popen([*command, "--port", str(port)], cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as backend:
            wait_until(lambda: answers(backend, "/health"))
            yield backend
    finally:
        process.terminate()
        process.wait(30)


def answers(client: httpx.Client, path: str) -> bool:
    """True if something is there that answers 200."""
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False


class Project:
    """A project of Label Studio with a backend.

    Args:
        backend: asks the backend.
        id_: of the project.
    """

    def __init__(self, backend: httpx.Client, id_: int, config: str) -> None:
        self.backend = backend
        self.id = id_
        self.config = config
        self.uid = f"{id_}.{int(_CREATED.timestamp())}"

    def setup(self) -> httpx.Response:
        body = {"project": self.uid, "schema": self.config, "hostname": "http://localhost:8080"}
        return self.backend.post("/setup", json={**body, "access_token": TOKEN, "extra_params": None})

    def predict(self, *addresses: object) -> list[Json]:
        """The predictions for tasks with these images."""
        answer = self.answer_about(*addresses)
        assert all(each["model_version"] == answer["model_version"] for each in answer["results"])
        results: list[Json] = answer["results"]
        return results

    def answer_about(self, *addresses: object) -> Json:
        """The whole answer about tasks with these images."""
        params = {"login": None, "password": None, "context": None}
        tasks = [_task(number, address, self.id) for number, address in enumerate(addresses, 1)]
        body = {"tasks": tasks, "project": self.uid, "label_config": self.config, "params": params}
        answer: Json = self.backend.post("/predict", json=body).raise_for_status().json()
        return answer

    def annotate(
        self, id_: int, address: object, *labels: str, action: str = "ANNOTATION_CREATED", skipped: bool = False
    ) -> httpx.Response:
        return self.hook(action, annotation=_annotation(id_, labels, self.id, skipped), task=_task(id_, address, self.id))

    def annotate_many(self, annotated: list[tuple[int, object, str]]) -> httpx.Response:
        annotations = [_annotation(id_, (label,), self.id, False) for id_, _, label in annotated]
        tasks = [_task(id_, address, self.id) for id_, address, _ in annotated]
        return self.hook("ANNOTATIONS_CREATED", annotation=annotations, task=tasks)

    def delete(self, *ids: int) -> httpx.Response:
        return self.hook("ANNOTATIONS_DELETED", annotations=[{"id": id_} for id_ in ids])

    def hook(self, action: str, **payload: Any) -> httpx.Response:
        project = {
            "id": self.id,
            "task_number": 12,
            "finished_task_number": 0,
            "total_predictions_number": 0,
            "total_annotations_number": 0,
            "num_tasks_with_annotations": 0,
            "useful_annotation_number": 0,
            "ground_truth_number": 0,
            "skipped_annotations_number": 0,
            "title": "pets",
            "description": "",
            "label_config": self.config,
            "created_at": _CREATED.isoformat().replace("+00:00", "Z"),
            "updated_at": _CREATED.isoformat().replace("+00:00", "Z"),
            "model_version": "",
            "organization": 1,
        }
        return self.backend.post("/webhook", json={"action": action, **payload, "project": project})


def _task(id_: int, address: object, project: int) -> Json:
    times = {"created_at": "2026-11-21T09:31:00Z", "updated_at": "2026-11-21T09:31:00Z"}
    data = {"image": address}
    return {"id": id_, "data": data, "meta": {}, **times, "is_labeled": False, "overlap": 1, "inner_id": id_, "project": project}


def _annotation(id_: int, labels: tuple[str, ...], project: int, skipped: bool) -> Json:
    value = {"choices": [*labels]}
    region = {
        "value": value,
        "id": "Vq2ZLd1Y9w",
        "from_name": "choice",
        "to_name": "image",
        "type": "choices",
        "origin": "manual",
    }
    return {
        "id": id_,
        "result": [region] if labels else [],
        "was_cancelled": skipped,
        "ground_truth": False,
        "created_at": "2026-11-21T09:32:00Z",
        "updated_at": "2026-11-21T09:32:00Z",
        "draft_created_at": None,
        "lead_time": 2.1,
        "prediction": {},
        "result_count": 1,
        "unique_id": "5f2c1c04-6f0e-4a44-9d62-5b8a6a3f4f0c",
        "import_id": None,
        "last_action": None,
        "bulk_created": False,
        "task": id_,
        "project": project,
        "completed_by": 1,
        "updated_by": 1,
        "parent_prediction": None,
        "parent_annotation": None,
        "last_created_by": None,
    }
