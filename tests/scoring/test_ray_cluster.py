"""A Ray cluster that loses a node while it scores, and a job that is begun again."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import ray.data
from ray.data.checkpoint import CheckpointConfig

from scoring.on_ray import score
from tests.helpers.classifiers import classifier_of
from tests.helpers.images import encode
from tests.helpers.ray_sessions import cluster
from tests.helpers.scored import check, scored_here
from tests.helpers.waiting import wait_until

_WITH_ENGINE = {"num_cpus": 2, "resources": {"engine": 1}}


pytestmark = pytest.mark.slow


def photographs(folder: Path, count: int) -> Path:
    """A folder of images of noise. Every ninth is broken."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for at in range(count):
        image = encode(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)) if at % 9 else b"broken"
        (folder / f"{at}.png").write_bytes(image)
    return folder


def test_a_node_that_is_killed_costs_no_image_and_doubles_none(shipped_bundle: Path, tmp_path: Path) -> None:
    """Each of two nodes has an engine's actor. No other node can have one, so the other finishes the work of both."""
    photos, out = photographs(tmp_path / "photos", 1500), tmp_path / "scores"
    birds = classifier_of(shipped_bundle, "task", "birds")
    with cluster({"num_cpus": 1}, _WITH_ENGINE, _WITH_ENGINE) as nodes, ThreadPoolExecutor(1) as pool:
        images = ray.data.read_binary_files(str(photos), include_paths=True)
        two = ray.data.ActorPoolStrategy(size=2)
        writing = pool.submit(score(images, [birds], resources={"engine": 1}, compute=two).write_parquet, str(out))
        wait_until(lambda: any(out.glob("*.parquet")))
        nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
        assert not writing.done()
        writing.result()
    check(pq.read_table(out), scored_here([photos], [birds], tmp_path / "scores.parquet"))


def test_a_job_that_is_begun_again_goes_on_by_rays_checkpoint(shipped_bundle: Path, tmp_path: Path) -> None:
    photos, out = photographs(tmp_path / "photos", 60), tmp_path / "scores"
    birds = classifier_of(shipped_bundle, "task", "birds")
    done = [str(photos / f"{at}.png") for at in range(40)]
    with cluster({"num_cpus": 3}), pytest.MonkeyPatch.context() as patch:
        kept = CheckpointConfig("path", str(tmp_path / "done"), delete_checkpoint_on_success=False)
        patch.setattr(ray.data.DataContext.get_current(), "checkpoint_config", kept)
        for files in (done, str(photos)):
            score(ray.data.read_binary_files(files, include_paths=True), [birds]).write_parquet(str(out))
    check(pq.read_table(out), scored_here([photos], [birds], tmp_path / "scores.parquet"))
