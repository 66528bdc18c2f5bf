"""How labelled images reach the server: made smaller first, in as many requests as it takes, all of them or none."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from threading import Lock

from headstart.errors import HeadstartError, InvalidImage, NoImages
from headstart.formats import is_worth_shrinking, shrink
from headstart.images import EXAMPLES_PER_REQUEST, LabelledImage, Loaded, in_requests, load
from headstart.replies import Task, summed
from headstart.transport import Transport, parse

_NAMED = 10

Progress = Callable[[int], None]
"""Called with how many more images are done: of a prediction after every request, of examples when they are ready to be sent."""

Broken = Callable[[str, str], None]
"""Called with the name of an image that cannot be read, its path if it has one, and the reason."""


class Upload:
    """The examples of one call.

    Args:
        broken: is told of every image that cannot be read, and those are left out. Without it they are an error.
    """

    def __init__(self, transport: Transport, given: Sequence[LabelledImage], broken: Broken | None) -> None:
        self._transport = transport
        self._given = given
        self._broken = broken
        self._untaught = {label for label, _ in given}  # the classes of which nothing has been taken yet

    def batches(
        self, order: Iterable[int], prepare: Callable[[bytes], bytes], progress: Progress | None
    ) -> tuple[list[Loaded], Iterator[list[Loaded]] | None]:
        """What the first request carries, and what further ones do; None if there are none.

        Args:
            order: positions of the examples.
            prepare: what becomes of each file's bytes.

        Raises:
            NoImages: there are no examples.
        """
        images = load(((position, *self._given[position]) for position in order), prepare, progress)
        batches = in_requests(images, EXAMPLES_PER_REQUEST)
        first = next(batches)
        second = next(batches, None)
        return first, None if second is None else chain([second], batches)

    def post(self, path: str, batch: Sequence[Loaded], fields: Mapping[str, str] | None = None) -> Task:
        """The task after one request.

        Raises:
            InvalidImage: some of the images cannot be read, or none; the detail names them.
        """
        try:
            response = self._transport.send(
                "POST",
                path,
                data={**(fields or {}), "labels": [image.label for image in batch]},
                files=[("images", ("image", image.content)) for image in batch],
                headers={"Idempotency-Key": uuid.uuid4().hex},
            )
        except InvalidImage as error:
            unreadable = {each.position: each.detail for each in error.images if each.position < len(batch)}
            if not unreadable:
                raise
            if self._broken is None or len(unreadable) == len(batch):
                error.detail = _some_of([f"{batch[position].name}: {detail}" for position, detail in unreadable.items()])
                raise
            for position, detail in unreadable.items():
                self._broken(batch[position].name, detail)
            return self.post(path, [image for position, image in enumerate(batch) if position not in unreadable], fields)
        self._untaught -= {image.label for image in batch}
        return parse(Task.from_json, response)

    def finish(self, task: Task, path: str, rest: Iterable[Sequence[Loaded]], undo: Callable[[], object]) -> Task:
        """Adds the further batches by requests to `path`, or undoes the call.

        Raises:
            NoImages: nothing of a class could be read.
        """
        timings = [task.timing_ms]
        try:
            for batch in rest:
                task = self.post(path, batch)
                timings.append(task.timing_ms)
            if self._untaught:
                raise NoImages(f"no image of {_some_of(sorted(self._untaught))} can be read")
        except BaseException as error:
            try:
                undo()
            except HeadstartError as second:
                error.add_note(f"What had been done of task {task.id} could not be undone: {second}")
            raise
        return Task.from_json({**task.raw, "timing_ms": summed(timings)})


def shrinking(input_side: Callable[[], int | None]) -> Callable[[bytes], bytes]:
    """What makes images smaller; `input_side` is asked once an image is worth it, and tells what the backbone looks at."""
    known = cache(input_side)
    asking = Lock()

    def prepare(content: bytes) -> bytes:
        if not is_worth_shrinking(content):
            return content
        with asking:  # once, and not from every thread
            side = known()
        return shrink(content, side) if side else content

    return prepare


def _some_of(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return "; ".join(texts[:_NAMED]) + more
