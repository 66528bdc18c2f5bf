"""The files by which other tools say what images show. Each reader takes a file's text, and reads no image.

- Label Studio: the export `JSON`, https://labelstud.io/guide/task_format
- Azure Custom Vision: the images that its training API lists, `GetImages` and `GetTaggedImages`, as it answers or as its Python
  SDK writes them
- Roboflow: `_classes.csv` of its export `Multi-Label Classification`, a column of 0 and 1 for each class
"""

import csv
import io
import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from headstart.images.folders import IMAGE_SUFFIXES

_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts this before the names of files that are uploaded
_STORED = ("/data/upload/", "/data/local-files/")  # Label Studio's addresses of files, which may have any name


class UnknownFormat(Exception):
    """A file is not of the form that it seems to have. The message says which."""


@dataclass(frozen=True, slots=True)
class Annotated:
    """An image with its labels.

    Attributes:
        names: by which its file may be called, with or without folders, the likeliest first; at least one.
        labels: none if nobody gave it one.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]


def label_studio(text: str) -> list[Annotated]:
    """Reads the export `JSON`. Of an image's annotations the last counts that was not cancelled, and of that all choices.

    The export lacks the labelling configuration, which says where in `data` the address of the image is. So it is the text that
    looks like one, or else the one that is called as what the choices are about, or else any.

    Returns:
        Nothing for other JSON.

    Raises:
        UnknownFormat: it is no JSON.
    """
    found = []
    for entry in _entries(_json(text)):
        data, annotations = entry.get("data"), entry.get("annotations")
        if isinstance(data, dict) and isinstance(annotations, list):
            results = _results(annotations)
            names = [name for address in _addresses(data, results) for name in _names(address)]
            found.append(Annotated(tuple(dict.fromkeys(names)), _choices(results)))
    return found


def custom_vision(text: str) -> list[Annotated]:
    """Reads a list of images with `id` and `tags`, or an object that has such a list as `images`.

    Returns:
        Nothing for other JSON.

    Raises:
        UnknownFormat: it is no JSON.
    """
    document = _json(text)
    found = []
    for entry in _entries(document.get("images") if isinstance(document, dict) else document):
        id_, tags = entry.get("id"), entry.get("tags")
        if isinstance(id_, str) and id_ and isinstance(tags, list):
            own = [each for key in ("saved_path", "original_filename") if isinstance(each := entry.get(key), str) and each]
            names = (id_, f"image_{id_}", *(PurePosixPath(each.replace("\\", "/")).name for each in own))
            found.append(Annotated(names, tuple(filter(None, map(_tag, tags)))))
    return found


def one_hot(text: str) -> list[Annotated]:
    """Reads a table with a column `filename`, and one of 0 and 1 for each class.

    Raises:
        UnknownFormat: it is another table.
    """
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text)) if row]
    except csv.Error as error:
        raise UnknownFormat(f"_classes.csv is no table: {error}") from error
    if not rows or rows[0][0] != "filename" or len(rows[0]) < 2:
        raise UnknownFormat("_classes.csv has no column `filename` with a column for each class after it")
    header, *images = rows
    if any(len(row) != len(header) or not {*row[1:]} <= {"0", "1"} for row in images):
        raise UnknownFormat("_classes.csv has a row without a 0 or a 1 for each class")
    return [
        Annotated((row[0],), tuple(label for label, has in zip(header[1:], row[1:], strict=True) if has == "1")) for row in images
    ]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnknownFormat(f"the file is no JSON: {error}") from error


def _entries(document: Any) -> list[dict[str, Any]]:
    return [entry for entry in document if isinstance(entry, dict)] if isinstance(document, list) else []


def _results(annotations: list[Any]) -> list[dict[str, Any]]:
    """Returns the choices of the last annotation that was not cancelled."""
    made = [each for each in annotations if isinstance(each, dict) and not each.get("was_cancelled")]
    return [each for each in _entries(made[-1].get("result") if made else None) if each.get("type") == "choices"]


def _choices(results: list[dict[str, Any]]) -> tuple[str, ...]:
    labels: list[str] = []
    for result in results:
        value = result.get("value")
        if isinstance(value, dict) and isinstance(value.get("choices"), list):
            labels += [each for each in value["choices"] if isinstance(each, str) and each.strip()]
    return tuple(labels)


def _addresses(data: dict[str, Any], results: list[dict[str, Any]]) -> list[str]:
    """Returns the texts of `data` that may be the image's address, one at least.

    Those less likely are left out. A caption that happens to be called as another image's file would give that image the label.
    """
    texts = {key: value for key, value in data.items() if isinstance(value, str) and value}
    about = [result.get("to_name") for result in results]
    pictures = {key: value for key, value in texts.items() if _looks_like_an_image(value)}
    likely = pictures or texts
    named = [value for key, value in likely.items() if key in about]
    return named or [*likely.values()] or [""]


def _looks_like_an_image(address: str) -> bool:
    return address.startswith(_STORED) or any(PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES for name in _names(address))


def _names(address: str) -> tuple[str, ...]:
    """Returns the names that the file behind an address may have: `/data/upload/1/0a1b2c3d-cat.jpg`, `s3://bucket/cat.jpg`, …"""
    try:
        parts = urlsplit(address)
        local = parse_qs(parts.query).get("d", [""])[0]  # /data/local-files/?d=folder/cat.jpg
    except ValueError:
        return (address,)
    path = local or unquote(parts.path)
    name = PurePosixPath(path).name
    return (path.lstrip("/") or address, name or address, _UPLOADED.sub("", name) or address)


def _tag(tag: Any) -> str:
    name = (tag.get("tagName") or tag.get("tag_name")) if isinstance(tag, dict) else tag
    return name.strip() if isinstance(name, str) else ""
