"""The benchmark of input sizes: its lines, and what it makes of photographs that are not square."""

import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.accuracy.domain_data import DOMAINS
from benchmarks.input_sizes import made_square, main
from models.bundle import SHIPPED
from models.images.preprocess import load_image
from models.manifest import InputSpec
from tests.helpers.bundles import small_bundle
from tests.helpers.domains import write_domain
from tests.helpers.images import encode

_LIKE = SHIPPED / "cifar-fs-resnet12" / "1"
(_CLOTHING,) = [domain for domain in DOMAINS if domain.name == "clothing"]


def test_every_line_has_speed_and_accuracy(tmp_path: Path) -> None:
    for domain in DOMAINS:
        if domain.in_mean:
            write_domain(tmp_path / "data", domain.name, 1, "validation" if domain is _CLOTHING else "test")
    small_bundle(_LIKE, tmp_path / "bundles", "small")
    out, picture = tmp_path / "lines.json", tmp_path / "lines.png"
    command = [
        "--data",
        str(tmp_path / "data"),
        "--bundle",
        "small@1",
        "cifar-fs-resnet12@1",
        "--bundles-dir",
        str(tmp_path / "bundles"),
    ]
    command += ["--engine", "onnx", "--episodes", "20", "--rounds", "1", "--seconds", "0.01"]
    main([*command, "--json", str(out), "--picture", str(picture)])
    document = json.loads(out.read_text())
    assert document["domains"] == ["clothing"]
    assert [(line["bundle"], line["resize"]) for line in document["lines"]] == [
        (bundle, resize) for resize in ("cover", "squash", "pad") for bundle in ("small@1", "cifar-fs-resnet12@1")
    ]
    first, second = document["lines"][:2]
    assert first["rate"] > second["rate"] > 0.0  # a mean of colours against a ResNet-12
    assert first["by_shots"]["5"]["difference"] == 0.0
    gained = second["by_shots"]["5"]["accuracy"] - first["by_shots"]["5"]["accuracy"]
    assert abs(second["by_shots"]["5"]["difference"] - gained) < 1e-9
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_photographs_are_squashed_and_padded(tmp_path: Path) -> None:
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize((150, 90))
    write_domain(tmp_path, "clothing", 1)
    with zipfile.ZipFile(tmp_path / "photos" / "clothing.zip", "w") as target:
        target.writestr("hat/1.png", encode(smooth))

    def made(resize: str) -> np.ndarray:
        folder = made_square(tmp_path, [_CLOTHING], resize, tmp_path / resize)
        assert (folder / _CLOTHING.split).is_file()
        with zipfile.ZipFile(folder / "photos" / "clothing.zip") as archive:
            return load_image(archive.read("hat/1.png"), InputSpec(height=30, width=30)).astype(float)

    squashed = np.asarray(smooth.resize((30, 30), Image.Resampling.BICUBIC), dtype=float)
    assert np.abs(made("squash") - squashed).max() <= 4  # two passes beside one
    padded = made("pad")
    np.testing.assert_array_equal(padded[:4], 128.0)
    np.testing.assert_array_equal(padded[-4:], 128.0)
    inner = np.asarray(smooth.resize((30, 18), Image.Resampling.BICUBIC), dtype=float)
    assert np.abs(padded[8:-8] - inner[2:-2]).max() <= 1  # away from the bars, which blend into its edge
