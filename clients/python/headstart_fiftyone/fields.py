"""Fields of samples that hold the answers of a task."""

import logging
from typing import Any

import fiftyone as fo

from headstart import Client, InvalidImage, Prediction, Unreadable
from headstart_fiftyone.names import sample_of

_log = logging.getLogger(__name__)

_AT_ONCE = 256


def write_fields(samples: Any, client: Client, task: str, prefix: str = "headstart") -> None:
    """Writes what a task says of each sample of a collection into these fields of its dataset.

    - `headstart_novelty`, a float: 0 for an image like the task's classes, 1 for one unlike them.
    - `headstart_known`, a boolean: False for an image of none of the task's classes.
    - `headstart_nearest`, a list of strings: ids of the samples whose examples resemble it most, the most similar first.
    - `headstart_suspect`, a `Classification`: the label that an example seems to have, where the others contradict its own.

    `headstart_suspect` is None for samples that are no example or are not contradicted. The others are None for an image that
    the server cannot read, which the log names. Only examples that `from_fiftyone` made are known by the ids of their samples.

    Args:
        samples: a dataset or view of images.
        client: of the server; its key needs the scope `predict`.
        task: the task's id.
        prefix: of the fields' names, in place of `headstart`.

    Raises:
        OSError: a sample's file cannot be read.
        HeadstartError: the server cannot be asked, or refuses.
    """
    quality = client.quality(task)
    _declare(samples._dataset, prefix)
    ids, paths = samples.values(["id", "filepath"])
    for first in range(0, len(ids), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        _write_predictions(samples, client, task, prefix, ids[some], paths[some])
    suspects = {
        sample: fo.Classification(label=each.suggested or ", ".join(each.suggested_labels or ()), confidence=each.confidence)
        for each in quality.suspects
        if (sample := sample_of(each.file_name))
    }
    samples.set_values(f"{prefix}_suspect", [suspects.get(sample) for sample in ids])


def _declare(dataset: Any, prefix: str) -> None:
    """Adds the fields that the dataset lacks: their types cannot be told from values that are all None."""
    dataset.add_sample_field(f"{prefix}_novelty", fo.FloatField)
    dataset.add_sample_field(f"{prefix}_known", fo.BooleanField)
    dataset.add_sample_field(f"{prefix}_nearest", fo.ListField, subfield=fo.StringField)
    dataset.add_sample_field(f"{prefix}_suspect", fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)


def _write_predictions(samples: Any, client: Client, task: str, prefix: str, ids: list[str], paths: list[str]) -> None:
    try:
        results = client.predict(task, paths).results
    except InvalidImage as error:  # the only one
        results = (Unreadable(error.code, error.detail),)
    for path, result in zip(paths, results, strict=True):
        if isinstance(result, Unreadable):
            _log.warning("no prediction of %s: %s", path, result.detail)
    read = {sample: each for sample, each in zip(ids, results, strict=True) if isinstance(each, Prediction)}
    nearest = {sample: _nearest(each, sample) for sample, each in read.items()}
    values: dict[str, dict[str, Any]] = {
        "novelty": {sample: each.novelty for sample, each in read.items()},
        "known": {sample: each.known for sample, each in read.items()},
        "nearest": nearest,
    }
    for name, of in values.items():
        samples.set_values(f"{prefix}_{name}", {sample: of.get(sample) for sample in ids}, key_field="id")


def _nearest(prediction: Prediction, itself: str) -> list[str]:
    """The ids of the samples whose examples are nearest, without the sample itself, which may be an example too."""
    found = (sample_of(each.file_name) for each in prediction.nearest)
    return [sample for sample in found if sample is not None and sample != itself]
