"""Bundles on disk: what is written opens again, and whatever was altered is refused by name."""

import contextlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.server_process import ROOT
from models import engine
from models.bundle import (
    CARD,
    DEFAULT_BUNDLE,
    ONNX,
    ONNX_FP16,
    ONNX_INT8,
    PAPER_BUNDLE,
    SHIPPED,
    TEXT,
    TOKENIZER,
    Bundle,
    BundleError,
    find_bundles,
    open_bundle,
    read_manifest,
    replace_manifest,
    write_bundle,
)
from models.engine import Engine, EngineError, EngineKind, embed_all, open_engine
from models.images.preprocess import Pixels
from models.manifest import Imported, Licence, TextTower
from models.onnx_file import has_external_data
from models.processor import available_cores, has_int8_instructions
from models.runtimes.onnx import can_run
from tests.helpers.bundles import small_bundle


@pytest.fixture
def small(shipped_bundle: Path, tmp_path: Path) -> Path:
    """A bundle of an int8 and a float32 file."""
    small_bundle(shipped_bundle, tmp_path, "small", int8=True)
    return tmp_path / "small" / "1"


@pytest.fixture
def copied(small: Path, tmp_path: Path) -> Path:
    """A bundle of all kinds of files."""
    contents = {name: (small / name).read_bytes() for name in read_manifest(small).files}
    return write_bundle(tmp_path / "copied", read_manifest(small), {**contents, CARD: b"# A bundle\n" * 9})


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("id_", find_bundles(SHIPPED))
def test_a_shipped_bundle_opens_and_is_small_enough_to_ship(id_: str) -> None:
    folder = find_bundles(SHIPPED)[id_]
    bundle = open_bundle(folder)
    assert bundle.id == id_
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 64 * 2**20
    assert {path.name for path in folder.iterdir()} == {"manifest.json", *bundle.manifest.files}


def test_what_new_tasks_get_unasked_is_shipped_and_documented() -> None:
    assert {DEFAULT_BUNDLE, PAPER_BUNDLE} <= find_bundles(SHIPPED).keys()
    assert f"`{DEFAULT_BUNDLE}`" in (ROOT / "docs" / "operations.md").read_text()


@pytest.mark.parametrize("name", ["backbone.onnx", "statistics.safetensors", "golden.safetensors", "README.md"])
def test_an_altered_file_is_refused_by_name(copied: Path, name: str) -> None:
    data = bytearray((copied / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copied / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name}: the file differs"):
        open_bundle(copied)


@pytest.mark.parametrize("name", ["manifest.json", "backbone.onnx", "golden.safetensors"])
def test_a_missing_file_is_refused_by_name(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(BundleError, match=name):
        open_bundle(copied)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.update(schema_version=2), "schema version 2 is unknown"),
        (lambda m: m.update(flavour="new"), "flavour"),
        (lambda m: m.update(embedding_dim=3), "not 3 wide"),
        (lambda m: m["files"].update({"../escape": m["files"]["README.md"]}), "not a plain file name"),
        (lambda m: m["files"].pop("backbone.onnx"), r"does not name backbone\.onnx"),
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_refused(copied: Path, edit: Callable[[dict[str, Any]], None], message: str) -> None:
    edit_manifest(copied, edit)
    with pytest.raises(BundleError, match=message):
        open_bundle(copied)


@pytest.mark.parametrize("field", ["file", "tokenizer"])
def test_a_text_network_has_one_name_which_is_looked_at_for_external_data(copied: Path, field: str) -> None:
    tower = {"file": "text.onnx", "tokenizer": "tokenizer.json", "length": 8, "template": "a {}", "scale": 1.0}
    edit_manifest(copied, lambda m: m.update(text={**tower, field: "other"}))
    with pytest.raises(BundleError, match=rf"text\.{field}"):
        read_manifest(copied)
    edit_manifest(copied, lambda m: m.update(text=tower))
    assert read_manifest(copied).text is not None


def test_a_manifest_that_uses_nothing_new_is_written_as_it_was_before(tmp_path: Path) -> None:
    """The shipped manifest was written before there were the fields `text`, `licence` and `shortest_edge`."""
    shipped = find_bundles(SHIPPED)[DEFAULT_BUNDLE]
    replace_manifest(tmp_path, read_manifest(shipped))
    assert (tmp_path / "manifest.json").read_text() == (shipped / "manifest.json").read_text()


def test_later_fields_of_a_manifest_are_written_where_they_are_used(shipped_bundle: Path, tmp_path: Path) -> None:
    made = Imported(source="timm:a", weights="a", sha256=None, images=1)
    text = TextTower(file=TEXT, tokenizer=TOKENIZER, length=8, template="a {}", scale=1.0)
    plain = read_manifest(shipped_bundle).model_copy(update={"training": made})
    spec = plain.input.model_copy(update={"shortest_edge": plain.input.height})
    licensed = made.model_copy(update={"licence": Licence(identifier="mit")})
    for manifest in (plain, plain.model_copy(update={"input": spec, "training": licensed, "text": text})):
        replace_manifest(tmp_path, manifest)
        assert read_manifest(tmp_path) == manifest
        written = json.loads((tmp_path / "manifest.json").read_text())
        used = {"shortest_edge" in written["input"], "licence" in written["training"], "text" in written}
        assert used == {manifest is not plain}


def test_a_published_version_is_never_overwritten(shipped_bundle: Path, tmp_path: Path) -> None:
    manifest = open_bundle(shipped_bundle).manifest
    write_bundle(tmp_path, manifest, {"a": b"first"})
    with pytest.raises(BundleError, match="exists already"):
        write_bundle(tmp_path, manifest, {"a": b"second"})
    assert (tmp_path / manifest.name / manifest.version / "a").read_bytes() == b"first"


def test_an_engine_that_computes_something_else_is_refused(shipped_bundle: Path) -> None:
    bundle = open_bundle(shipped_bundle)
    embeddings = open_engine(bundle, "onnx").embed(bundle.golden_pixels)
    bundle.check_golden(ONNX, embeddings)
    for wrong in (embeddings * 1.01, np.full_like(embeddings, np.nan)):
        with pytest.raises(BundleError, match="off by"):
            bundle.check_golden(ONNX, wrong)


def test_int8_is_close_to_float_and_does_not_depend_on_the_batch(shipped_bundle: Path) -> None:
    bundle = open_bundle(shipped_bundle)
    if ONNX_INT8 not in bundle.manifest.files:
        with pytest.raises(EngineError, match="has no"):
            open_engine(bundle, "onnx-int8")
        return
    engine = open_engine(bundle, "onnx-int8")
    together = embed_all(engine, bundle.golden_pixels)
    alone = np.concatenate([engine.embed(pixels[None]) for pixels in bundle.golden_pixels])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not has_int8_instructions(), reason="this processor never runs int8 by itself")
def test_whether_int8_pays_is_measured_once(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, remembered = open_bundle(small), tmp_path / "new"
    measured: list[tuple[str, str]] = []

    def hardly_faster(fast: Engine, slow: Engine, batch: Pixels) -> float:
        assert len(batch) > 1
        measured.append((fast.kind, slow.kind))
        return 1.19

    monkeypatch.setattr(engine, "speedup", hardly_faster)
    assert open_engine(bundle, remembered=remembered).kind == "onnx"
    monkeypatch.setattr(engine, "speedup", lambda *_: 1.21)
    assert open_engine(bundle, remembered=remembered).kind == "onnx"
    assert open_engine(bundle, threads=available_cores() + 1, remembered=remembered).kind == "onnx-int8"  # another matter
    assert open_engine(bundle).kind == "onnx-int8"
    (remembered / "int8-speedups.json").write_text("{half")
    assert open_engine(bundle, remembered=remembered).kind == "onnx-int8"
    assert measured == [("onnx-int8", "onnx")]


class OnGpu:
    """An engine of a kind that needs a GPU, without one."""

    def __init__(self, bundle: Bundle, kind: EngineKind, broken: bool) -> None:
        if broken:
            raise EngineError(f"the engine {kind} does not run")
        self.kind, self.space, self.parallel, self.max_batch, self.device = kind, bundle.space(ONNX), 1, 64, None
        self._bundle = bundle

    def embed(self, pixels: Pixels) -> np.ndarray:
        return np.resize(self._bundle.golden_embeddings, (len(pixels), self._bundle.golden_embeddings.shape[1]))


class Gpu:
    """A machine with a GPU.

    Attributes:
        speeds: how many times as fast as `onnx-cuda` each kind runs.
        broken: kinds that fail.
        opened: every engine in its order.
        measured: each pair of engines that was timed, with the size of the batch.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.speeds: dict[EngineKind, float] = {"onnx-cuda": 1.0}
        self.broken: set[EngineKind] = set()
        self.opened: list[EngineKind] = []
        self.measured: list[tuple[EngineKind, EngineKind, int]] = []
        patch.setattr(engine, "can_run", lambda kind: kind in self.speeds)
        patch.setattr(engine, "OnnxEngine", self._open)
        patch.setattr(engine, "speedup", self._speedup)

    def _open(self, bundle: Bundle, kind: EngineKind, *_: object) -> OnGpu:
        self.opened.append(kind)
        return OnGpu(bundle, kind, kind in self.broken)

    def _speedup(self, fast: Engine, slow: Engine, batch: Pixels) -> float:
        self.measured.append((fast.kind, slow.kind, len(batch)))
        return self.speeds[fast.kind] / self.speeds[slow.kind]


class TestOnGpu:
    """What `auto` takes where there is a GPU."""

    @pytest.fixture
    def gpu(self, monkeypatch: pytest.MonkeyPatch) -> Gpu:
        return Gpu(monkeypatch)

    @pytest.fixture
    def bundle(self, shipped_bundle: Path, tmp_path: Path) -> Bundle:
        """A bundle with a float16 file, whatever that holds."""
        source = open_bundle(shipped_bundle)
        contents = {name: (shipped_bundle / name).read_bytes() for name in source.manifest.files}
        return open_bundle(write_bundle(tmp_path / "bundles", source.manifest, {**contents, ONNX_FP16: contents[ONNX]}))

    def test_float16_is_taken_where_it_was_measured_to_pay(self, gpu: Gpu, bundle: Bundle, tmp_path: Path) -> None:
        gpu.speeds["onnx-fp16-cuda"] = 1.19
        assert open_engine(bundle, remembered=tmp_path / "slow").kind == "onnx-cuda"
        gpu.speeds["onnx-fp16-cuda"] = 1.21
        assert open_engine(bundle, remembered=tmp_path / "fast").kind == "onnx-fp16-cuda"
        assert gpu.measured == [("onnx-fp16-cuda", "onnx-cuda", 64)] * 2

    def test_the_choice_is_remembered(self, gpu: Gpu, bundle: Bundle, tmp_path: Path) -> None:
        gpu.speeds["onnx-fp16-cuda"] = 2.0
        open_engine(bundle, remembered=tmp_path / "kept")
        gpu.speeds["onnx-fp16-cuda"] = 0.5
        gpu.opened.clear()
        assert open_engine(bundle, remembered=tmp_path / "kept").kind == "onnx-fp16-cuda"
        assert gpu.opened == ["onnx-fp16-cuda"]
        assert len(gpu.measured) == 1

    def test_without_a_float16_file_nothing_is_measured(self, gpu: Gpu, shipped_bundle: Path) -> None:
        gpu.speeds["onnx-fp16-cuda"] = 2.0
        assert open_engine(open_bundle(shipped_bundle)).kind == "onnx-cuda"
        assert not gpu.measured

    @pytest.mark.parametrize(
        ("float16", "tensorrt", "both", "taken"),
        [
            (1.0, 1.3, 9.0, "onnx-tensorrt"),
            (1.0, 1.1, 9.0, "onnx-cuda"),
            (2.0, 9.0, 2.2, "onnx-fp16-cuda"),
            (2.0, 1.0, 2.6, "onnx-fp16-tensorrt"),
        ],
    )
    def test_tensorrt_runs_the_chosen_file_where_that_pays(
        self, gpu: Gpu, bundle: Bundle, float16: float, tensorrt: float, both: float, taken: EngineKind
    ) -> None:
        gpu.speeds |= {"onnx-fp16-cuda": float16, "onnx-tensorrt": tensorrt, "onnx-fp16-tensorrt": both}
        assert open_engine(bundle).kind == taken

    def test_what_fails_is_not_taken_and_not_remembered(self, gpu: Gpu, bundle: Bundle, tmp_path: Path) -> None:
        gpu.speeds |= {"onnx-fp16-cuda": 2.0, "onnx-fp16-tensorrt": 4.0}
        gpu.broken = {"onnx-fp16-tensorrt"}
        assert open_engine(bundle, remembered=tmp_path / "kept").kind == "onnx-fp16-cuda"
        gpu.broken = set()
        assert open_engine(bundle, remembered=tmp_path / "kept").kind == "onnx-fp16-tensorrt"
        gpu.broken = {"onnx-fp16-tensorrt"}
        assert open_engine(bundle, remembered=tmp_path / "kept").kind == "onnx-fp16-cuda"
        gpu.broken = {"onnx-fp16-tensorrt", "onnx-fp16-cuda"}
        assert open_engine(bundle, remembered=tmp_path / "kept").kind == "onnx-cuda"

    def test_without_a_device_the_cpu_serves(self, gpu: Gpu, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine, "has_int8_instructions", lambda: False)
        gpu.speeds["onnx-fp16-cuda"] = 2.0
        gpu.broken = {"onnx-cuda", "onnx-fp16-cuda"}
        assert open_engine(bundle).kind == "onnx"


def test_tensorrt_that_does_not_load_is_refused_and_its_engines_are_kept_by_file(
    shipped_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(shipped_bundle)
    asked: list[list[tuple[str, dict[str, Any]]]] = []

    class Session:
        def __init__(self, _model: bytes, _options: object, providers: list[tuple[str, dict[str, Any]]]) -> None:
            asked.append(providers)

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["TensorrtExecutionProvider", "CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    with pytest.raises(EngineError, match="fell back from TensorRT to CUDA"):
        open_engine(bundle, "onnx-tensorrt", remembered=tmp_path)
    (((tensorrt, options), (cuda, cuda_options)),) = asked
    assert (tensorrt, cuda) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert options["trt_engine_cache_path"] == str(tmp_path / "tensorrt" / bundle.manifest.files[ONNX].sha256)
    assert options["trt_profile_max_shapes"] == "pixels:256x32x32x3"
    assert not options["trt_fp16_enable"]
    assert cuda_options["use_tf32"] == "0"


@pytest.mark.parametrize("kind", ["onnx-cuda", "onnx-tensorrt"])
def test_a_gpu_that_onnx_runtime_lacks_is_refused(shipped_bundle: Path, kind: EngineKind) -> None:
    if can_run(kind):
        pytest.skip("this installation has it")
    with pytest.raises(EngineError, match=r"needs onnxruntime-gpu.* and a CUDA device"):
        open_engine(open_bundle(shipped_bundle), kind)


def test_operations_name_every_kind_of_engine() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text()
    assert not {kind for kind in get_args(EngineKind) if f"`{kind}`" not in operations}


@pytest.mark.parametrize("kind", ["onnx", "auto"])
def test_callers_beside_one_another_get_what_they_get_alone(shipped_bundle: Path, kind: EngineKind) -> None:
    bundle = open_bundle(shipped_bundle)
    engine = open_engine(bundle, kind, threads=3)
    assert engine.parallel == 3
    alone = [engine.embed(bundle.golden_pixels[: n + 1]) for n in range(4)]
    several = np.repeat(bundle.golden_pixels, 16, axis=0)
    with ThreadPoolExecutor(1) as other:
        at_work = other.submit(engine.embed, several)
        beside: list[np.ndarray] = []
        while len(beside) < 8:
            if at_work.done():
                at_work = other.submit(engine.embed, several)
            beside.append(engine.embed(bundle.golden_pixels[: len(beside) % 4 + 1]))
    for turn, embeddings in enumerate(beside):
        np.testing.assert_allclose(embeddings, alone[turn % 4], rtol=1e-4, atol=1e-5)


def test_an_engine_kind_that_the_bundle_lacks_is_refused(shipped_bundle: Path) -> None:
    with pytest.raises(EngineError, match=r"backbone\.ts"):
        open_engine(open_bundle(shipped_bundle), "torchscript")


class TestExternalData:
    """`has_external_data` against the `onnx` package, which writes such files."""

    @staticmethod
    def model(tensor: onnx.TensorProto, place: str) -> onnx.ModelProto:
        """A model whose one tensor sits in the given place."""
        helper = onnx.helper
        output = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
        constant = helper.make_node("Constant", [], ["y"], value=tensor)
        inner = helper.make_graph([constant], "inner", [], [output])
        condition = helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, [])
        graphs = {
            "initializer": helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [], [output], [tensor]),
            "constant": inner,
            "subgraph": helper.make_graph(
                [helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)], "g", [condition], [output]
            ),
        }
        return helper.make_model(graphs[place])

    @pytest.mark.parametrize("place", ["initializer", "constant", "subgraph"])
    def test_is_found_wherever_a_tensor_can_be(self, place: str) -> None:
        tensor = onnx.numpy_helper.from_array(np.ones(1, dtype=np.float32), "x")
        assert not has_external_data(self.model(tensor, place).SerializeToString())
        onnx.external_data_helper.set_external_data(tensor, location="weights.bin")
        assert has_external_data(self.model(tensor, place).SerializeToString())

    def test_a_bundle_with_it_is_refused_by_name(self, copied: Path) -> None:
        tensor = onnx.numpy_helper.from_array(np.ones(1, dtype=np.float32), "x")
        onnx.external_data_helper.set_external_data(tensor, location="/etc/passwd")
        manifest = open_bundle(copied).manifest
        contents = {name: (copied / name).read_bytes() for name in manifest.files}
        contents[ONNX] = self.model(tensor, "initializer").SerializeToString()
        folder = write_bundle(copied.parent / "other", manifest, contents)
        with pytest.raises(BundleError, match=r"backbone\.onnx: keeps tensors in other files"):
            open_bundle(folder)

    @given(st.binary(max_size=200))
    def test_any_bytes_are_answered_or_refused(self, data: bytes) -> None:
        with contextlib.suppress(ValueError):
            has_external_data(data)
