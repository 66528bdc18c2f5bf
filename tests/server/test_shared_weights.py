"""The processes of a server have the weights of a backbone in memory once."""

from pathlib import Path

import httpx
import psutil

from tests.helpers.bundles import weighted_bundle
from tests.helpers.samples import Labelled
from tests.helpers.servers import RealServer
from tests.helpers.uploads import create, predict
from tests.helpers.waiting import wait_until


def weights_of(process: psutil.Process) -> set[str]:
    """The files of shared weights that a process has mapped, each with its device and inode."""
    lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
    return {" ".join(line.split()[3:]) for line in lines if line.endswith("/weights")}


def test_the_owner_and_every_worker_map_one_file(shipped_bundle: Path, tmp_path: Path, support: Labelled) -> None:
    bundle = weighted_bundle(shipped_bundle, tmp_path / "bundles", "weighted")
    flags = ("--workers", "2", "--bundles-dir", str(tmp_path / "bundles"), "--engine", "onnx")
    with RealServer(tmp_path / "data", *flags, bundle=bundle) as server:
        owner, *workers = psutil.Process(server.process.pid).children()
        # The server answers once one worker does; the other may still be loading its engine.
        wait_until(lambda: all(map(weights_of, workers)))
        (mapped,) = weights_of(owner)
        assert [weights_of(worker) for worker in workers] == [{mapped}, {mapped}]
        (weights,) = (tmp_path / "data" / "weights").glob("*/weights")
        assert mapped.endswith(f" {weights.stat().st_ino} {weights}")
        with httpx.Client(base_url=server.url, timeout=60) as api:
            task = create(api, support)["id"]
            assert predict(api, task, [support[0][1]])[0]["label"] == support[0][0]
        assert server.stop() == 0, server.log()
