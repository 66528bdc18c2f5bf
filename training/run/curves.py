"""Training curves: a PNG for people, TensorBoard for those who watch several runs."""

from pathlib import Path

from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

History = list[dict[str, float]]


def draw(history: History, path: Path) -> None:
    """Draws loss, and validation accuracy where it was measured, against epochs."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    loss.plot(epochs, [row["loss"] for row in history], marker=".")
    loss.set(title="training loss", xlabel="epoch")
    for key in sorted({key for row in history for key in row if key.startswith("validation")}):
        shots = key.removeprefix("validation_")
        accuracy.plot(epochs, [100 * row[key] for row in history], marker=".", label=f"5-way {shots}")
    accuracy.set(title="validation classes, class-mean heads", xlabel="epoch", ylabel="accuracy (%)")
    if accuracy.lines:
        accuracy.legend()
    for axes in (loss, accuracy):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def log(row: dict[str, float], folder: Path) -> None:
    """Appends one epoch's row to the TensorBoard log in `folder`."""
    with SummaryWriter(folder) as writer:
        for key, value in row.items():
            if key != "epoch":
                writer.add_scalar(key, value, int(row["epoch"]))
