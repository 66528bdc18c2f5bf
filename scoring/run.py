"""Scores all images of some sources on this machine: read and decoded ahead on threads, so that the engines never wait."""

import json
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow.parquet as pq

from models.answers.classifier import Classifier
from models.engine import keep_freed_memory_together
from models.heads.head import HeadFormatError
from models.processor import available_cores
from scoring.classify import columns, described, named
from scoring.decode import Decoded, decode
from scoring.embed import Embedded, batch_of, embed, open_backbone
from scoring.errors import ScoringError
from scoring.kept import Kept
from scoring.plan import Entry, OtherSettings, Plan, file_of, opened, refuse_others
from scoring.sources import Source, SourceError, open_source
from scoring.write import merge, schema, settings_of, write_part

_LOT = 32  # images that one thread decodes together
_WRITTEN = 2  # parts that are classified and written while the next ones are embedded

Taken = TypeVar("Taken")
Given = TypeVar("Given")


@dataclass(frozen=True, slots=True)
class Scoring:
    """A request to score images.

    Attributes:
        sources: folders, zips, lists of paths and URLs of object stores, as `scoring.sources.open_source` takes them.
        classifiers: of the tasks.
        out: the Parquet file to be made.
        top_k: scores to give for each image and task.
        keep: the folder where embeddings are kept, and taken from.
        bundles: the folder of bundles beside those that are shipped.
    """

    sources: Sequence[str]
    classifiers: Sequence[Classifier]
    out: Path
    top_k: int
    keep: Path | None
    bundles: Path | None

    @property
    def under_way(self) -> Path:
        """The folder of the parts that are done, while not all are."""
        return self.out.with_name(f"{self.out.name}.under-way")


def read_classifier(data: bytes) -> Classifier:
    """Reads what a server sent, or a file of it.

    Raises:
        ScoringError: it is anything else.
    """
    try:
        return Classifier.from_bytes(data)
    except HeadFormatError as error:
        raise ScoringError(str(error)) from error


class _Lot(NamedTuple):
    part: int
    entries: Sequence[Entry]
    kept: bool


class _Batch(NamedTuple):
    part: int
    images: Sequence[Decoded] | Embedded


def score(asked: Scoring, tell: Callable[[int, int], None]) -> int:
    """Writes `out`, or goes on where an earlier run of the same settings was stopped. Returns the number of images.

    Args:
        tell: called with the images done so far and all there are, first before anything is embedded.

    Raises:
        ScoringError: `out`, or the folder of kept embeddings, was made with other settings. Or another process makes the same
            file. Or a backbone is missing, is another one, or does not run here. Or a source cannot be read.
        OSError: a file cannot be read or written. The same call goes on later.
    """
    keep_freed_memory_together()
    sources = [open_source(each) for each in asked.sources]
    of_sources = [source.described for source in sources]
    with ExitStack() as stack:
        kept = stack.enter_context(opened(asked.keep, {"sources": of_sources}, sources)) if asked.keep else None
        tasks = described(asked.classifiers)
        settings = {"sources": of_sources, "tasks": tasks, "top_k": asked.top_k, "kept list": kept and kept.id}
        if asked.out.exists():
            return _finished(asked, settings, tell)
        own = stack.enter_context(opened(asked.under_way, settings, None if kept else sources))
        plan = kept or own
        assert plan is not None
        if not plan.images:
            raise SourceError(f"there are no images in {', '.join(asked.sources)}")
        for each in asked.classifiers:  # With these it can be finished when a task has gone on to another version.
            (asked.under_way / f"{each.task}-{each.version}.safetensors").write_bytes(each.to_bytes())
        _Run(asked, settings, sources, plan).all(tell)
        shutil.rmtree(asked.under_way)
        return plan.images


def _finished(asked: Scoring, settings: dict[str, Any], tell: Callable[[int, int], None]) -> int:
    """Returns the number of images in a result that is there, and removes what a kill left beside it."""
    made = settings_of(asked.out)
    if made is None:
        raise OtherSettings(f"{asked.out} is there, and was not made by this command; name another")
    refuse_others(json.loads(made), settings, asked.out)
    shutil.rmtree(asked.under_way, ignore_errors=True)
    images: int = pq.read_metadata(asked.out).num_rows
    tell(images, images)
    return images


class _Run:
    """The work of one process on a plan."""

    def __init__(self, asked: Scoring, settings: dict[str, Any], sources: Sequence[Source], plan: Plan) -> None:
        self._asked, self._sources, self._plan = asked, sources, plan
        self._tasks = named(asked.classifiers)
        self._schema = schema(self._tasks, json.dumps(settings))
        wanted = dict.fromkeys(each.head.backbone for each in asked.classifiers)
        self._backbones = [open_backbone(each, asked.bundles) for each in wanted]
        self._specs = [backbone.spec for backbone in self._backbones]
        self._kept = Kept(asked.keep, self._backbones) if asked.keep else None

    def all(self, tell: Callable[[int, int], None]) -> None:
        """Makes the parts that are missing, and of all parts the result."""
        there = {file.name for file in self._asked.under_way.iterdir()}
        missing = {number for number in self._plan.sizes if self._file(number).name not in there}
        done = sum(size for number, size in self._plan.sizes.items() if number not in missing)
        tell(done, self._plan.images)
        with ExitStack() as stack:
            for images in self._written(stack, missing):
                done += images
                tell(done, self._plan.images)
        merge(map(self._file, self._plan.sizes), self._asked.out, self._schema)

    def _written(self, stack: ExitStack, missing: set[int]) -> Iterator[int]:
        """Yields the number of images of each part that was written."""
        readers, engines = 8 + 2 * available_cores(), max(backbone.engine.parallel for backbone in self._backbones)

        def pool(threads: int, name: str) -> Executor:
            made = ThreadPoolExecutor(threads, name)
            stack.callback(made.shutdown, cancel_futures=True)
            return made

        decoded = _ahead(pool(readers, "decode"), 2 * readers, self._decode, self._lots(missing))
        embedded = _ahead(pool(engines, "embed"), 2 * engines + 2, self._embed, self._batches(decoded))
        parts = ((part, [images for _, images in several]) for part, several in groupby(embedded, lambda each: each[0]))
        return _ahead(pool(1, "write"), _WRITTEN, self._write, parts)

    def _lots(self, missing: set[int]) -> Iterator[_Lot]:
        for number, entries in self._plan.parts():
            if number not in missing:
                continue
            if self._kept and self._kept.has(number):
                yield _Lot(number, entries, kept=True)
            else:
                for start in range(0, len(entries), _LOT):
                    yield _Lot(number, entries[start : start + _LOT], kept=False)

    def _decode(self, lot: _Lot) -> _Batch:
        if lot.kept:
            assert self._kept
            return _Batch(lot.part, self._kept.load(lot.part))
        return _Batch(lot.part, [decode(self._sources[source], name, self._specs) for source, name in lot.entries])

    def _batches(self, decoded: Iterable[_Batch]) -> Iterator[_Batch]:
        """Joins lots of a part to the batches that the engines want."""
        size = min(map(batch_of, self._backbones))
        for part, several in groupby(decoded, lambda batch: batch.part):
            waiting: list[Decoded] = []
            for batch in several:
                if isinstance(batch.images, Embedded):
                    yield batch
                    continue
                waiting += batch.images
                while len(waiting) >= size:
                    yield _Batch(part, waiting[:size])
                    waiting = waiting[size:]
            if waiting:
                yield _Batch(part, waiting)

    def _embed(self, batch: _Batch) -> tuple[int, Embedded]:
        if isinstance(batch.images, Embedded):
            return batch.part, batch.images
        return batch.part, embed(batch.images, self._backbones)

    def _write(self, part: tuple[int, Sequence[Embedded]]) -> int:
        number, pieces = part
        whole = Embedded.joined(pieces)
        if self._kept and not self._kept.has(number):
            self._kept.save(number, whole)
        write_part(self._file(number), columns(whole, self._backbones, self._tasks, self._asked.top_k), self._schema)
        return len(whole.paths)

    def _file(self, part: int) -> Path:
        return self._asked.under_way / file_of(part)


def _ahead(pool: Executor, most: int, work: Callable[[Taken], Given], items: Iterable[Taken]) -> Iterator[Given]:
    """Yields the results of `work`, in order, while the pool is at most so many items ahead."""
    waiting: deque[Future[Given]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) >= most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
