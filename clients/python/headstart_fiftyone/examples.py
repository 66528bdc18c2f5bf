"""The labelled samples of a collection as the examples of a task."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import fiftyone as fo

from headstart import Client, Example, Task
from headstart.labels import clean_label
from headstart_fiftyone.names import SampleFile, sample_of


@dataclass(frozen=True, slots=True)
class Synced:
    """A task that has the labels of a collection, and the ids of the samples whose examples were changed for it."""

    task: Task
    added: tuple[str, ...]
    relabelled: tuple[str, ...]
    removed: tuple[str, ...]


def from_fiftyone(samples: Any, label_field: str, client: Client, task: str | None = None) -> Synced:
    """Makes labelled samples the examples of a task: of a new one, or of one that was made so before.

    Of an earlier task, only what differs is changed. Samples that it lacks are added in one version. A sample with another
    label is relabelled, and one that lost its label is removed, which makes a version each. Examples of samples outside the
    collection, and examples that come from elsewhere, stay.

    Args:
        samples: a dataset or view of images.
        label_field: its field of `Classification`s, or of `Classifications` for a task of several labels an image.
        client: of the server; its key needs the scope `write`.
        task: the id of the earlier task. None makes one with the dataset's name.

    Raises:
        ValueError: the collection has no such field, or is not of images.
        TypeError: the field has other labels.
        NoImages: no sample has a label.
        OSError: a sample's file cannot be read.
        HeadstartError: the server cannot be asked, or refuses, for instance because there are fewer than two labels.
    """
    several = _has_several(samples, label_field)
    labelled, bare = _read(samples, label_field, several)
    if task is None:
        examples = [(_label(labels, several), SampleFile(path, sample)) for sample, path, labels in labelled]
        made = client.create_task(samples._dataset.name, examples, several_labels=several)
        return Synced(made, tuple(sample for sample, _, _ in labelled), (), ())
    known = {sample: example for example in client.examples(task) if (sample := sample_of(example.file_name))}
    new = [each for each in labelled if each[0] not in known]
    if new:
        examples = [(_label(labels, several), SampleFile(path, sample)) for sample, path, labels in new]
        client.add_examples(task, examples, several_labels=several)
    changed = [(sample, labels) for sample, _, labels in labelled if sample in known and _differ(known[sample], labels)]
    for sample, labels in changed:
        client.relabel_example(task, known[sample].id, _label(labels, several))
    gone = [sample for sample in bare if sample in known]
    for sample in gone:
        client.remove_example(task, known[sample].id)
    added, relabelled = tuple(sample for sample, _, _ in new), tuple(sample for sample, _ in changed)
    return Synced(client.task(task), added, relabelled, tuple(gone))


def _has_several(samples: Any, label_field: str) -> bool:
    if samples.media_type != "image":
        raise ValueError(f"{samples.name} is of {samples.media_type}s, and a task learns from images")
    field = samples.get_field(label_field)
    if field is None:
        raise ValueError(f"{samples.name} has no field {label_field!r}")
    kind = getattr(field, "document_type", None)
    if kind not in {fo.Classification, fo.Classifications}:
        raise TypeError(f"{label_field!r} is {field}; a task learns from a field of Classification or Classifications")
    return kind is fo.Classifications


def _read(samples: Any, label_field: str, several: bool) -> tuple[list[tuple[str, str, tuple[str, ...]]], list[str]]:
    """Returns the id, the path and the labels of each sample that has labels, and the ids of the others."""
    path = f"{label_field}.classifications.label" if several else f"{label_field}.label"
    rows = zip(*samples.values(["id", "filepath", path]), strict=True)
    each = [(sample, file, tuple(_clean(found if several else [found]))) for sample, file, found in rows]
    return [row for row in each if row[2]], [sample for sample, _, labels in each if not labels]


def _clean(labels: Sequence[str | None] | None) -> Iterator[str]:
    yield from dict.fromkeys(clean_label(label) for label in labels or () if label is not None)


def _label(labels: tuple[str, ...], several: bool) -> str | tuple[str, ...]:
    return labels if several else labels[0]


def _differ(example: Example, labels: tuple[str, ...]) -> bool:
    return {*example.classes} != {*labels}
