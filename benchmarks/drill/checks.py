"""The checks after a drill: nothing acknowledged is lost, nothing forgotten is there, no answer is of a wrong version."""

from collections import Counter
from collections.abc import Iterator, Sequence

import httpx
import numpy as np
from numpy.typing import NDArray

from benchmarks.drill.history import Task, differs, expected_scores
from benchmarks.drill.load import Load
from benchmarks.drill.postgres import Cluster
from benchmarks.drill.servers import Replica


def wrong_answers(load: Load, embeddings: NDArray[np.float32], mean: NDArray[np.float32]) -> Iterator[str]:
    """Yields a line for each prediction of a version that was not active, or with other scores than that version's.

    Args:
        embeddings: (N, D), of the query images.
        mean: (D,), of the embedding space.
    """
    expected: dict[tuple[str, int, int], dict[str, float]] = {}
    for each in load.predicted:
        task, version = each.task, each.version
        if task.open:
            continue
        if not task.may_answer(version, each.sent, each.received, each.token):
            yield f"{task.id} answered at {each.sent:.3f} to {each.received:.3f} by version {version}, {_steps(task, each.sent)}"
        if version is not None and version in task.heads:
            place = (task.id, version, each.image)
            if place not in expected:
                expected[place] = expected_scores(task.heads[version], embeddings[each.image], mean)
            if differs(each.scores, expected[place]):
                yield f"{task.id} answered other scores than its version {version} has: {each.scores} and not {expected[place]}"


def lost(load: Load, replicas: Sequence[Replica], key: str) -> Iterator[str]:
    """Yields a line for each thing that a replica, asked alone, has or has not, against what was acknowledged."""
    for replica in replicas:
        with httpx.Client(base_url=replica.url, timeout=60, headers={"Authorization": f"Bearer {key}"}) as api:
            for task in load.tasks:
                if not task.open:
                    yield from (f"{replica.node}: {task.id}: {line}" for line in _differences(api, task))
            for task in load.deleted:
                if (status := api.get(task.path).status_code) != 404:
                    yield f"{replica.node}: deleted {task.id} is answered {status}"


def unforgotten(load: Load, cluster: Cluster) -> Iterator[str]:
    """Yields a line for each image that the database has although it was forgotten."""
    for (sha,) in cluster.ask("SELECT sha256 FROM examples WHERE sha256 = ANY(%s)", (load.forgotten,)):
        yield f"the image {sha} was forgotten and is there"


def _differences(api: httpx.Client, task: Task) -> Iterator[str]:
    assert task.version is not None
    shown = api.get(task.path)
    if shown.status_code != 200:
        yield f"is answered {shown.status_code}"
        return
    if shown.json()["version"] != task.version:
        yield f"version {shown.json()['version']} is active and not {task.version}"
    versions = {each["version"] for each in api.get(f"{task.path}/versions").json()["versions"]}
    if versions != task.taught.keys():
        yield f"has versions {sorted(versions)} and not {sorted(task.taught)}"
    examples = api.get(f"{task.path}/examples?limit=1000").json()["examples"]
    if Counter((each["label"], each["sha256"]) for each in examples) != task.taught[task.version]:
        yield f"has other examples in version {task.version}"


def _steps(task: Task, at: float) -> str:
    near = [step for step in task.steps if abs(step.ended - at) < 30]
    return f"but {', '.join(f'{step.version} from {step.began:.3f} to {step.ended:.3f}' for step in near)}"
