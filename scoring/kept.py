"""Embeddings that are kept, so that the next task costs none: a Parquet file for each part and backbone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.heads.head import Float32
from scoring.embed import Backbone, Embedded
from scoring.plan import file_of
from scoring.write import write_table


class Kept:
    """The embeddings of a list's parts by some backbones, in a folder."""

    def __init__(self, folder: Path, backbones: Sequence[Backbone]) -> None:
        self._dims = [backbone.bundle.manifest.embedding_dim for backbone in backbones]
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
        errors: list[list[tuple[str, str] | None]] = []
        embeddings: list[Float32] = []
        for table, dim in zip(tables, self._dims, strict=True):
            told = zip(table["error"].to_pylist(), table["detail"].to_pylist(), strict=True)
            errors.append([None if code is None else (code, detail) for code, detail in told])
            flat = table["embedding"].combine_chunks().drop_null().flatten()
            embeddings.append(flat.to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, dim))
        return Embedded(tables[0]["path"].to_pylist(), tables[0]["bytes"].to_pylist(), errors, embeddings)

    def save(self, part: int, embedded: Embedded) -> None:
        """Writes a part.

        Raises:
            OSError: it cannot be written. Then it is not there.
        """
        for folder, dim, errors, vectors in zip(self._folders, self._dims, embedded.errors, embedded.embeddings, strict=True):
            rows = iter(vectors)
            table = pa.table(
                {
                    "path": pa.array(embedded.paths, pa.string()),
                    "bytes": pa.array(embedded.sizes, pa.int64()),
                    "error": pa.array([error and error[0] for error in errors], pa.string()),
                    "detail": pa.array([error and error[1] for error in errors], pa.string()),
                    "embedding": pa.array([None if error else next(rows) for error in errors], pa.list_(pa.float32(), dim)),
                }
            )
            write_table(folder / file_of(part), table)
