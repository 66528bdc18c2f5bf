"""Object stores for tests: a real S3 server (SeaweedFS), and stores of ours whose new images all go outside."""

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from server.ids import original
from server.store.images import ImageStore
from server.store.object_store import ObjectStore
from server.store.records import Change, NewExample, Task, TaskKey
from server.store.store import Store
from server.store.tasks import TaskStore

_SECONDS = 20.0
_GRPC = 10_000  # Each part of SeaweedFS has a second port, so much higher.
_PARTS = ("s3", "master", "volume", "filer", "admin")


class S3Server:
    """SeaweedFS in a process of its own, with the bucket `images`. It can be stopped, and started again as it was.

    Attributes:
        url: of a path in the bucket, for `--images-url`.
        environment: the variables by which obstore finds it.
        folder: of its files, in which it keeps what was deleted until it compacts them.
    """

    url = "s3://images/some/path"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = dict(zip(_PARTS, _free_ports(len(_PARTS)), strict=True))
        self._address = f"http://127.0.0.1:{self._ports['s3']}"
        self.environment = {
            "AWS_ENDPOINT_URL": self._address,
            "AWS_ACCESS_KEY_ID": "headstart",
            "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        ports = [f"-{part}.port={port}" for part, port in self._ports.items()]
        off = ("-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false")
        self._process = subprocess.Popen(
            [_weed(), "mini", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-bucket=images", *off, *ports],
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + _SECONDS
        while not self._answers():
            if time.monotonic() > until:
                self.stop()
                raise TimeoutError("SeaweedFS did not start")
            time.sleep(0.05)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def keep_versions(self) -> None:
        """Has the bucket keep every version of an object, also those that are deleted."""
        self.shell("s3.bucket.versioning -name images -enable")

    def shell(self, command: str) -> str:
        """Returns what a command of SeaweedFS's own shell prints."""
        asked = [_weed(), "shell", f"-master=127.0.0.1:{self._ports['master']}"]
        return subprocess.run(asked, input=command, capture_output=True, text=True, check=True, timeout=_SECONDS).stdout

    def paths(self) -> set[str]:
        """Of the objects under `url`, without the one by which a database knows the store."""
        return {each["path"] for some in self._client(self.url).list() for each in some if "/" in each["path"]}

    def content(self, path: str) -> bytes:
        """Of an object under `url`."""
        return bytes(self._client(self.url).get(path).bytes())

    def _client(self, url: str) -> Any:
        return from_url(
            url,
            endpoint=self._address,
            access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region=self.environment["AWS_REGION"],
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )

    def _answers(self) -> bool:
        """Whether it takes and gives an object: its parts do not come up together."""
        try:
            self._client("s3://images").put("probe", b"probe")
            self._client("s3://images").delete("probe")
        except (BaseError, OSError):
            return False
        return True


def paths_in(folder: Path) -> set[str]:
    """Of the objects in a folder, without the one by which a database knows it.

    Folders that became empty go while this looks, which `os.walk` bears and `Path.rglob` does not.
    """
    found = (str(Path(parent, name).relative_to(folder)) for parent, _, names in os.walk(folder) for name in names)
    return {path for path in found if "/" in path}


class _PlacingTasks(TaskStore):
    """Tasks whose new images go outside, as the journeys have it."""

    def __init__(self, store: Store) -> None:
        super().__init__(store._database, store.active, store.events)
        self._images = store.images

    def create(self, key: TaskKey, name: str, added: Sequence[NewExample], *others: Any, **more: Any) -> Task:
        return super().create(key, name, place(self._images, key, added), *others, **more)

    def add_version(
        self, key: TaskKey, parent: int, change: Change, added: Sequence[NewExample], *others: Any, **more: Any
    ) -> Task:
        return super().add_version(key, parent, change, place(self._images, key, added), *others, **more)


def place(images: ImageStore, key: TaskKey, added: Sequence[NewExample]) -> list[NewExample]:
    """New examples with their images in the object store; copies share that of the first one, as a relabelled example does."""
    there = {(key, each.id): each.image for each in added if isinstance(each.image, bytes) and each.id == original(each.id)}
    found = images.place(there) if there else {}
    return [replace(each, image=found.get((key, each.id))) for each in added]


def put_outside(store: Store, folder: Path) -> None:
    """Has all new images of a store go to a folder."""
    images = ImageStore(store._database, ObjectStore(LocalStore(folder, mkdir=True, automatic_cleanup=True), folder))
    images.open()
    store.images = store.examples._images = store.captures._images = images
    store.tasks = _PlacingTasks(store)


def leave_plain() -> None:
    """For `prepare`: images are not encrypted, so that a test can look for them in the objects' files."""
    from server.store import images

    images._encrypted = lambda at, image: image  # noqa: ARG005
    images._decrypted = lambda at, content: content  # noqa: ARG005


def _weed() -> str:
    return str(Path(sys.executable).with_name("weed"))


def _free_ports(count: int) -> list[int]:
    """Ports that are free, and those above them for gRPC."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        if port not in found and _is_free(port) and _is_free(port + _GRPC):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
