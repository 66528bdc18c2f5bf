"""The trainer: its batches, its augmentation, its objectives, and that a run survives whatever stops it."""

import math
import resource
import signal
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers.images import noise
from tests.helpers.training_runs import BASE, CLASSES, SIZE, fabric, recipe, started, trainer
from training.data.dataset import DataError, ImageSet
from training.objectives import ClassBank, Rotation, turn
from training.run import curves
from training.run.augment import Augmentation, luma
from training.run.batches import BatchSampler
from training.run.checkpoint import FILE_NAME, Checkpoint, CheckpointError
from training.run.feed import TrainingSet, channel_statistics
from training.run.interrupt import Interrupted
from training.run.loop import Trainer
from training.run.recipes import RECIPES, Recipe

pytestmark = pytest.mark.usefixtures("no_curves")

JOINT = recipe(rotation="alternate")
TASKS = recipe(network="resnet12", widths=(4, 4, 4, 8), ways=4, shots=2, dropblock=0.1, precision="float32", schedule="step")


# --- batches ---


def test_an_epoch_of_joint_training_sees_images_once_and_epochs_differ() -> None:
    sampler = BatchSampler(BASE.labels, JOINT, 16, seed=0)
    epochs = [np.concatenate([sampler.batch(step).images for step in range(5 * e, 5 * e + 5)]) for e in range(2)]
    for images in epochs:
        assert len(np.unique(images)) == 5 * 16 == 80
    assert epochs[0].tolist() != epochs[1].tolist()


def test_a_batch_of_tasks_holds_the_shots_of_each_of_its_classes() -> None:
    batch = BatchSampler(BASE.labels, TASKS, 16, seed=0).batch(3)
    assert batch.tasks is not None
    assert batch.tasks.shape == (2, 4)
    assert all(len(set(task)) == 4 for task in batch.tasks.tolist())
    np.testing.assert_array_equal(BASE.labels[batch.images].reshape(2, 4, 2), np.repeat(batch.tasks[..., None], 2, axis=2))
    assert all(len(set(shots)) == 2 for shots in batch.images.reshape(8, 2).tolist())


@pytest.mark.parametrize("chosen", [JOINT, TASKS], ids=["joint", "tasks"])
def test_a_step_s_batch_depends_on_seed_and_step_alone(chosen: Recipe) -> None:
    in_order = BatchSampler(BASE.labels, chosen, 16, seed=7)
    batches = [in_order.batch(step).images.tolist() for step in range(12)]
    assert len(set(map(tuple, batches))) == 12
    for step in (11, 3, 7):
        assert BatchSampler(BASE.labels, chosen, 16, seed=7).batch(step).images.tolist() == batches[step]
        assert BatchSampler(BASE.labels, chosen, 16, seed=8).batch(step).images.tolist() != batches[step]


@pytest.mark.parametrize("changes", [{"batch_size": 81}, {"ways": 9}])
def test_too_little_data_for_a_batch_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        BatchSampler(BASE.labels, recipe(**changes), changes.get("batch_size", 16), seed=0)


# --- augmentation ---


def test_crops_and_flips_are_windows_of_the_padded_image() -> None:
    torch.manual_seed(0)
    image = torch.from_numpy(noise(5, 4))
    out = Augmentation(padding=1, jitter=0.0)(image.expand(400, 5, 4, 3))
    padded = np.pad(image.numpy(), ((1, 1), (1, 1), (0, 0))) / 255
    windows = [padded[top : top + 5, left : left + 4] for top in range(3) for left in range(3)]
    candidates = np.stack([*windows, *(window[:, ::-1] for window in windows)]).transpose(0, 3, 1, 2)
    distances = np.abs(out.numpy()[:, None] - candidates[None]).max(axis=(2, 3, 4))
    assert (distances.min(axis=1) < 1e-5).all()
    drawn = np.bincount(distances.argmin(axis=1), minlength=18)
    assert (drawn > 5).all()


def test_jitter_scales_brightness_contrast_and_saturation_of_each_image() -> None:
    torch.manual_seed(0)
    grey = torch.full((500, 4, 4, 3), 100, dtype=torch.uint8)  # it has no contrast and no saturation to change
    levels = Augmentation(padding=0, jitter=0.4)(grey)
    torch.testing.assert_close(levels, levels[:, :1, :1, :1].expand_as(levels))
    factors = levels[:, 0, 0, 0] * 255 / 100
    assert 0.6 <= float(factors.min()) < 0.65
    assert 1.35 < float(factors.max()) <= 1.4
    colours = Augmentation(padding=0, jitter=0.4)(torch.from_numpy(noise(8, 8)).expand(50, 8, 8, 3))
    assert 0 <= float(colours.min()) < float(colours.max()) <= 1
    assert len({float(image.mean()) for image in colours}) == 50


def test_luma_is_the_grey_of_bt_601() -> None:
    image = torch.rand(1, 3, 2, 2)
    by_hand = 0.299 * image[0, 0] + 0.587 * image[0, 1] + 0.114 * image[0, 2]
    torch.testing.assert_close(luma(image), by_hand[None, None])


# --- objectives ---


def test_the_bank_on_tasks_equals_a_loop_over_tasks() -> None:
    torch.manual_seed(0)
    bank = ClassBank(CLASSES, 6)
    torch.nn.init.normal_(bank.bias)
    tasks = torch.tensor([[4, 1, 7], [0, 7, 2]])
    labels = torch.tensor([[7, 4, 1, 1], [2, 2, 0, 7]])
    embeddings = torch.randn(2, 4, 6)
    weight, bias = bank.weight.detach(), bank.bias.detach()
    losses = []
    for task, images, right in zip(tasks.tolist(), embeddings, labels.tolist(), strict=True):
        for image, label in zip(images, right, strict=True):
            scores = {k: math.exp(float(weight[k] @ image + bias[k])) for k in task}
            losses.append(-math.log(scores[label] / sum(scores.values())))
    assert bank(embeddings.flatten(0, 1), labels.flatten(), tasks).item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_one_task_of_every_class_is_joint_training() -> None:
    torch.manual_seed(0)
    bank, embeddings, labels = ClassBank(CLASSES, 6), torch.randn(12, 6), torch.randint(0, CLASSES, (12,))
    everything = torch.arange(CLASSES)[None]
    torch.testing.assert_close(bank(embeddings, labels, None), bank(embeddings, labels, everything))


def test_a_turn_is_a_quarter_counter_clockwise_for_each_image() -> None:
    images, turns = torch.rand(9, 3, 5, 5), torch.tensor([0, 1, 2, 3, 3, 1, 0, 2, 1])
    turned = turn(images, turns)
    for before, quarters, after in zip(images, turns.tolist(), turned, strict=True):
        np.testing.assert_array_equal(after.permute(1, 2, 0).numpy(), np.rot90(before.permute(1, 2, 0).numpy(), quarters))


def test_rotation_is_a_four_way_classification() -> None:
    rotation, embeddings, turns = Rotation(6), torch.randn(5, 6), torch.tensor([0, 1, 2, 3, 0])
    shares = torch.softmax(rotation.head(embeddings), dim=1)
    torch.testing.assert_close(rotation(embeddings, turns), -shares[torch.arange(5), turns].log().mean())


# --- schedule, statistics ---


@pytest.mark.parametrize("chosen", [*RECIPES.values(), TASKS], ids=lambda chosen: chosen.name)
def test_the_learning_rate_stays_within_its_peak(chosen: Recipe) -> None:
    rates = [chosen.rate(step / 1000) for step in range(1001)]
    assert max(rates) == pytest.approx(chosen.learning_rate)
    assert min(rates) >= 0
    if chosen.schedule == "cosine":
        peak = round(chosen.warmup * 1000)
        assert rates[: peak + 1] == sorted(rates[: peak + 1])
        assert rates[peak:] == sorted(rates[peak:], reverse=True)
        assert rates[-1] == pytest.approx(0, abs=1e-12)


def test_step_decay_takes_a_tenth_at_each_milestone() -> None:
    chosen = recipe(schedule="step", learning_rate=1.0, milestones=(0.5, 0.75))
    assert [chosen.rate(progress) for progress in (0, 0.49, 0.5, 0.75, 1)] == pytest.approx([1, 1, 0.1, 0.01, 0.01])


def test_channel_statistics_of_many_images_take_little_memory() -> None:
    images = ImageSet(np.zeros((20_000, 16, 16, 3), dtype=np.uint8), np.zeros(20_000, dtype=np.int64), ("a",), ())
    tracemalloc.start()
    channel_statistics([images])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.images.nbytes / 2


def test_channel_statistics_are_those_of_all_pixels() -> None:
    mean, std = channel_statistics([BASE])
    np.testing.assert_allclose(mean, (BASE.images / 255).mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(std, (BASE.images / 255).std(axis=(0, 1, 2)))


# --- runs ---


def start(chosen: Recipe) -> Checkpoint:
    return started(chosen, BASE)


def flat(state: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dictionaries and lists, by name."""
    children = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list) else None
    if children is None:
        yield path, state
    else:
        for key, child in children:
            yield from flat(child, f"{path}/{key}")


def assert_same_training(one: Checkpoint, other: Checkpoint) -> None:
    assert one.step == other.step
    for part in ("learner", "balance", "optimizer"):
        left, right = dict(flat(getattr(one, part))), dict(flat(getattr(other, part)))
        assert left.keys() == right.keys()
        for name, value in left.items():
            same = torch.equal(value, right[name]) if isinstance(value, Tensor) else value == right[name]
            assert same, f"{part}{name} differs"


def signal_at(steps: set[int], monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """Sends this process the signal in the middle of each of these steps."""
    take = Trainer.step

    def step_with_signal(self: Trainer, step: int) -> Tensor:
        if step in steps:
            signal.raise_signal(number)
        return take(self, step)

    monkeypatch.setattr(Trainer, "step", step_with_signal)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("chosen", [JOINT, TASKS], ids=["joint", "tasks"])
def test_an_interrupted_run_resumes_bit_for_bit(
    chosen: Recipe, number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight_folder, folder = tmp_path / "straight", tmp_path / "stopped"
    straight_folder.mkdir()
    folder.mkdir()
    straight = trainer(start(chosen), straight_folder).run()
    handler = signal.getsignal(number)
    with monkeypatch.context() as patch:
        signal_at({2, 9, 13}, patch, number)  # mid-epoch, at the end of an epoch, mid-epoch
        for expected in (3, 10, 14):
            with pytest.raises(Interrupted, match=f"after step {expected} of 20"):
                trainer(Checkpoint.load(folder) if expected > 3 else start(chosen), folder).run()
            assert Checkpoint.load(folder).step == expected
    assert signal.getsignal(number) is handler
    resumed = trainer(Checkpoint.load(folder), folder).run()
    assert_same_training(resumed, straight)
    assert_same_training(Checkpoint.load(folder), Checkpoint.load(straight_folder))
    assert [row["epoch"] for row in resumed.history] == [1, 2, 3, 4]


def test_training_learns_and_measures_validation_classes(tmp_path: Path) -> None:
    # Five classes of 30 images, each class of one colour.
    labels = np.repeat(np.arange(5), 30)
    images = np.broadcast_to(noise(5, 1, seed=1)[labels][:, None], (150, SIZE, SIZE, 3)).copy()
    colours = ImageSet(images, labels, BASE.classes[:5], tuple(map(str, range(150))))
    run = Trainer(started(recipe(epochs=8), colours), [TrainingSet(colours, colours)], tmp_path, fabric()).run()
    assert run.history[-1]["loss"] < 0.7 * run.history[0]["loss"]
    assert run.history[-1]["validation_1-shot"] > 0.9
    network = run.trained_backbone()
    assert not network.training
    assert network(torch.zeros(1, 3, SIZE, SIZE)).shape == (1, 4)


def test_curves_that_cannot_be_written_cost_no_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(curves, "draw", full)
    assert trainer(start(recipe(epochs=1)), tmp_path).run().finished
    assert Checkpoint.load(tmp_path).finished
    assert "the curves were not written: [Errno 28] No space left" in capsys.readouterr().out


# --- checkpoints ---


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """Writing past `limit` bytes of any file fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def saved(folder: Path) -> Checkpoint:
    checkpoint = replace(start(JOINT), step=3, learner={"weight": torch.arange(5000.0)})
    checkpoint.save(folder)
    return checkpoint


@pytest.mark.parametrize("limit", [0, 500, 15_000])
def test_a_full_disk_leaves_the_checkpoint_before(limit: int, tmp_path: Path) -> None:
    before = saved(tmp_path)
    with full_disk(limit), pytest.raises(CheckpointError, match="the checkpoint before it is untouched"):
        replace(before, step=4).save(tmp_path)
    assert_same_training(Checkpoint.load(tmp_path), before)
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        Checkpoint.load(tmp_path)
    with pytest.raises(CheckpointError, match=FILE_NAME):
        start(JOINT).save(tmp_path / "missing")


@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "text", "another format", "code"])
def test_a_damaged_checkpoint_is_refused_and_named(damage: str, tmp_path: Path) -> None:
    saved(tmp_path)
    file = tmp_path / FILE_NAME
    data = file.read_bytes()
    match damage:
        case "empty":
            file.write_bytes(b"")
        case "truncated":
            file.write_bytes(data[: len(data) // 2])
        case "flipped":
            file.write_bytes(data[:100] + bytes(byte ^ 255 for byte in data[100:200]) + data[200:])
        case "text":
            file.write_text("weights")
        case "another format":
            torch.save(torch.load(file, weights_only=True) | {"format": 99}, file)
        case _:
            torch.save(torch.load(file, weights_only=True) | {"optimizer": Path("not a tensor")}, file)
    with pytest.raises(CheckpointError, match=FILE_NAME):
        Checkpoint.load(tmp_path)


def test_scaled_crops_show_windows_of_the_image() -> None:
    ramp = torch.arange(64, dtype=torch.uint8)
    pixels = torch.stack(torch.meshgrid(ramp, ramp, indexing="ij"), dim=-1)
    pixels = torch.cat([pixels, torch.zeros(64, 64, 1, dtype=torch.uint8)], dim=2).expand(300, 64, 64, 3)  # row, column, 0
    torch.manual_seed(0)
    out = 255 * Augmentation(least_area=0.25, crop_size=32, jitter=0.0)(pixels)
    assert out.shape == (300, 3, 32, 32)
    rows, columns = out[:, 0, :, 0], out[:, 1, 0]
    heights, widths = (rows[:, -1] - rows[:, 0]).abs() / 62, (columns[:, -1] - columns[:, 0]).abs() / 62
    area = heights * widths
    assert 0.2 < area.min() < 0.35
    assert area.max() > 0.9
    assert ((widths / heights < 1.4) & (widths / heights > 0.7)).all()
    mirrored = columns[:, -1] < columns[:, 0]
    assert 0.35 < mirrored.float().mean() < 0.65
    assert (rows[:, -1] > rows[:, 0]).all()
    upright = 255 * Augmentation(least_area=0.25, flip=False, jitter=0.0)(pixels)
    assert upright.shape == (300, 3, 64, 64)
    assert (upright[:, 1, 0, -1] > upright[:, 1, 0, 0]).all()


def test_shrunk_images_lose_what_is_fine_and_keep_their_size() -> None:
    checks = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 255
    pixels = checks.to(torch.uint8)[None, :, :, None].expand(8, 64, 64, 3)
    plain = Augmentation(padding=0, jitter=0.0)(pixels)
    shrunk = Augmentation(padding=0, jitter=0.0, shrink=1.0, shrink_to=(16, 16))(pixels)
    assert shrunk.shape == plain.shape
    assert plain.std() > 0.49
    assert shrunk.std() < 0.05
    torch.manual_seed(0)
    sometimes = Augmentation(shrink=0.3)
    drawn = [sometimes.draw(1, torch.device("cpu")).shrunk_side for _ in range(400)]
    assert 0.2 < sum(map(bool, drawn)) / 400 < 0.4
    assert {side for side in drawn if side} <= set(range(28, 81))
