"""Teaches and asks a task by FiftyOne, and prints what it saw as JSON. Run in an environment that has FiftyOne and the client:

python ask_with_fiftyone.py http://localhost:8000 FOLDER

FOLDER has the photographs of the repository's `clients/samples`, and takes a file that is no image.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fiftyone as fo

from headstart import Client, HeadstartError
from headstart_fiftyone import HeadstartModel, from_fiftyone, write_fields

Heard = dict[str, Any]

_BUILT = {"palace", "tower", "windmill"}


def main(url: str, folder: str) -> None:
    """Does with a dataset all that the package can."""
    samples = Path(folder)
    dataset = fo.Dataset("photographs of five kinds")
    for path in [*sorted(samples.glob("*/*/*.jpg")), samples / "stranger" / "cat.jpg"]:
        label = path.parent.name if path.parent.parent.name == "support" else None
        dataset.add_sample(fo.Sample(str(path), ground_truth=label and fo.Classification(label=label)))
    heard: Heard = {}
    with Client(url) as client:
        wrong = dataset.match({"filepath": {"$regex": "support/fish/"}}).first()
        wrong["ground_truth"] = fo.Classification(label="windmill")
        wrong.save()
        made = from_fiftyone(dataset, "ground_truth", client)
        task = made.task.id
        heard["made"] = {"task": task, "name": made.task.name, "added": len(made.added), "wrong": wrong.filepath}

        model = HeadstartModel(client, task)
        dataset.apply_model(model, label_field="headstart", batch_size=16, skip_failures=False, progress=False)
        heard["one by one"] = _one_by_one(dataset, model)
        labels = dataset.values("headstart")
        heard["answers"] = {
            path: [each.label, each.confidence, each.known, each.novelty]
            for path, each in zip(dataset.values("filepath"), labels, strict=True)
        }
        heard["strangers"] = dataset.match(fo.ViewField("headstart.known") == False).values("filepath")  # noqa: E712

        write_fields(dataset, client, task)
        heard["fields"] = _fields(dataset)
        heard["synced"] = _synced_again(dataset, wrong, client, task)
        heard["several"] = _several(dataset, client)
        heard["broken"] = _broken(samples, client, task)
        heard["errors"] = _errors(dataset, client)
    print(json.dumps(heard))


def _one_by_one(dataset: Any, model: HeadstartModel) -> bool:
    """Whether images that are asked about singly, and as arrays, get an answer too."""
    few = dataset.limit(2)
    few.apply_model(model, label_field="alone", skip_failures=False, progress=False)
    array = fo.core.utils.lazy_import("fiftyone.utils.image").read(few.first().filepath)
    return few.values("alone.label") == few.values("headstart.label") and model.predict(array).label is not None


def _fields(dataset: Any) -> Heard:
    paths = dict(zip(*dataset.values(["id", "filepath"]), strict=True))
    names = [f"headstart_{name}" for name in ("novelty", "known", "nearest", "suspect.label")]
    rows = zip(dataset.values("filepath"), *dataset.values(names), strict=True)
    return {path: [novelty, known, [paths[each] for each in nearest], suspect] for path, novelty, known, nearest, suspect in rows}


def _synced_again(dataset: Any, wrong: Any, client: Client, task: str) -> Heard:
    """Puts a label right, takes one off and gives one, and has the task follow."""
    unchanged = from_fiftyone(dataset, "ground_truth", client, task)
    new = dataset.match({"filepath": {"$regex": "query/palace/"}}).first()
    gone = dataset.match({"filepath": {"$regex": "support/tool/"}}).first()
    for sample, label in ((wrong, "fish"), (new, "palace"), (gone, None)):
        sample["ground_truth"] = label and fo.Classification(label=label)
        sample.save()
    synced = from_fiftyone(dataset, "ground_truth", client, task)
    write_fields(dataset, client, task)
    return {
        "nothing": [unchanged.task.version, unchanged.added, unchanged.relabelled, unchanged.removed],
        "version": synced.task.version,
        "as told": [synced.added, synced.relabelled, synced.removed] == [(new.id,), (wrong.id,), (gone.id,)],
        "labels": {each.file_name: each.label for each in client.examples(task)},
        "suspects": [path for path, row in _fields(dataset).items() if row[3] is not None],
    }


def _several(dataset: Any, client: Client) -> list[Any]:
    view = dataset.match(fo.ViewField("ground_truth") != None)  # noqa: E711
    labels = [[label, "built"] if label in _BUILT else [label] for label in view.values("ground_truth.label")]
    view.set_values(
        "several", [fo.Classifications(classifications=[fo.Classification(label=each) for each in few]) for few in labels]
    )
    synced = from_fiftyone(view, "several", client)
    view.apply_model(
        HeadstartModel(client, synced.task.id), label_field="told", batch_size=64, skip_failures=False, progress=False
    )
    told = view.values("told.classifications.label")
    again = from_fiftyone(view, "several", client, synced.task.id)
    right = sum({*each} == {*few} for each, few in zip(told, labels, strict=True))
    return [synced.task.labels, right, len(told), again.task.version]


def _broken(samples: Path, client: Client, task: str) -> list[Any]:
    (samples / "broken.jpg").write_bytes(b"no image")
    other = fo.Dataset()
    other.add_samples([fo.Sample(str(samples / "broken.jpg")), fo.Sample(str(samples / "stranger" / "cat.jpg"))])
    write_fields(other, client, task)
    novelty: list[Any] = other.values("headstart_novelty")
    return novelty


def _errors(dataset: Any, client: Client) -> Heard:
    calls: dict[str, Callable[[], Any]] = {
        "away": lambda: dataset.apply_model(HeadstartModel(Client("http://127.0.0.1:9"), "task_1"), label_field="x"),
        "missing": lambda: dataset.apply_model(HeadstartModel(client, "task_1"), label_field="x"),
        "no field": lambda: from_fiftyone(dataset, "nothing", client),
        "other field": lambda: from_fiftyone(dataset, "filepath", client),
    }
    heard: Heard = {}
    for name, call in calls.items():
        try:
            call()
        except (HeadstartError, ValueError, TypeError) as error:
            heard[name] = f"{type(error).__name__}: {error}"
    return heard


if __name__ == "__main__":
    main(*sys.argv[1:])
