"""Where heads are fitted, and that it makes no difference to them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.heads import fitter as fitters
from models.heads.fitter import Fitter, measured_fitter
from models.heads.fitting import fit_head
from models.heads.head import BackboneRef, EmbeddingSpace
from models.manifest import HeadOptions
from models.measured import recall

DIM = 32
SPACE = EmbeddingSpace(BackboneRef("fake@1", "0" * 64), np.full(DIM, 0.2, np.float32))
OPTIONS = HeadOptions(solver="logistic", C=2.0, centre=True, temperature=1.0)
CPU = torch.device("cpu")


@pytest.mark.parametrize("least", [0, 13])
@pytest.mark.parametrize("tensor", [False, True])
def test_heads_are_those_of_the_host(least: int, tensor: bool) -> None:
    rng = np.random.default_rng(0)
    labels = ["a", "b", "c"] * 4
    embeddings = rng.normal(size=(12, DIM)).astype(np.float32)
    embeddings.setflags(write=False)  # as they come from the store
    head = Fitter(SPACE, CPU, least).fit(torch.tensor(embeddings) if tensor else embeddings, labels, OPTIONS)
    wanted = fit_head(embeddings, labels, SPACE, OPTIONS)
    assert isinstance(head.weight, np.ndarray)
    assert head.labels == wanted.labels
    np.testing.assert_allclose(head.weight, wanted.weight, atol=1e-4)
    np.testing.assert_allclose(head.bias, wanted.bias, atol=1e-4)


@pytest.mark.parametrize(
    ("ratios", "least"), [([2, 2, 2, 2], 25), ([0.5, 2, 2, 2], 100), ([2, 0.5, 2, 2], 400), ([2, 2, 2, 0.5], None)]
)
def test_the_device_gets_the_sizes_from_which_on_it_is_faster(
    ratios: list[float], least: int | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measured = []

    def speedup(_here: Fitter, _there: Fitter, ways: int, shots: int) -> float:
        measured.append((ways, shots))
        return dict(zip(fitters._SIZES, ratios, strict=True))[ways, shots]

    monkeypatch.setattr(fitters, "_speedup", speedup)
    for _ in range(2):  # The second start takes the same from the file.
        found = measured_fitter(SPACE, CPU, "a device", tmp_path / "there" / "fit-speedups.json")
        assert (found.device, found.least) == ((CPU, least) if least else (None, 0))
    assert len(measured) == len(set(measured))


def test_the_measurement_runs() -> None:
    assert fitters._speedup(Fitter(SPACE), Fitter(SPACE, CPU), 2, 2) > 0


def test_a_file_of_measurements_that_cannot_be_used_is_measured_again(tmp_path: Path) -> None:
    file = tmp_path / "measured.json"
    file.write_text('{"half": ')
    assert recall(file, "one", lambda: 2.0) == 2.0
    assert recall(file, "one", lambda: 3.0) == 2.0
    assert recall(tmp_path / "measured.json" / "below", "one", lambda: 3.0) == 3.0
    assert recall(None, "one", lambda: 4.0) == 4.0
