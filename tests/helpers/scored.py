"""Scores of one machine, and how others compare with them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from models.answers.classifier import Classifier
from scoring.run import Scoring, score


def scored_here(sources: Sequence[Path], classifiers: Sequence[Classifier], out: Path, bundles: Path | None = None) -> Any:
    score(Scoring([*map(str, sources)], classifiers, out, 5, None, bundles), lambda _done, _all: None)
    return pq.read_table(out)


def check(found: Any, wanted: Any) -> None:
    """The two have the same columns, and the same rows in any order."""
    assert found.schema.equals(wanted.schema)
    assert Counter(found["path"].to_pylist()) == Counter(wanted["path"].to_pylist())
    by_path = {row["path"]: row for row in wanted.to_pylist()}
    for row in found.to_pylist():
        alike(row, by_path[row["path"]])


def alike(found: Any, wanted: Any) -> None:
    """Numbers may differ in their last bits, since those depend on the other images of a batch."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        found, wanted = [*found.values()], [*wanted.values()]
    if isinstance(wanted, list):
        for one, other in zip(found, wanted, strict=True):
            alike(one, other)
    else:
        assert found == (pytest.approx(wanted, abs=1e-4) if isinstance(wanted, float) else wanted)
