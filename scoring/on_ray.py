"""Scores the images of a Ray dataset, on as many machines as the Ray cluster has.

Reading and decoding are tasks, engines are actors, and heads and writing are tasks again. Between them pass pixels (uint8) and
embeddings, as Arrow tables. Ray repeats what a lost machine had.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
from ray.data import Dataset

from models.answers.classifier import Classifier
from models.heads.head import BackboneRef
from models.images.preprocess import ImageError
from models.manifest import InputSpec
from models.runtimes.batches import MAX_BATCH_CUDA
from scoring.classify import Named, columns, described, named
from scoring.decode import Decoded, decode_bytes
from scoring.embed import Embedded, HeadSpace, batch_of, embed, find_space, open_backbone
from scoring.sources import UNREADABLE
from scoring.tables import of_decoded, of_embedded, to_decoded, to_embedded
from scoring.write import schema, table_of

_LOT = 32  # images that are decoded before their pixels are handed on


def score(
    images: Dataset, classifiers: Sequence[Classifier], *, bundles: Path | None = None, top_k: int = 5, **engines: Any
) -> Dataset:
    """Returns the dataset of the columns that `headstart score` writes, a row for each image. Nothing runs before it is used.

    Args:
        images: with columns `path` and `bytes`, as of `ray.data.read_binary_files(…, include_paths=True)`. Where `bytes` is null,
            the image could not be read. Its row has the error `file_unreadable`.
        classifiers: of the tasks.
        bundles: the folder of bundles beside those that are shipped, at the same place on every machine.
        top_k: scores to give for each image and task.
        engines: how their actors run, as `Dataset.map_batches` takes it: `num_gpus`, `num_cpus` (1 by default, and threads of an
            engine), `compute`, …

    Raises:
        ScoringError: a backbone is missing here, or is another one.
    """
    spaces = [find_space(each, bundles) for each in dict.fromkeys(each.head.backbone for each in classifiers)]
    specs = [*dict.fromkeys(space.spec for space in spaces)]
    settings = json.dumps({"tasks": described(classifiers), "top_k": top_k})
    wanted = [(space.ref, specs.index(space.spec)) for space in spaces]
    threads = max(1, int(engines.get("num_cpus") or 1))
    tables: dict[str, Any] = {"batch_format": "pyarrow"}
    pixels = images.map_batches(_decoded, batch_size=None, fn_args=(specs,), **tables)
    embeddings = pixels.map_batches(
        _Engines, batch_size=MAX_BATCH_CUDA, fn_constructor_args=(wanted, specs, bundles, threads), **tables, **engines
    )
    return embeddings.map_batches(_answered, batch_size=None, fn_args=(spaces, named(classifiers), top_k, settings), **tables)


def _decoded(images: pa.Table, specs: Sequence[InputSpec]) -> Iterator[pa.Table]:
    for lot in images.to_batches(_LOT):
        read = zip(lot["path"].to_pylist(), lot["bytes"].to_pylist(), strict=True)
        yield of_decoded([_decode(path, data, specs) for path, data in read], len(specs))


def _decode(path: str, data: bytes | None, specs: Sequence[InputSpec]) -> Decoded:
    if data is None:
        return Decoded(path, None, [ImageError(UNREADABLE, "the file could not be read")] * len(specs))
    return decode_bytes(path, data, specs)


class _Engines:
    """The backbones of an actor, each with the place of its pixels among the ways of decoding."""

    def __init__(
        self, wanted: Sequence[tuple[BackboneRef, int]], specs: Sequence[InputSpec], bundles: Path | None, threads: int
    ) -> None:
        self._backbones = [open_backbone(ref, bundles, threads) for ref, _ in wanted]
        self._batch = min(map(batch_of, self._backbones))
        self._threads = ThreadPoolExecutor(max(backbone.engine.parallel for backbone in self._backbones))
        self._ways = [way for _, way in wanted]
        self._specs = specs

    def __call__(self, images: pa.Table) -> pa.Table:
        decoded = to_decoded(images, self._specs)
        for_each = [Decoded(each.path, each.size, [each.pixels[way] for way in self._ways]) for each in decoded]
        batches = [for_each[start : start + self._batch] for start in range(0, len(for_each), self._batch)]
        return of_embedded(Embedded.joined([*self._threads.map(lambda batch: embed(batch, self._backbones), batches)]))


def _answered(embeddings: pa.Table, spaces: Sequence[HeadSpace], tasks: Sequence[Named], top_k: int, settings: str) -> pa.Table:
    embedded = to_embedded(embeddings, len(spaces))
    return table_of(columns(embedded, spaces, tasks, top_k), schema(tasks, settings))
