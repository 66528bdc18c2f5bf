"""Embeddings that are kept, so that the next task costs none: a Parquet file for each part and backbone."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from scoring.embed import Backbone, Embedded
from scoring.plan import file_of
from scoring.tables import of_embedded, to_embedded
from scoring.write import write_table


class Kept:
    """The embeddings of a list's parts by some backbones, in a folder."""

    def __init__(self, folder: Path, backbones: Sequence[Backbone]) -> None:
        self._folders = [folder / f"{backbone.ref.bundle}-{backbone.ref.sha256[:12]}" for backbone in backbones]
        for each in self._folders:
            each.mkdir(exist_ok=True)
        self._there = [{file.name for file in each.iterdir()} for each in self._folders]

    def has(self, part: int) -> bool:
        """Returns whether all of the backbones have embedded that part."""
        return all(file_of(part) in there for there in self._there)

    def load(self, part: int) -> Embedded:
        """Returns a part that is there."""
        tables = [pq.read_table(folder / file_of(part), partitioning=None) for folder in self._folders]
        of_each = [to_embedded(table, backbones=1) for table in tables]
        errors, embeddings = [each.errors[0] for each in of_each], [each.embeddings[0] for each in of_each]
        return Embedded(of_each[0].paths, of_each[0].sizes, errors, embeddings)

    def save(self, part: int, embedded: Embedded) -> None:
        """Writes a part.

        Raises:
            OSError: it cannot be written. Then it is not there.
        """
        for folder, errors, vectors in zip(self._folders, embedded.errors, embedded.embeddings, strict=True):
            of_one = Embedded(embedded.paths, embedded.sizes, [errors], [vectors])
            write_table(folder / file_of(part), of_embedded(of_one))
