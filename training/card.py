"""The model card that travels in a bundle: what it is, how well it does, what it must not be trusted with."""

from models.manifest import Evaluation, Manifest

_TEMPLATE = """# {id}

{network} ({dim}-dimensional embedding) for {height} x {width} colour images, trained by multi-task learning
(arXiv:2106.09017) on {classes} base classes of {dataset}. Headstart fits a fresh last layer on its embedding for every task.

| | |
|---|---|
| trained on | {images} images of {classes} classes of {dataset} (split `{split}`); validation and novel classes never seen |
| recipe | `{recipe}`, seed {seed}, {epochs} epochs, {minutes:.0f} minutes on {hardware} |
| revision | {revision} |
| made | {created} |

## Accuracy

5-way episodes with {queries} queries per class, mean ± 95 % interval in percent, through the code that serves. Hyper-parameters
were chosen on the validation classes; `test` are novel classes. ECE is the expected calibration error of the probabilities.

| classes | file | head | shots | episodes | accuracy | ECE |
|---|---|---|---|---|---|---|
{rows}

## Use and limits

- Made for small pictures of single objects: any image is scaled to {height} x {width} pixels first, so detail below that is lost.
- Embeddings carry what the base classes taught ({taught}); images unlike them are recognised less well. Test with images of
  your own before relying on it.
- It learns from the examples it is given, biases included, and always answers with one of the task's classes.
- Not for decisions about people.
"""


def model_card(manifest: Manifest) -> str:
    """The card in Markdown."""
    training = manifest.training
    return _TEMPLATE.format(
        id=manifest.id,
        network=f"{manifest.architecture.name} with widths {'-'.join(map(str, manifest.architecture.widths))}",
        taught=", ".join(training.classes[:12]) + (", …" if len(training.classes) > 12 else ""),
        dim=manifest.embedding_dim,
        height=manifest.input.height,
        width=manifest.input.width,
        classes=len(training.classes),
        dataset=training.dataset,
        images=training.images,
        split=training.split,
        recipe=training.recipe,
        seed=training.seed,
        epochs=training.epochs,
        minutes=training.seconds / 60,
        hardware=training.hardware,
        revision=f"`{training.git_revision}`" if training.git_revision else "unknown",
        created=manifest.created_at.date(),
        queries=manifest.evaluations[0].queries if manifest.evaluations else 15,
        rows="\n".join(map(_row, manifest.evaluations)),
    )


def _row(e: Evaluation) -> str:
    accuracy = f"{100 * e.accuracy:.2f} ± {100 * e.ci95:.2f}"
    return f"| {e.part} | `{e.file}` | {e.solver} | {e.shots} | {e.episodes} | {accuracy} | {100 * e.ece:.1f} % |"
