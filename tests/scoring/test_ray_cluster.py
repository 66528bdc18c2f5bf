"""A Ray cluster of several nodes that loses one of them while it scores."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import ray.data

from scoring.on_ray import score
from tests.helpers.classifiers import classifier_of
from tests.helpers.images import encode
from tests.helpers.ray_sessions import cluster
from tests.helpers.scored import check, scored_here
from tests.helpers.waiting import wait_until

_IMAGES = 1500
_WITH_ENGINE = {"num_cpus": 2, "resources": {"engine": 1}}


@pytest.mark.slow
def test_a_node_that_is_killed_costs_no_image_and_doubles_none(shipped_bundle: Path, tmp_path: Path) -> None:
    """Each of two nodes has an engine's actor. No other node can have one, so the other finishes the work of both."""
    photos, out, rng = tmp_path / "photos", tmp_path / "scores", np.random.default_rng(0)
    photos.mkdir()
    for at in range(_IMAGES):
        (photos / f"{at}.png").write_bytes(encode(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)) if at % 9 else b"broken")
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
