"""Scoring on Ray beside scoring on one machine: the same rows, also when a machine is lost."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import ray.data

from benchmarks.server_process import ROOT
from models.answers.classifier import Classifier
from models.bundle import DEFAULT_BUNDLE, SHIPPED, find_bundles
from scoring.errors import ScoringError
from scoring.on_ray import score
from tests.helpers.classifiers import classifier_of
from tests.helpers.ray_sessions import cluster
from tests.helpers.scored import check, scored_here


@pytest.fixture(scope="module")
def _ray() -> Iterator[None]:
    with cluster({"num_cpus": 3}):
        yield


@pytest.mark.usefixtures("_ray")
def test_rows_are_those_of_one_machine(images: Path, classifier: Classifier, small_bundles: Path, tmp_path: Path) -> None:
    other = classifier_of(find_bundles(SHIPPED)[DEFAULT_BUNDLE], "task_2", "ab")
    files = sorted(images.iterdir())[:40]
    read = ray.data.read_binary_files([*map(str, files)], include_paths=True)
    gone = ray.data.from_arrow(pa.table({"bytes": pa.array([None], pa.binary()), "path": ["gone.png"]}))
    score(read.union(gone), [classifier, other], bundles=small_bundles).write_parquet(str(tmp_path / "scores"))
    found = pq.read_table(tmp_path / "scores")
    lost = pc.equal(found["path"], "gone.png")
    (row,) = found.filter(lost).to_pylist()
    assert (row["error"], row["bytes"], row["ab_task_1_label"]) == ("file_unreadable", None, None)
    (tmp_path / "list.txt").write_text("".join(f"{file}\n" for file in files))
    check(
        found.filter(pc.invert(lost)),
        scored_here([tmp_path / "list.txt"], [classifier, other], tmp_path / "scores.parquet", small_bundles),
    )


@pytest.mark.usefixtures("_ray")
def test_the_documented_script_does_it(images: Path, shipped_bundle: Path, tmp_path: Path) -> None:
    (script,) = re.findall(r"```python\n(.+?)```", (ROOT / "docs/scoring.md").read_text(), re.DOTALL)
    birds = classifier_of(shipped_bundle, "task_3", "birds")
    (tmp_path / "birds.safetensors").write_bytes(birds.to_bytes())
    (tmp_path / "photos").mkdir()
    for file in sorted(images.iterdir())[:20]:
        shutil.copy(file, tmp_path / "photos")
    exec(script.replace("/shared", str(tmp_path)), {})
    found = pq.read_table(tmp_path / "scores")
    assert json.loads(found.schema.metadata[b"headstart"]) == {"tasks": ["birds (task_3), version 1"], "top_k": 5}
    check(found, scored_here([tmp_path / "photos"], [birds], tmp_path / "scores.parquet"))


def test_another_file_of_the_bundle_is_refused_before_anything_runs(classifier: Classifier) -> None:
    with pytest.raises(ScoringError, match="needs bundle small@1, which is not here"):
        score(cast(Any, None), [classifier])
