"""What a folder states of its preprocessing and its licence, read or refused; and the card that a bundle gets of it."""

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle import PAPER_BUNDLE, SHIPPED, find_bundles, read_manifest
from models.manifest import Imported, InputSpec, Licence, Manifest, TextTower
from training.export.card import model_card
from training.importing.hub.folder import HubFolder
from training.importing.hub.licence import front_matter, licence_of, licence_text
from training.importing.hub.preprocessing import preprocessing_of

CLIP = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 224},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.48, 0.46, 0.41],
    "image_std": [0.27, 0.26, 0.28],
}
VIT = {**CLIP, "image_processor_type": "ViTImageProcessor", "size": {"height": 224, "width": 224}, "do_center_crop": False}
CONVNEXT = {**CLIP, "image_processor_type": "ConvNextImageProcessor", "crop_pct": 0.875, "do_center_crop": None}


@pytest.mark.parametrize(
    ("stated", "spec"),
    [
        (CLIP, InputSpec(height=224, width=224)),
        ({**CLIP, "size": {"shortest_edge": 256}}, InputSpec(height=224, width=224, shortest_edge=256)),
        ({**VIT, "resample": 2}, InputSpec(height=224, width=224, resize="stretch", interpolation="bilinear")),
        (CONVNEXT, InputSpec(height=224, width=224, shortest_edge=256)),
        ({**CONVNEXT, "size": {"shortest_edge": 384}}, InputSpec(height=384, width=384, resize="stretch")),
        ({**VIT, "image_processor_type": "ViTImageProcessorFast"}, InputSpec(height=224, width=224, resize="stretch")),
    ],
    ids=["cover", "crop", "stretch", "ConvNeXt", "ConvNeXt at 384", "fast"],
)
def test_published_preprocessing_becomes_a_rule_of_the_server(stated: dict[str, Any], spec: InputSpec) -> None:
    found = preprocessing_of(stated)
    assert found.spec == spec
    assert (found.mean, found.std) == ((0.48, 0.46, 0.41), (0.27, 0.26, 0.28))


def test_without_normalisation_levels_are_shares_of_one() -> None:
    found = preprocessing_of({**VIT, "do_normalize": False})
    assert (found.mean, found.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"do_pad": True}, "padded"),
        ({"size": {"longest_edge": 224}}, "longest_edge"),
        ({"size": {"shortest_edge": 224, "longest_edge": 300}}, "longest_edge"),
        ({"image_processor_type": "Siglip2ImageProcessor"}, "prepared by Siglip2ImageProcessor"),
    ],
)
def test_what_the_server_cannot_do_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        preprocessing_of({**CLIP, **change})


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["height", "width", "shortest_edge"]), inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(base=st.sampled_from([CLIP, VIT, CONVNEXT]), changes=st.dictionaries(st.sampled_from([*CONVNEXT]), _values, max_size=3))
def test_settings_of_any_kind_are_read_or_refused(base: dict[str, Any], changes: dict[str, Any]) -> None:
    try:
        found = preprocessing_of({**base, **changes})
    except (ArithmeticError, KeyError, TypeError, ValueError):
        return
    assert min(found.std) > 0
    assert InputSpec.model_validate(found.spec.model_dump()) == found.spec


def folder_with(place: Path, files: dict[str, str], **config: Any) -> HubFolder:
    for name, text in files.items():
        (place / name).write_text(text, encoding="utf-8")
    return HubFolder(place, config, (), None)


APACHE = "\n                                 Apache License\n                           Version 2.0, January 2004\n"
DINOV3 = "---\nlicense: other\nlicense_name: dinov3-license\nlicense_link: https://example.org/licence\n---\n"


@pytest.mark.parametrize(
    ("files", "licence"),
    [
        ({"README.md": "---\ntags: [a]\nlicense: mit\n---\n# It"}, Licence(identifier="mit")),
        ({"README.md": "---\r\nlicense: mit\r\n---\r\n# It", "LICENSE": APACHE}, Licence(identifier="mit")),
        ({"README.md": DINOV3}, Licence(identifier="other", name="dinov3-license", link="https://example.org/licence")),
        ({"README.md": "# license: mit", "LICENSE": APACHE}, Licence(identifier="apache-2.0")),
        ({"LICENSE.txt": "MIT License\n\nCopyright"}, Licence(identifier="mit")),
        ({"LICENSE.md": "# Our own terms\n"}, Licence(identifier="other", name="Our own terms")),
        ({"README.md": "---\nlicense: unknown\n---\n"}, None),
        ({"README.md": "---\nlicense: [\n---\n"}, None),
        ({"README.md": "---\nlicense: {a: b}\n---\n"}, None),
        ({}, None),
    ],
)
def test_the_licence_is_what_the_folder_states(files: dict[str, str], licence: Licence | None, tmp_path: Path) -> None:
    assert licence_of(folder_with(tmp_path, files)) == licence


def test_the_config_states_a_licence_where_nothing_else_does(tmp_path: Path) -> None:
    assert licence_of(folder_with(tmp_path, {}, license="apache-2.0")) == Licence(identifier="apache-2.0")


def test_the_licences_text_is_passed_on(tmp_path: Path) -> None:
    assert licence_text(tmp_path) is None
    folder_with(tmp_path, {"LICENCE": APACHE})
    assert licence_text(tmp_path) == APACHE.encode()


@settings(deadline=None)
@given(st.text(max_size=60))
def test_the_head_of_any_card_is_read(text: str) -> None:
    assert isinstance(front_matter(f"---\n{text}\n---\n"), dict)


# The card of a bundle, as Hugging Face's own library reads it.


def trained() -> Manifest:
    return read_manifest(find_bundles(SHIPPED)[PAPER_BUNDLE])


def imported(**known: Any) -> Manifest:
    made = Imported(source="hf:net", weights="model.safetensors", sha256=None, images=9, **known)
    return trained().model_copy(update={"training": made, "evaluations": ()})


def test_a_cards_measurements_are_read_by_huggingface_hub() -> None:
    manifest = trained()
    card: Any = huggingface_hub.ModelCard(model_card(manifest))
    assert (card.data.license, card.data.library_name, card.data.pipeline_tag) == (
        "unknown",
        "headstart",
        "image-feature-extraction",
    )
    results = {(r.task_name, r.dataset_name): r.metric_value for r in card.data.eval_results if r.metric_type == "accuracy"}
    assert len(results) == len(manifest.evaluations) > 0
    first = manifest.evaluations[0]
    where = f"{first.ways}-way {first.shots}-shot, {first.solver} head, {first.file}", f"{first.dataset}, {first.part} classes"
    assert results[where] == pytest.approx(100 * first.accuracy, abs=0.006)
    assert card.text.strip().startswith(f"# {manifest.id}")


def test_a_card_carries_the_licence_of_the_weights() -> None:
    licence = Licence(identifier="other", name='a "name": #1', link="https://example.org")
    content = model_card(imported(licence=licence))
    card: Any = huggingface_hub.ModelCard(content)
    assert (card.data.license, card.data["license_name"], card.data["license_link"]) == ("other", licence.name, licence.link)
    assert '| licence | `other`: a "name": #1, https://example.org |' in content
    assert card.data.eval_results is None


def test_a_card_says_that_a_licence_is_unknown_and_how_images_and_texts_are_read() -> None:
    text = TextTower(file="text.onnx", tokenizer="tokenizer.json", length=77, template="a photo of a {}", scale=100)
    spec = InputSpec(height=224, width=224, shortest_edge=256)
    content = model_card(imported().model_copy(update={"text": text, "input": spec}))
    assert "licence | unknown: ask those who published the weights" in content
    assert "the shorter side scaled to 256, then the centre of 224 x 224; bicubic" in content
    assert "77 tokens of `tokenizer.json`, such as “a photo of a {}”" in content


@settings(deadline=None)
@given(st.text(min_size=1, max_size=20))
def test_the_head_of_a_card_is_yaml_whatever_names_it_holds(name: str) -> None:
    evaluation = trained().evaluations[0].model_copy(update={"dataset": name})
    manifest = imported(licence=Licence(identifier=name, name=name)).model_copy(update={"evaluations": (evaluation,)})
    head = yaml.safe_load(model_card(manifest).split("\n---\n")[0])
    if name.isprintable():
        assert head["license_name"] == name
        assert head["model-index"][0]["results"][0]["dataset"]["type"] == name
    json.dumps(head)
