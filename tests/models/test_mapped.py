"""The mapped form of a backbone: it computes the same, processes share it, and one that is not whole is never opened."""

import logging
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from models.bundle import DEFAULT_BUNDLE, ONNX, ONNX_INT8, SHIPPED, Bundle, BundleError, find_bundles, open_bundle
from models.engine import EngineKind, open_engine
from models.processor import instructions
from models.runtimes import mapped
from models.runtimes.mapped import mapped_form
from models.runtimes.sessions import open_session
from tests.helpers.bundles import small_bundle, spoil, weighted_bundle


@pytest.fixture
def bundle(shipped_bundle: Path, tmp_path: Path) -> Bundle:
    """A small one with a weight."""
    return open_bundle(tmp_path.joinpath(*weighted_bundle(shipped_bundle, tmp_path, "weighted").split("@")))


def made(bundle: Bundle, folder: Path) -> Path:
    """The folder of the form, which is there afterwards."""
    graph = mapped_form(bundle, ONNX, folder)
    assert graph is not None
    return graph.parent


def mappings(folder: Path) -> list[str]:
    """The files below a folder that this process has mapped."""
    return [line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if f" {folder}" in line]


@pytest.mark.parametrize(("kind", "file"), [("onnx", ONNX), ("onnx-int8", ONNX_INT8)])
def test_an_engine_on_shared_weights_gives_the_very_embeddings(kind: EngineKind, file: str, tmp_path: Path) -> None:
    shipped = open_bundle(find_bundles(SHIPPED)[DEFAULT_BUNDLE])
    wanted = open_engine(shipped, kind, threads=2).embed(shipped.golden_pixels)
    engine = open_engine(shipped, kind, threads=2, shared=tmp_path / "weights")
    np.testing.assert_array_equal(engine.embed(shipped.golden_pixels), wanted)
    (form,) = (path for path in (tmp_path / "weights").iterdir() if path.is_dir())
    assert {str(form / "weights")} == set(mappings(tmp_path))
    assert form.name.startswith(shipped.manifest.files[file].sha256[:16])


def test_no_session_on_a_cpu_keeps_a_block_of_memory_for_each_size_of_batch(bundle: Bundle, tmp_path: Path) -> None:
    for model in (bundle.read(ONNX), made(bundle, tmp_path) / "graph.onnx"):
        assert not open_session(model, 1).get_session_options().enable_mem_pattern


def test_a_form_is_made_once_and_the_bundles_file_is_not_read_again(bundle: Bundle, tmp_path: Path) -> None:
    form = made(bundle, tmp_path / "weights")
    before = {path.name: path.stat().st_ino for path in form.iterdir()}
    spoil(bundle.path.parents[1], bundle.id)
    assert made(bundle, tmp_path / "weights") == form
    assert {path.name: path.stat().st_ino for path in form.iterdir()} == before
    open_engine(bundle, "onnx", shared=tmp_path / "weights")
    with pytest.raises(BundleError):
        open_engine(bundle, "onnx")


def test_a_network_without_weights_has_a_form_too(shipped_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    id_ = small_bundle(shipped_bundle, tmp_path, "small")
    bundle = open_bundle(tmp_path.joinpath(*id_.split("@")))
    form = made(bundle, tmp_path / "weights")
    assert (form / "weights").stat().st_size == 0
    assert made(bundle, tmp_path / "weights") == form
    assert not caplog.records


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["graph.onnx", "weights", "SHA256SUMS"])
@pytest.mark.parametrize("harm", [_cut, _alter, Path.unlink])
def test_what_is_not_whole_is_made_anew(bundle: Bundle, tmp_path: Path, name: str, harm: Callable[[Path], None]) -> None:
    form = made(bundle, tmp_path / "weights")
    whole = {path.name: path.read_bytes() for path in form.iterdir()}
    harm(form / name)
    engine = open_engine(bundle, "onnx", shared=tmp_path / "weights")
    assert {path.name: path.read_bytes() for path in form.iterdir()} == whole
    bundle.check_golden(ONNX, engine.embed(bundle.golden_pixels))
    assert mappings(form)


def test_another_processor_or_release_has_a_form_of_its_own(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forms = {made(bundle, tmp_path)}
    monkeypatch.setattr(mapped, "instructions", lambda: f"{instructions()} another")
    forms.add(made(bundle, tmp_path))
    monkeypatch.setattr(onnxruntime, "__version__", "0.0.1")
    forms.add(made(bundle, tmp_path))
    assert len(forms) == 3


def test_old_forms_and_unfinished_ones_leave_when_another_is_made(bundle: Bundle, shipped_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    engine = open_engine(bundle, "onnx", shared=folder)
    old, used, now = made(bundle, folder), folder / "used", int(time.time())
    used.mkdir()
    (folder / ".killed").mkdir()
    (folder / ".killed" / "weights").write_bytes(b"half")
    os.utime(old, (now - 31 * 24 * 3600,) * 2)
    os.utime(used, (now - 29 * 24 * 3600,) * 2)
    other = weighted_bundle(shipped_bundle, tmp_path, "another", factor=2)
    new = made(open_bundle(tmp_path.joinpath(*other.split("@"))), folder)
    assert {path.name for path in folder.iterdir()} == {new.name, "used", "lock"}
    bundle.check_golden(ONNX, engine.embed(bundle.golden_pixels))  # from pages of a file that has no name any more


def test_opening_a_form_counts_as_use(bundle: Bundle, tmp_path: Path) -> None:
    form = made(bundle, tmp_path)
    os.utime(form, (0, 0))
    made(bundle, tmp_path)
    assert time.time() - form.stat().st_mtime < 60


def test_on_a_full_disk_the_weights_are_not_shared_and_the_log_says_so_once(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # as a disk that is full after a page
    try:
        engine = open_engine(bundle, "onnx", shared=tmp_path / "weights")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    bundle.check_golden(ONNX, engine.embed(bundle.golden_pixels))
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["lock"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message.startswith(f"{bundle.id}: processes do not share the weights of backbone.onnx: ")
    assert made(bundle, tmp_path / "weights")


def test_where_no_folder_can_be_made_the_weights_are_not_shared(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    engine = open_engine(bundle, "onnx", shared=tmp_path / "file" / "weights")
    bundle.check_golden(ONNX, engine.embed(bundle.golden_pixels))


def _make(path: Path, folder: Path) -> None:
    assert mapped_form(open_bundle(path), ONNX, folder)


def test_processes_that_come_together_make_one(bundle: Bundle, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_make, args=(bundle.path, tmp_path / "weights")) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(list((tmp_path / "weights").glob("*/weights"))) == 1
