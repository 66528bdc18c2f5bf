"""Folders of Hugging Face's form: bundles of them embed as transformers does, and what cannot be used is refused in one line."""

import json
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
import tokenizers
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from models.bundle import TEXT, TOKENIZER, Bundle, BundleError, open_bundle, read_manifest, replace_manifest
from models.engine import open_engine
from models.images.preprocess import load_image
from models.manifest import Imported, InputSpec, Licence
from tests.helpers.cheap_runs import with_the_older_exporter, without_int8
from tests.helpers.hub_folders import (
    FAMILIES,
    LENGTH,
    SIDE,
    by_transformers,
    embedded,
    network_of,
    texts_by_transformers,
    write_folder,
)
from tests.helpers.images import encode
from tests.helpers.open_inference import answered, triton_request
from tests.helpers.servers import ServerProcess
from training.__main__ import main
from training.export.bundle import ExportError
from training.export.graphs import GraphError, run_onnx, to_onnx
from training.importing.hub.source import open_hub
from training.importing.network import file_of
from training.importing.opened import Opened

PHOTOGRAPHS = sorted(Path(__file__).parents[2].glob("clients/samples/query/*/*.jpg"))[:8]
TEXTS = ["a photo of a cat", "a dog", "this is a photo of a", " ".join(["cat"] * 40)]
QUICK = "clip"  # the family that has everything


def whole() -> list[bytes]:
    """Photographs whose scaled sides are whole numbers, as PNG: nothing is rounded, and nothing is read at a reduced size."""
    return [encode(Image.open(file).convert("RGB").resize((432, 216))) for file in PHOTOGRAPHS]


def fitted(files: list[bytes], spec: InputSpec) -> np.ndarray:
    return np.stack([load_image(file, spec) for file in files])


def distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """The relative error, of what tells the rows apart: their mean is left out."""
    assert found.shape == wanted.shape
    spread = np.linalg.norm(wanted - wanted.mean(axis=0))
    assert spread > 0.1 * np.linalg.norm(wanted)
    return float(np.linalg.norm(found - wanted) / spread)


def opened_of(folder: Path) -> Opened:
    return open_hub(folder, lambda _: None)


@pytest.fixture(scope="module", autouse=True)
def cheap() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        with_the_older_exporter(patch)
        without_int8(patch)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family."""
    root = tmp_path_factory.mktemp("folders")

    def of(family: str) -> Path:
        return root / family if (root / family).exists() else write_folder(family, root / family)

    return of


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("photographs")
    for file in PHOTOGRAPHS:
        shutil.copy(file, place)
    return place


@pytest.fixture(scope="module")
def imported(folder: Callable[[str], Path], photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    bundles = tmp_path_factory.mktemp("bundles")
    assert main(["import", f"hf:{folder(QUICK)}", "--data", str(photographs), "--out", str(bundles)]) == 0
    return open_bundle(bundles / QUICK / "1")


@pytest.mark.parametrize("family", FAMILIES)
def test_an_opened_network_embeds_as_transformers_does(family: str, folder: Callable[[str], Path]) -> None:
    place = folder(family)
    opened = opened_of(place)
    files = whole()
    pixels = fitted(files, opened.spec)
    found = opened.candidate.embed(pixels)
    mean, std = (np.array(values, np.float32) for values in (opened.architecture.mean, opened.architecture.std))
    images = torch.from_numpy(((pixels / np.float32(255) - mean) / std).transpose(0, 3, 1, 2).copy())
    assert distance(found, embedded(place, images)) < 1e-5  # of the same pixels
    assert distance(found, by_transformers(place, files)) < 0.02  # of the same files: two libraries round levels
    # JPEGs are read at a reduced size, and crops begin at fractions of a pixel: here of 32, and more than usual is told by it.
    jpegs = [file.read_bytes() for file in PHOTOGRAPHS]
    assert distance(opened.candidate.embed(fitted(jpegs, opened.spec)), by_transformers(place, jpegs)) < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_bundle_of_each_family_is_made_by_the_exporter_itself(
    family: str, folder: Callable[[str], Path], photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.export.candidate.to_onnx", to_onnx)
    monkeypatch.setattr("training.importing.hub.text.to_onnx", to_onnx)
    assert main(["import", f"hf:{folder(family)}", "--name", "b", "--data", str(photographs), "--out", str(tmp_path)]) == 0
    bundle = open_bundle(tmp_path / "b" / "1")
    files = whole()
    for kind in ("onnx", "torchscript"):
        found = open_engine(bundle, kind).embed(fitted(files, bundle.manifest.input))
        assert distance(found, by_transformers(folder(family), files)) < 0.02
    if bundle.manifest.text:
        check_texts(bundle, folder(family))


def test_a_server_embeds_as_transformers_does(imported: Bundle, folder: Callable[[str], Path], tmp_path: Path) -> None:
    files, labels = whole(), ["first", "second"] * 4
    with (
        ServerProcess(tmp_path / "data", "--bundles-dir", str(imported.path.parents[1]), "--bundle", imported.id) as server,
        httpx.Client(base_url=server.url, timeout=60) as api,
    ):
        answer = answered(api.post(f"/v2/models/{imported.id}.embedding/infer", **triton_request(files)))
        assert distance(answer.tensors["EMBEDDING"], by_transformers(folder(QUICK), files)) < 0.02
        task = api.post("/v1/tasks", files=[("images", file) for file in files], data={"labels": labels}).raise_for_status()
        assert task.json()["backbone"] == imported.id
        assert server.stop() == 0, server.log()


def check_texts(bundle: Bundle, folder: Path) -> None:
    """Compares what a server gets of texts, by the bundle alone, with transformers."""
    text = bundle.manifest.text
    assert text is not None
    tokenizer: Any = tokenizers.Tokenizer.from_str(bundle.read(text.tokenizer).decode())
    ids = np.array([each.ids for each in tokenizer.encode_batch(TEXTS)], np.int64)
    assert ids.shape == (len(TEXTS), text.length)
    run = run_onnx(bundle.read(text.file))
    wanted = texts_by_transformers(folder, TEXTS)
    assert distance(run(ids)[0], wanted) < 1e-5
    np.testing.assert_allclose(run(ids[:1])[0], wanted[:1], rtol=1e-3, atol=1e-4)


def test_texts_are_embedded_as_transformers_does(imported: Bundle, folder: Callable[[str], Path]) -> None:
    check_texts(imported, folder(QUICK))
    text = imported.manifest.text
    assert text is not None
    assert (text.file, text.tokenizer, text.length) == (TEXT, TOKENIZER, LENGTH)
    assert text.scale == pytest.approx(float(network_of(folder(QUICK)).logit_scale.exp()))


def test_siglips_texts_are_in_lower_case(folder: Callable[[str], Path]) -> None:
    opened = opened_of(folder("siglip"))
    assert opened.text is not None
    assert opened.text.scale == float(network_of(folder("siglip")).logit_scale.exp())
    tokenizer: Any = tokenizers.Tokenizer.from_str(opened.further[TOKENIZER].decode())
    upper, lower = (np.array([tokenizer.encode(text).ids]) for text in ("A Photo of a CAT", "a photo of a cat"))
    np.testing.assert_array_equal(upper, lower)
    wanted = texts_by_transformers(folder("siglip"), ["a photo of a cat"])
    np.testing.assert_allclose(run_onnx(opened.further[TEXT])(lower)[0], wanted, rtol=1e-4, atol=1e-5)


def test_a_bundle_says_where_it_came_from(imported: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = imported.manifest
    made = manifest.training
    assert isinstance(made, Imported)
    assert (made.source, made.weights, made.licence) == (f"hf:{QUICK}", "model.safetensors", Licence(identifier="apache-2.0"))
    assert manifest.architecture.name == f"hf:{QUICK}"
    assert manifest.input == InputSpec(height=SIDE, width=SIDE)
    assert main(["inspect", str(imported.path)]) == 0
    assert f"{LENGTH} tokens, “a photo of a {{}}”" in capsys.readouterr().out


def test_a_bundle_without_a_file_that_its_text_network_names_is_refused(imported: Bundle, tmp_path: Path) -> None:
    damaged = shutil.copytree(imported.path, tmp_path / "1")
    manifest = read_manifest(damaged)
    others = {name: entry for name, entry in manifest.files.items() if name != TOKENIZER}
    replace_manifest(damaged, manifest.model_copy(update={"files": others}))
    with pytest.raises(BundleError, match=f"does not name {TOKENIZER}"):
        open_bundle(damaged)


def test_weights_in_several_files_are_read_as_one(folder: Callable[[str], Path], tmp_path: Path) -> None:
    place = write_folder("dinov2", tmp_path / "dinov2", max_shard_size="20KB")
    assert len(list(place.glob("model-*.safetensors"))) > 1
    pixels = fitted(whole(), opened_of(place).spec)
    np.testing.assert_array_equal(opened_of(place).candidate.embed(pixels), opened_of(folder("dinov2")).candidate.embed(pixels))
    next(place.glob("model-*.safetensors")).unlink()
    assert "files that its weights are spread over" in refusal(place)


@pytest.mark.parametrize("output", ["last_hidden_state", "pooler_output"])
def test_of_onnx_alone_the_familys_embedding_is_taken(output: str, folder: Callable[[str], Path], tmp_path: Path) -> None:
    place = shutil.copytree(folder("dinov2"), tmp_path / "dinov2")
    (place / "model.safetensors").unlink()
    (place / "onnx").mkdir()
    names = ["last_hidden_state", "pooler_output"][: 1 if output == "last_hidden_state" else 2]
    write_onnx(network_of(folder("dinov2")), names, place / "onnx" / "model.onnx")
    opened = opened_of(place)
    files = whole()
    assert distance(opened.candidate.embed(fitted(files, opened.spec)), by_transformers(folder("dinov2"), files)) < 0.02
    assert opened.weights == "model.onnx"


def write_onnx(network: Any, names: list[str], path: Path) -> None:
    """Writes a network as the exporters of transformers.js do: `pixel_values` in, the named outputs out."""

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
            answer = self.network(pixel_values)
            return tuple(getattr(answer, name) for name in names)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The older exporter is on its way out.
        export: Any = torch.onnx.export
        axes = {name: {0: "batch"} for name in ("pixel_values", *names)}
        images = (torch.rand(2, 3, SIDE, SIDE),)
        export(Named(), images, str(path), dynamo=False, input_names=["pixel_values"], output_names=names, dynamic_axes=axes)
    onnx.checker.check_model(str(path))


# What is refused.


def refusal(place: Path) -> str:
    """What `open_hub` says when it refuses."""
    with pytest.raises((ExportError, GraphError)) as refused:
        opened_of(place)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def put(file: str, **settings: Any) -> Callable[[Path], None]:
    """Changes settings of a JSON file of a folder; None takes one away."""

    def change(place: Path) -> None:
        found = {**json.loads((place / file).read_text()), **settings}
        (place / file).write_text(json.dumps({name: value for name, value in found.items() if value is not None}))

    return change


def without(file: str) -> Callable[[Path], None]:
    return lambda place: (place / file).unlink()


def written(file: str, text: str) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        (place / file).write_text(text)

    return change


def with_pickle(place: Path) -> None:
    (place / "model.safetensors").rename(place / "pytorch_model.bin")


def cut_short(place: Path) -> None:
    weights = place / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def with_a_weight_missing(place: Path) -> None:
    weights = load_file(place / "model.safetensors")
    del weights["dinov2.layernorm.weight"]
    save_file(weights, place / "model.safetensors", metadata={"format": "pt"})


def with_an_index_to_elsewhere(place: Path) -> None:
    (place / "model.safetensors").unlink()
    (place / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../model.safetensors"}}))


PREPROCESSOR = "preprocessor_config.json"
CHANGES: list[tuple[Callable[[Path], None], str]] = [
    (without("config.json"), "has no config.json"),
    (without(PREPROCESSOR), "has no preprocessor_config.json"),
    (without("model.safetensors"), "holds no weights"),
    (written("config.json", "{"), "is no JSON file"),
    (written("config.json", "[1]"), "holds a list"),
    (put("config.json", model_type="bert"), "it is 'bert', and imported are dinov2"),
    (put("config.json", model_type="siglip2"), "NaFlex"),
    (put("config.json", auto_map={"AutoModel": "code.Model"}), "auto_map"),
    (put(PREPROCESSOR, auto_map={"AutoImageProcessor": "code.Processor"}), "auto_map"),
    (put("config.json", quantization_config={"bits": 4}), "quantised weights"),
    (put("config.json", hidden_size=64), "cannot load its network"),
    (put("config.json", image_size=64), "cannot load its network"),
    (with_pickle, "reading it may run code"),
    (cut_short, "cannot load its network"),
    (with_a_weight_missing, "lacks 1 weights of a dinov2 network, such as layernorm.weight"),
    (with_an_index_to_elsewhere, "no safetensors file of the folder"),
    (put(PREPROCESSOR, image_processor_type="BeitImageProcessor"), "prepared by BeitImageProcessor"),
    (put(PREPROCESSOR, resample=1), "filter 1"),
    (put(PREPROCESSOR, do_center_crop=False), "not cropped"),
    (put(PREPROCESSOR, size={"shortest_edge": 30}), "are padded to 32 x 32"),
    (put(PREPROCESSOR, size={"height": 40, "width": 40}), "resized to {'height': 40, 'width': 40} and cropped to"),
    (put(PREPROCESSOR, rescale_factor=1 / 127.5), "not divided by 255"),
    (put(PREPROCESSOR, do_resize=False), "not resized"),
    (put(PREPROCESSOR, image_std=[0.0, 0.5, 0.5]), "not positive"),
]


@pytest.mark.parametrize(("change", "said"), CHANGES, ids=[said for _, said in CHANGES])
def test_what_cannot_be_used_is_refused_in_a_sentence(
    change: Callable[[Path], None], said: str, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    place = shutil.copytree(folder("dinov2"), tmp_path / "dinov2")
    change(place)
    assert said in refusal(place)


def test_the_command_refuses_in_one_line(
    folder: Callable[[str], Path],
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def said(source: str, *flags: str) -> str:
        assert main(["import", source, "--data", str(photographs), "--out", str(tmp_path), *flags]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        return error

    assert "there is no such folder" in said(f"hf:{tmp_path / 'none'}", "--name", "x")
    assert "leave out every flag but --data" in said(f"hf:{folder(QUICK)}", "--input-size", "64")
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "pip install '.[cpu,train,import]'" in said(f"hf:{folder(QUICK)}")


def test_a_text_network_without_its_tokenizer_is_left_out_and_said(folder: Callable[[str], Path], tmp_path: Path) -> None:
    place = shutil.copytree(folder(QUICK), tmp_path / QUICK)
    (place / TOKENIZER).unlink()
    said: list[str] = []
    assert open_hub(place, said.append).text is None
    assert said == ["no text network: the folder has no tokenizer.json"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("config.json", model_type="clip", text_config={"vocab_size": 5}), "cannot load its network"),
        (put("tokenizer_config.json", pad_token="<none>"), "which token fills a text up"),
        (written(TOKENIZER, "{}"), "cannot be read"),
    ],
    ids=["of another size", "without padding", "damaged"],
)
def test_a_text_network_that_cannot_be_used_is_refused(
    change: Callable[[Path], None], said: str, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    place = shutil.copytree(folder(QUICK), tmp_path / QUICK)
    change(place)
    assert said in refusal(place)


def test_files_may_be_named_by_their_kind() -> None:
    assert file_of("onnx:net") == (Path("net"), "onnx")
    assert file_of("torchscript:net.bin") == (Path("net.bin"), "torchscript")
    assert file_of("net.onnx") == (Path("net.onnx"), "onnx")
    assert file_of("net.pt") == (Path("net.pt"), "torchscript")
    assert file_of("net.txt") == (Path("net.txt"), None)
