"""Everything of a task as a folder: the server's archive unpacked, with its versions and captures; and such a folder as a zip."""

import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headstart.client import Client
from headstart.errors import ImageNotKept
from headstart.images.formats import suffix
from headstart.replies.captures import Capture
from headstart.replies.tasks import Task
from headstart.replies.values import JsonObject
from headstart.whole import written_whole

_OWN = Path(".headstart")
_TASK, _VERSIONS, _CAPTURES = _OWN / "task.json", _OWN / "versions.json", _OWN / "captures"
_PAGE = 100


def save_folder(client: Client, task: Task, folder: Path) -> JsonObject:
    """Writes a new folder, which appears when it is whole, and returns what is in it.

    It has a folder for each class, `.negatives` and `.headstart`, as the server's archive has. In `.headstart` are besides
    `versions.json`, the history, and `captures`, with the image of each capture and `captures.json`.

    Raises:
        ImageNotKept: the server did not keep the image of an example.
        HeadstartError: the server cannot be reached, or refuses a call.
        OSError: the folder exists, or cannot be made or written.
    """
    with written_whole(folder) as whole:
        whole.mkdir()
        with tempfile.TemporaryDirectory() as beside:
            zipped = Path(beside) / "task.zip"
            client.archive(task.id, zipped)
            with zipfile.ZipFile(zipped) as archive:
                archive.extractall(whole)
        versions = client.versions(task.id)
        _write(whole / _VERSIONS, {"versions": [version.raw for version in versions]})
        captures = _save_captures(client, task, whole / _CAPTURES)
    return {
        "task": task.id,
        "folder": str(folder),
        "examples": task.examples,
        "versions": len(versions),
        "captures": captures,
    }


def is_saved(folder: Path) -> bool:
    """True for a folder that `save_folder` wrote, or that an archive was unpacked to."""
    return (folder / _TASK).is_file()


@contextmanager
def zipped_again(folder: Path) -> Iterator[Path]:
    """Yields such a folder as a zip that the server takes. It leaves out the history and the captures."""
    with tempfile.TemporaryDirectory() as beside:
        path = Path(beside) / f"{folder.name}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(folder.rglob("*")):
                inside = file.relative_to(folder)
                if file.is_file() and inside != _VERSIONS and _CAPTURES not in inside.parents:
                    archive.write(file, inside)
        yield path


def _save_captures(client: Client, task: Task, folder: Path) -> int:
    """Saves the captures that the review queue lists, with those that look like them. Returns how many images there are."""
    folder.mkdir()
    entries, files = [], {}
    for capture in _captures(client, task.id):
        entries.append(capture.raw)
        for id_ in capture.ids:
            try:
                image = client.captures.image(task.id, id_)
            except ImageNotKept:
                continue
            files[id_] = f"{id_}{suffix(image)}"
            (folder / files[id_]).write_bytes(image)
    _write(folder / "captures.json", {"captures": entries, "files": files})
    return len(files)


def _captures(client: Client, task: str) -> Iterator[Capture]:
    after = None
    while True:
        page = client.captures.list(task, order="newest", limit=_PAGE, after=after)
        yield from page.captures
        if (after := page.next_cursor) is None:
            return


def _write(file: Path, body: JsonObject) -> None:
    file.write_text(json.dumps(body, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
