"""Tags of images by a task."""

import logging
from typing import Any

import cvat_sdk.auto_annotation as cvataa
import PIL.Image

from headstart import Client, HeadstartError, Task

_log = logging.getLogger(__name__)

_LEAST_SIDE = 512  # pixels


def create(task: str, url: str | None = None) -> "TaggingFunction":
    """Returns the function of a task, as `cvat-cli` makes it. The environment's `HEADSTART_TOKEN` is the key of the server.

    Args:
        task: the task's id.
        url: of the server; by default the environment's `HEADSTART_URL`, or this machine's port 8000.

    Raises:
        HeadstartError: the server cannot be asked, does not take the key or has no such task.
    """
    client = Client(url)
    try:
        return TaggingFunction(client, task)
    except HeadstartError:
        client.close()
        raise


class TaggingFunction:
    """A detection function of CVAT that gives an image the tag of its class.

    An image of none of the task's classes gets no tag, and neither does one whose probability is below CVAT's threshold. In a
    task of several labels an image, it gets the tag of each label with a probability of at least ½.

    Args:
        client: of the server; its key needs the scope `predict`.
        task: the task's id.

    Raises:
        HeadstartError: the server cannot be asked, does not take the key or has no such task.
    """

    def __init__(self, client: Client, task: str) -> None:
        self._client = client
        self._task = client.task(task)
        self._side = _side_sent(client, self._task)
        self._ids = {each.label: number for number, each in enumerate(self._task.classes)}
        labels = [cvataa.label_spec(label, number, type="tag") for label, number in self._ids.items()]
        self._spec = cvataa.DetectionFunctionSpec(labels=labels)

    @property
    def spec(self) -> Any:
        """The labels: the classes that the task had when this was made."""
        return self._spec

    def detect(self, context: Any, image: PIL.Image.Image) -> list[Any]:
        """Returns the tags of an image.

        Args:
            context: has CVAT's threshold, `conf_threshold`, from 0 to 1, or None for none.

        Raises:
            HeadstartError: the server cannot be asked, or refuses.
        """
        (prediction,) = self._client.predict(self._task.id, _smaller(image, self._side)).checked()
        if not prediction.known:
            return []
        least = context.conf_threshold or 0.0
        labels = (prediction.label,) if prediction.labels is None else prediction.labels
        sure = [label for label in labels if prediction.scores[label] >= least]
        for label in sure:
            if label not in self._ids:
                _log.warning("%s: the task has learned %r since this began, so it gives no tag", context.frame_name, label)
        return [cvataa.tag(self._ids[label]) for label in sure if label in self._ids]


def _side_sent(client: Client, task: Task) -> int:
    """The short side, in pixels, of the images that are sent: twice that of the backbone's input, as examples are."""
    used = next((each.input_side for each in client.backbones.list() if each.id == task.backbone), None)
    return max(2 * (used or 0), _LEAST_SIDE)


def _smaller(image: PIL.Image.Image, side: int) -> PIL.Image.Image:
    """The image with that short side, if it is larger: a photograph of 12 megapixels is too large for the server as PNG."""
    scale = side / min(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(length * scale)) for length in image.size)
    return image.resize((width, height), PIL.Image.Resampling.BICUBIC, reducing_gap=3.0)
