"""The head of a model card, by which Hugging Face's site files it: YAML between two lines of dashes.

Strings are written as JSON, which is YAML as well. The fields are those of the site's model card specification.
"""

import json
from collections.abc import Iterator

from models.manifest import Evaluation, Imported, Licence, Manifest

_TAGS = ("image-feature-extraction", "few-shot-learning", "onnx")
UNKNOWN = Licence(identifier="unknown")


def front_matter(manifest: Manifest) -> str:
    """Returns the head of a bundle's card, from one line of dashes to the other."""
    made = manifest.training
    licence = (made.licence if isinstance(made, Imported) else None) or UNKNOWN
    lines = [
        f"license: {_text(licence.identifier)}",
        *(f"license_{field}: {_text(value)}" for field, value in (("name", licence.name), ("link", licence.link)) if value),
        "library_name: headstart",
        "pipeline_tag: image-feature-extraction",
        "tags:",
        *(f"- {tag}" for tag in _TAGS),
    ]
    if manifest.evaluations:
        lines += ["model-index:", f"- name: {_text(manifest.id)}", "  results:"]
        lines += [line for evaluation in manifest.evaluations for line in _result(evaluation)]
    return "\n".join(("---", *lines, "---", ""))


def _result(e: Evaluation) -> Iterator[str]:
    """Yields the lines of one measurement."""
    yield "  - task:"
    yield "      type: image-classification"
    yield f"      name: {_text(f'{e.ways}-way {e.shots}-shot, {e.solver} head, {e.file}')}"
    yield "    dataset:"
    yield f"      type: {_text(e.dataset)}"
    yield f"      name: {_text(f'{e.dataset}, {e.part} classes')}"
    yield "    metrics:"
    for kind, name, value in (("accuracy", "accuracy", e.accuracy), ("ece", "expected calibration error", e.ece)):
        yield f"    - type: {kind}"
        yield f"      name: {name} in percent"
        yield f"      value: {100 * value:.2f}"


def _text(value: str) -> str:
    """Returns a string as JSON; what no YAML may hold becomes a question mark."""
    return json.dumps("".join(each if each.isprintable() else "?" for each in value), ensure_ascii=False)
