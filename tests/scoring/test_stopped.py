"""Runs that are killed, that run out of disk, or whose sources go away: the next call ends with every image once."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from models.answers.classifier import Classifier
from scoring import plan
from scoring.embed import embed
from scoring.errors import ScoringError
from scoring.run import Scoring, score
from tests.helpers.classifiers import classifier_of
from tests.scoring.conftest import IMAGES

_PART = 16
_COMMAND = "import sys, scoring.plan; scoring.plan.PART = {part}; from headstart.__main__ import main; sys.exit(main())"


@pytest.fixture
def asked(classifier: Classifier, images: Path, small_bundles: Path, tmp_path: Path) -> Scoring:
    return Scoring([str(images)], [classifier], tmp_path / "scores.parquet", 2, None, small_bundles)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "PART", _PART)


def ignore(_done: int, _all: int) -> None:
    """Tells nobody."""


def check(asked: Scoring, images: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(asked.out).to_pylist()
    assert Counter(row["path"] for row in rows) == Counter(map(str, images.iterdir()))
    for row in rows:
        broken = int(Path(row["path"]).stem) % 9 == 0
        assert (row["error"] == "image_unsupported") == broken == (row["ab_label"] is None)
    return rows


def parts(asked: Scoring) -> int:
    return len([*asked.under_way.glob("*.parquet")])


@pytest.mark.parametrize("keep", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_run_that_is_killed_again_and_again_has_every_image_once(
    asked: Scoring, images: Path, classifier: Classifier, tmp_path: Path, keep: bool
) -> None:
    file = tmp_path / "ab.safetensors"
    file.write_bytes(classifier.to_bytes())
    given = ["score", *asked.sources, "--task", str(file), "--out", str(asked.out), "--bundles-dir", str(asked.bundles)]
    given += ["--keep-embeddings", str(tmp_path / "kept")] if keep else []
    chance, killed = random.Random(keep), 0
    while True:
        before = parts(asked)
        wanted = before + chance.randint(0, 8)
        process = subprocess.Popen([sys.executable, "-c", _COMMAND.format(part=_PART), *given], stderr=subprocess.DEVNULL)
        while process.poll() is None and (killed >= 2 or not asked.under_way.exists() or parts(asked) < wanted):
            time.sleep(0.001)
        process.kill()
        if process.wait() == 0:
            break
        assert process.returncode == -signal.SIGKILL
        assert not asked.out.exists()
        assert parts(asked) >= before
        killed += 1
    assert killed >= 2
    check(asked, images)
    assert not asked.under_way.exists()


@pytest.mark.usefixtures("small_parts")
def test_what_is_stopped_goes_on_with_the_images_that_were_listed_then(
    asked: Scoring, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded = 0

    def counted(decoded: Sequence[Any], backbones: Sequence[Any]) -> Any:
        nonlocal embedded
        embedded += len(decoded)
        return embed(decoded, backbones)

    def stop(done: int, _all: int) -> None:
        if done >= IMAGES // 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("scoring.run.embed", counted)
    with pytest.raises(KeyboardInterrupt):
        score(asked, stop)
    there, told = parts(asked) * _PART, []
    assert IMAGES // 2 <= there < IMAGES
    embedded = 0
    late = images / "9999.png"
    late.write_bytes(b"")
    try:
        assert score(asked, lambda done, _: told.append(done)) == IMAGES
    finally:
        late.unlink()
    assert embedded == IMAGES - there
    assert told[0] == there
    assert told == sorted(told)
    check(asked, images)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("fails_at", [0, 3, 25])
def test_a_full_disk_leaves_what_a_later_call_finishes(
    asked: Scoring, images: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """The last of these is that of the whole file."""
    calls, real = iter(range(1000)), os.fsync

    def full(file: int) -> None:
        if next(calls) == 2 + 2 * fails_at:  # The list and the plan are first; each file has its folder's call.
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        score(asked, ignore)
    assert not asked.out.exists()
    assert not [*asked.under_way.glob(".*.tmp")]
    monkeypatch.undo()
    monkeypatch.setattr(plan, "PART", _PART)
    assert score(asked, ignore) == IMAGES
    check(asked, images)


def test_a_task_that_went_on_is_finished_by_the_file_beside(asked: Scoring, images: Path, classifier: Classifier) -> None:
    def stop(_done: int, _all: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(asked, stop)
    newer = Classifier("task_1", "ab", 2, classifier.head, classifier.index)
    with pytest.raises(ScoringError, match=r"begun with tasks ab \(task_1\), version 1, and now .* version 2"):
        score(Scoring(asked.sources, [newer], asked.out, 2, None, asked.bundles), ignore)
    kept = Classifier.from_bytes((asked.under_way / "task_1-1.safetensors").read_bytes())
    score(Scoring(asked.sources, [kept], asked.out, 2, None, asked.bundles), ignore)
    check(asked, images)


def test_several_backbones_answer_in_one_run(asked: Scoring, images: Path, classifier: Classifier, shipped_bundle: Path) -> None:
    other = classifier_of(shipped_bundle, "task_2", "ab")
    listed = asked.out.with_name("list.txt")
    listed.write_text("".join(f"{images / str(at)}.png\n" for at in range(20)))
    score(Scoring([str(listed)], [classifier, other], asked.out, 1, None, asked.bundles), ignore)
    rows: list[dict[str, Any]] = pq.read_table(asked.out).to_pylist()
    assert [row["path"] for row in rows] == listed.read_text().split()
    for row in (row for row in rows if row["error"] is None):
        assert row["ab_task_1_label"] in {"a", "b"}
        assert row["ab_task_2_label"] in {"a", "b"}


def test_a_source_that_fails_ends_the_run_and_its_images_are_no_rows(
    asked: Scoring, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> Iterator[None]:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", gone)
        with pytest.raises(OSError, match="Input/output"):
            score(asked, ignore)
    score(asked, ignore)
    check(asked, images)
