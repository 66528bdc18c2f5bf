"""The model card of a bundle: what it is, its accuracy, and its limits."""

from collections.abc import Sequence

from models.manifest import Evaluation, Imported, InputSpec, Licence, Manifest
from training.export.front_matter import front_matter

_TRAINED = """# {id}

{network} ({dim}-dimensional embedding) for {height} x {width} colour images, trained by multi-task learning
(arXiv:2106.09017) on {classes} base classes of {dataset}. Headstart fits a fresh last layer on its embedding for every task.

| | |
|---|---|
| trained on | {images} images of {classes} classes of {dataset} (split `{split}`); validation and novel classes never seen |
| started from | {initial} |
| recipe | `{recipe}`, seed {seed}, {epochs} epochs, {minutes:.0f} minutes on {hardware} |
| images | {fitted} |
| licence | for those who trained it to say, before it is passed on |
| revision | {revision} |
| made | {created} |

## Accuracy

5-way episodes with {queries} queries per class, mean ± 95 % interval in percent, through the code that serves. Hyper-parameters
were chosen on the validation classes; `test` are novel classes. ECE is the expected calibration error of the probabilities.

{table}

## Use and limits

{use}
- Made for pictures of single objects: any image is scaled to {height} x {width} pixels first, so detail below that is lost.
- Embeddings carry what the base classes taught ({taught}); images unlike them are recognised less well. Test with images of
  your own before relying on it.
{warnings}
"""

_IMPORTED = """# {id}

{network} ({dim}-dimensional embedding) for {height} x {width} colour images, trained elsewhere and imported. Headstart fits a
fresh last layer on its embedding for every task.

| | |
|---|---|
| network | {source} |
| weights | {weights}{sha256} |
| trained on | unknown to Headstart: ask those who published the weights |
| licence | {licence} |
| images | {fitted} |{text}
| statistics | of {images} images |
| made | {created} |

## Accuracy

{accuracy}

## Use and limits

{use}
- Any image is scaled to {height} x {width} pixels first, so detail below that is lost.
- Embeddings carry what the network was trained on; images unlike that are recognised less well. Test with images of your own
  before relying on it.
{warnings}
"""

_USE = """- As the folder `bundles/{name}/{version}/` it is served by `headstart-server --bundles-dir bundles --bundle {id}`."""

_TEXT = """
| texts | `text.onnx` embeds them in the space of the images: {length} tokens of `tokenizer.json`, such as “{template}” |"""

_WARNINGS = """- It learns from the examples it is given, biases included, and always answers with one of the task's classes.
- Not for decisions about people."""

_MEASURED = """5-way episodes with {queries} queries per class, mean ± 95 % interval in percent, through the code that serves.
Head options were chosen on the same classes, and the network may have been trained on such classes: expect less of others, and
measure with `headstart-train evaluate`. ECE is the expected calibration error of the probabilities.

{table}"""

_UNMEASURED = """Not measured, and head options not chosen for it: too few classes or images were given. Measure with
`headstart-train evaluate`."""


def model_card(manifest: Manifest) -> str:
    """Returns the card, with the head that Hugging Face's site reads."""
    return f"{front_matter(manifest)}\n{_body(manifest)}"


def _body(manifest: Manifest) -> str:
    """Returns the card in Markdown."""
    made = manifest.training
    architecture = manifest.architecture
    widths = f" with widths {'-'.join(map(str, architecture.widths))}" if architecture.widths else ""
    common = {
        "id": manifest.id,
        "network": f"{architecture.name}{widths}",
        "dim": manifest.embedding_dim,
        "height": manifest.input.height,
        "width": manifest.input.width,
        "images": made.images,
        "created": manifest.created_at.date(),
        "fitted": _fitted(manifest.input),
        "use": _USE.format(id=manifest.id, name=manifest.name, version=manifest.version),
        "warnings": _WARNINGS,
    }
    evaluated = {
        "queries": manifest.evaluations[0].queries if manifest.evaluations else 15,
        "table": _table(manifest.evaluations),
    }
    if isinstance(made, Imported):
        digest = f" (sha256 `{made.sha256}`)" if made.sha256 else ""
        accuracy = _MEASURED.format(**evaluated) if manifest.evaluations else _UNMEASURED
        text = manifest.text
        return _IMPORTED.format(
            **common,
            source=f"`{made.source}`",
            weights=f"`{made.weights}`",
            sha256=digest,
            licence=_licence(made.licence),
            text=_TEXT.format(length=text.length, template=text.template) if text else "",
            accuracy=accuracy,
        )
    return _TRAINED.format(
        **common,
        **evaluated,
        taught=", ".join(made.classes[:12]) + (", …" if len(made.classes) > 12 else ""),
        classes=len(made.classes),
        dataset=made.dataset,
        split=made.split,
        recipe=made.recipe,
        initial=f"{made.initial}: their licence holds for these weights too" if made.initial else "random weights",
        seed=made.seed,
        epochs=made.epochs,
        minutes=made.seconds / 60,
        hardware=made.hardware,
        revision=f"`{made.git_revision}`" if made.git_revision else "unknown",
    )


def _licence(licence: Licence | None) -> str:
    if licence is None:
        return "unknown: ask those who published the weights, before they are passed on"
    name = f": {licence.name}" if licence.name else ""
    return f"`{licence.identifier}`{name}{f', {licence.link}' if licence.link else ''}"


def _fitted(spec: InputSpec) -> str:
    if spec.resize == "stretch":
        return f"stretched to {spec.height} x {spec.width}, {spec.interpolation}"
    edge = f"the shorter side scaled to {spec.shortest_edge}" if spec.shortest_edge else "scaled to cover"
    return f"{edge}, then the centre of {spec.height} x {spec.width}; {spec.interpolation}"


def _table(evaluations: Sequence[Evaluation]) -> str:
    head = ["| dataset | classes | file | head | shots | episodes | accuracy | ECE |", "|---|---|---|---|---|---|---|---|"]
    return "\n".join([*head, *map(_row, evaluations)])


def _row(e: Evaluation) -> str:
    accuracy = f"{100 * e.accuracy:.2f} ± {100 * e.ci95:.2f}"
    return f"| {e.dataset} | {e.part} | `{e.file}` | {e.solver} | {e.shots} | {e.episodes} | {accuracy} | {100 * e.ece:.1f} % |"
