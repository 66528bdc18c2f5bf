"""The calls that recognise."""

from collections.abc import Iterable
from typing import Literal

from headstart.calls.paths import task_path
from headstart.http.methods import Calls, call
from headstart.http.steps import Steps
from headstart.images.kinds import Image
from headstart.limits import Limits, ask_limits
from headstart.queries import Queries
from headstart.replies.predictions import ManyPredictions, Predictions
from headstart.uploads import Progress


class PredictionCalls(Calls):
    """The calls that recognise."""

    _limits: Limits | None = None

    @call
    def predict(
        self,
        task: str,
        images: Image | Iterable[Image],
        *,
        top_k: int | None = None,
        unknown: Literal["judge", "ignore"] = "judge",
        mode: Literal["inductive", "transductive"] = "inductive",
        remember: bool | None = None,
        coverage: float | None = None,
        progress: Progress | None = None,
    ) -> Steps[Predictions]:
        """Predicts the labels of images, in their order.

        Args:
            top_k: how many labels the scores of each image hold, the most probable first; by default all.
            unknown: "judge" also finds images that are of none of the task's classes, and the examples nearest to each image.
            mode: "transductive" judges the images of each request together, "inductive" each image alone.
            remember: True has the server keep each image with its prediction, which gets an `id` for `correct`. False has it
                capture none. None leaves it to the task's `capture`.
            coverage: adds to each prediction the `set` of labels that holds the right one so often, such as 0.9.
            progress: called after every request.

        Raises:
            InvalidImage: the only image of the call cannot be read. Among other images it becomes an `Unreadable`.
            NoImages: there are no images.
        """
        params: dict[str, str | int | float] = {"unknown": unknown, "mode": mode}
        if top_k is not None:
            params["top_k"] = top_k
        if remember is not None:
            params["remember"] = str(remember).lower()
        if coverage is not None:
            params["coverage"] = coverage
        return Queries(self._exchange, images, self._ask_limits, progress).predict(task_path(task, "predict"), params)

    @call
    def predict_many(
        self,
        tasks: str | Iterable[str],
        images: Image | Iterable[Image],
        *,
        top_k: int = 1,
        unknown: Literal["judge", "ignore"] = "ignore",
        progress: Progress | None = None,
    ) -> Steps[ManyPredictions]:
        """Predicts the labels of images by several tasks, at little more than the cost of one task.

        Args:
            tasks: ids, or "all". In a call of several requests, "all" means the tasks that answered the first.
            top_k: how many labels the scores of each image hold, the most probable first.
            unknown: "judge" also finds images that are of none of a task's classes, which takes longer the more tasks there are.
            progress: called after every request.

        Raises:
            InvalidImage: the only image of the call cannot be read. Among other images it becomes an `Unreadable`.
            NoImages: there are no images.
            Unavailable: the only task cannot answer. Among other tasks it becomes an `UnusableTask`.
        """
        asked = [tasks] if isinstance(tasks, str) else list(tasks)
        params = {"top_k": top_k, "unknown": unknown}
        return Queries(self._exchange, images, self._ask_limits, progress).predict_many("/v1/predict", asked, params)

    def _ask_limits(self) -> Steps[Limits]:
        """Steps to the server's limits, asked for once: to ask before every call would cost each a round trip."""
        if self._limits is None:
            self._limits = yield from ask_limits(self._exchange)
        return self._limits
