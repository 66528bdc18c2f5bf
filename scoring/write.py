"""Parquet files that are whole or not there."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from scoring.classify import Column, Named

SETTINGS = b"headstart"
"""The key of the metadata that says how a file was made."""
_ROW_GROUP = 65_536

_SCORES = pa.list_(pa.struct([("label", pa.string()), ("probability", pa.float64())]))
_IMAGE = [("path", pa.string()), ("bytes", pa.int64()), ("error", pa.string()), ("detail", pa.string())]
_ANSWER = {"label": pa.string(), "probability": pa.float64(), "known": pa.bool_(), "novelty": pa.float64(), "scores": _SCORES}


def schema(tasks: Sequence[Named], settings: str) -> pa.Schema:
    """Returns the columns of a result. `settings` says how it is made, and is kept in the file."""
    fields = list(_IMAGE)
    for task in tasks:
        kinds = _ANSWER | ({"labels": pa.list_(pa.string())} if task.classifier.head.independent else {})
        fields += [(f"{task.prefix}_{name}", kind) for name, kind in kinds.items()]
    return pa.schema(fields, metadata={SETTINGS: settings.encode()})


def write_part(path: Path, columns: Mapping[str, Column], of: pa.Schema) -> None:
    """Writes columns as a Parquet file, durably.

    Raises:
        OSError: the file cannot be written. Then it is not there.
    """
    write_table(path, table_of(columns, of))


def table_of(columns: Mapping[str, Column], of: pa.Schema) -> pa.Table:
    """Returns columns as a table of that schema."""
    return pa.table([pa.array(columns[name], of.field(name).type) for name in of.names], schema=of)


def write_table(path: Path, table: pa.Table) -> None:
    """Writes a table as a Parquet file, durably.

    Raises:
        OSError: the file cannot be written. Then it is not there.
    """
    _write(path, [table], table.schema)


def merge(parts: Iterable[Path], whole: Path, of: pa.Schema) -> None:
    """Writes the rows of several files, one after another, as one file, durably. Memory holds one row group.

    Raises:
        OSError: the file cannot be written. Then it is not there.
    """
    _write(whole, _row_groups(parts), of)


def settings_of(path: Path) -> str | None:
    """Returns how a Parquet file was made; None if that is not known.

    Raises:
        OSError: it cannot be read.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
    except pa.ArrowInvalid:
        return None
    return metadata[SETTINGS].decode() if SETTINGS in metadata else None


def _row_groups(parts: Iterable[Path]) -> Iterable[pa.Table]:
    waiting: list[pa.Table] = []
    for part in parts:
        waiting.append(pq.read_table(part, partitioning=None))
        if sum(map(len, waiting)) >= _ROW_GROUP:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _write(path: Path, tables: Iterable[pa.Table], of: pa.Schema) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            with pq.ParquetWriter(file, of, compression="zstd") as writer:
                for table in tables:
                    writer.write_table(table, row_group_size=_ROW_GROUP)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
