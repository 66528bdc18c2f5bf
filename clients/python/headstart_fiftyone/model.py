"""A task as a model of FiftyOne."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import fiftyone as fo
import fiftyone.core.models as fom

from headstart import Client, InvalidImage, Prediction, Task, Unreadable

_log = logging.getLogger(__name__)


class HeadstartModel(fom.SamplesMixin, fom.Model):  # type: ignore[misc]  # FiftyOne has no types
    """A task of a Headstart server as a model of FiftyOne.

    `dataset.apply_model(HeadstartModel(client, task), label_field="headstart", batch_size=64)` writes a `Classification` with
    `label` and `confidence`, and the attributes `known` and `novelty`. `known` is False for an image of none of the task's
    classes, and `label` is then only the most similar class. A task of several labels an image writes `Classifications` of
    those with a probability of at least ½. An image that the server cannot read gets None, and the log says why.

    The files of samples are sent as they are, so that the answer is the server's own. Frames of videos are sent as PNG.

    Args:
        client: of the server; its key needs the scope `predict`.
        task: the task's id.

    Raises:
        HeadstartError: from `apply_model`, before the first sample, if the server cannot be asked, does not take the key or
            has no such task. A failure after that is one of the samples, as `skip_failures` has it.
    """

    def __init__(self, client: Client, task: str) -> None:
        super().__init__()
        self.config = None  # `apply_model` looks whether it has thresholds of its own
        self._client = client
        self._asked = task
        self._task: Task | None = None

    def __enter__(self) -> Self:
        self._task = self._client.task(self._asked)
        return self

    @property
    def media_type(self) -> str:
        """The kind of media: images."""
        return "image"

    @property
    def ragged_batches(self) -> bool:
        """False: images of different sizes may share a batch."""
        return False

    @property
    def transforms(self) -> None:
        """None: the server prepares images."""
        return

    @property
    def preprocess(self) -> bool:
        """False: there is nothing to be done here."""
        return False

    def predict(self, arg: Any, sample: Any = None) -> Any:
        """Returns the label of one image, an array of uint8, (height, width, 3), or None if the server cannot read it."""
        return self.predict_all([arg], None if sample is None else [sample])[0]

    def predict_all(self, args: Iterable[Any], samples: Iterable[Any] | None = None) -> list[Any]:
        """Returns the label of each image, or None for one that the server cannot read. Raises HeadstartError."""
        if self._task is None:
            self._task = self._client.task(self._asked)
        arrays = [*args]
        owners = [None] * len(arrays) if samples is None else [*samples]
        images = [_file_of(owner) or array for owner, array in zip(owners, arrays, strict=True)]
        return [self._label(result, image) for result, image in zip(self._results(images), images, strict=True)]

    def _results(self, images: list[Any]) -> Sequence[Prediction | Unreadable]:
        try:
            return self._client.predict(self._asked, images)
        except InvalidImage as error:  # the only one
            return [Unreadable(error.code, error.detail)]

    def _label(self, result: Prediction | Unreadable, image: Any) -> Any:
        if isinstance(result, Unreadable):
            _log.warning("no prediction of %s: %s", image if isinstance(image, str) else "an image", result.detail)
            return None
        judged = {"known": result.known, "novelty": result.novelty}
        if result.labels is None:
            return fo.Classification(label=result.label, confidence=result.probability, **judged)
        each = [fo.Classification(label=label, confidence=result.scores[label]) for label in result.labels]
        return fo.Classifications(classifications=each, **judged)


def _file_of(sample: Any) -> str | None:
    """The path of a sample's image; None for a frame of a video, whose image is in no file."""
    path = getattr(sample, "filepath", None)
    return path if isinstance(path, str) and Path(path).is_file() else None
