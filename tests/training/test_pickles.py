"""The pickles of the usual few-shot datasets: read whoever wrote them, and never run."""

import collections
import io
import os
import pickle
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from models.images.preprocess import load_image
from models.manifest import InputSpec
from tests.helpers.images import encode, noise
from training.data import safe_pickle
from training.data.class_split import carried_split
from training.data.dataset import DataError
from training.data.loading import load_images, read_originals
from training.data.sources import find_classes

SPEC = InputSpec(height=8, width=8)
IMAGES = np.stack([noise(8, 8, seed=seed) for seed in range(6)])
PARTS = ("train", "val", "test")


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes alike as Python 2's `str`."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_text(self: Any, value: str | bytes) -> None:
        content = value.encode("latin1") if isinstance(value, str) else value
        self.write(b"T" + struct.pack("<I", len(content)) + content)
        self.memoize(value)

    dispatch |= {str: save_text, bytes: save_text}


def python2(value: Any) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    return file.getvalue().replace(b"numpy._core", b"numpy.core")


WRITERS: dict[str, Callable[[Any], bytes]] = {
    "Python 2": python2,
    **{f"protocol {number}": partial(pickle.dumps, protocol=number) for number in (2, 4, 5)},
}


def cache(root: Path, write: Callable[[Any], bytes]) -> Path:
    """Six images, alternately of two classes, in each of three pickles."""
    for part in PARTS:
        by_class = collections.defaultdict(list, {f"n{part}1": [1, 3, 5], f"n{part}0": [0, 2, 4]})
        (root / f"mini-imagenet-cache-{part}.pkl").write_bytes(write({"image_data": IMAGES, "class_dict": by_class}))
    return root


def phases(root: Path, write: Callable[[Any], bytes]) -> Path:
    for name, part in (("train_phase_train", "train"), ("train_phase_val", "other"), ("val", "val"), ("test", "test")):
        names = {"catname2label": {f"n{part}0": 0, f"n{part}1": 1}}
        content = {"data": IMAGES, "labels": [0, 1, 0, 1, 0, 1], **names}
        (root / f"miniImageNet_category_split_{name}.pickle").write_bytes(write(content))
    return root


def tiered(root: Path, write: Callable[[Any], bytes]) -> Path:
    for part in PARTS:
        files = [np.frombuffer(encode(image), dtype=np.uint8).reshape(-1, 1) for image in IMAGES]
        labels = {"label_specific": np.array([0, 1, 0, 1, 0, 1], dtype=np.int32), "label_specific_str": ["crane", "cab, taxi"]}
        (root / f"{part}_images_png.pkl").write_bytes(write(files))
        (root / f"{part}_labels.pkl").write_bytes(write(labels))
    return root


FORMS: dict[str, tuple[Callable[[Path, Callable[[Any], bytes]], Path], str, str]] = {
    # form: its writer, and its two classes
    "cache": (cache, "n{}0", "n{}1"),
    "phases": (phases, "n{}0", "n{}1"),
    "tiered": (tiered, "crane ({} 0)", "cab, taxi ({} 1)"),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("form", FORMS)
def test_pickles_hold_images_classes_and_a_split(form: str, writer: str, tmp_path: Path) -> None:
    write, zero, one = FORMS[form]
    path = write(tmp_path, WRITERS[writer])
    split = carried_split([path], "mini")
    assert split is not None
    assert split.dataset == "mini"
    for found, part in zip((split.train, split.validation, split.test), PARTS, strict=True):
        assert set(found) == {zero.format(part), one.format(part)}
    assert find_classes([path]) == tuple(sorted((*split.train, *split.validation, *split.test)))

    images = load_images([path], [one.format("val"), zero.format("val")], SPEC)
    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(images.images, IMAGES[[1, 3, 5, 0, 2, 4]])
    assert images.sources[0] == f"{one.format('val')}/000001.png"
    for original, image in zip(read_originals([path], images.sources), images.images, strict=True):
        np.testing.assert_array_equal(load_image(original, SPEC), image)


@pytest.mark.parametrize("form", FORMS)
def test_another_size_is_reached_as_by_any_file(form: str, tmp_path: Path) -> None:
    write, zero, _ = FORMS[form]
    spec = InputSpec(height=5, width=6)
    found = load_images([write(tmp_path, pickle.dumps)], [zero.format("train")], spec)
    for image, original in zip(found.images, IMAGES[::2], strict=True):
        np.testing.assert_array_equal(image, load_image(encode(original), spec))


def test_pickles_are_read_one_by_one_too(tmp_path: Path) -> None:
    tiered(tmp_path, pickle.dumps)
    split = carried_split([tmp_path / "test_images_png.pkl", tmp_path / "test_labels.pkl"], "tiered")
    assert split is not None
    assert (split.train, split.validation) == ((), ())
    assert split.test == ("cab, taxi (test 1)", "crane (test 0)")


def test_images_of_classes_not_asked_for_are_not_read(tmp_path: Path) -> None:
    tiered(tmp_path, pickle.dumps)
    (tmp_path / "train_images_png.pkl").write_bytes(b"many gigabytes")
    assert len(load_images([tmp_path], ["crane (test 0)"], SPEC)) == 3
    assert len(find_classes([tmp_path])) == 6


def test_labels_without_names_do_not_mix_parts(tmp_path: Path) -> None:
    for part in PARTS:
        content = {"data": IMAGES, "labels": np.array([0, 0, 0, 7, 7, 7])}
        (tmp_path / f"mini_category_split_{part}.pickle").write_bytes(pickle.dumps(content))
    assert find_classes([tmp_path]) == ("test 0", "test 7", "train 0", "train 7", "val 0", "val 7")


def test_a_class_in_two_parts_is_refused(tmp_path: Path) -> None:
    for part in PARTS:
        content = {"image_data": IMAGES, "class_dict": {"n01": list(range(6))}}
        (tmp_path / f"mini-imagenet-cache-{part}.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match="the pickles names classes in more than one place: n01"):
        carried_split([tmp_path], "mini")


def test_class_folders_go_before_pickles_beside_them(tmp_path: Path) -> None:
    (tmp_path / "ant").mkdir()
    (tmp_path / "ant" / "1.png").write_bytes(encode(IMAGES[0]))
    cache(tmp_path, pickle.dumps)
    assert find_classes([tmp_path]) == ("ant",)
    assert carried_split([tmp_path], "ants") is None


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize(
    ("function", "name"),
    [(os.system, r"posix\.system"), (eval, r"builtins\.eval"), (np.load, r"numpy\.load"), (getattr, r"builtins\.getattr")],
)
def test_what_would_be_run_is_refused_by_name(
    function: Callable[..., Any], name: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"image_data": IMAGES, "class_dict": {"n01": Call(function, "touch ran")}}
    path = tmp_path / "mini-imagenet-cache-train.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(DataError, match=rf"cache-train\.pkl is refused: it asks for {name}, which no dataset needs"):
        find_classes([path])
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "array",
    [np.array([{}], dtype=object), np.zeros(2, dtype=[("a", "O")]), np.zeros(2, dtype="M8[s]")],
    ids=["objects", "fields", "dates"],
)
def test_arrays_of_anything_but_numbers_and_text_are_refused(array: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "train.pkl"
    path.write_bytes(pickle.dumps({"data": array, "labels": [0]}, 2))
    with pytest.raises(DataError, match=r"train\.pkl is damaged or no pickle: arrays of type"):
        find_classes([path])


def test_a_type_cannot_be_smuggled_in_with_an_array(tmp_path: Path) -> None:
    reduced: Any = IMAGES.__reduce__()
    rebuild, arguments, (version, shape, _, order, raw) = reduced

    class Forged:
        def __reduce__(self) -> Any:
            return rebuild, arguments, (version, shape, "u1", order, raw)

    path = tmp_path / "train.pkl"
    path.write_bytes(pickle.dumps(Forged()))
    with pytest.raises(DataError, match="an array without a type"):
        find_classes([path])


GOOD = {"image_data": IMAGES, "class_dict": {"n01": list(range(6))}}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x-train.pkl", pickle.dumps(GOOD)[:-300], r"x-train\.pkl is damaged or no pickle"),
        ("x-train.pkl", b"", "is damaged or no pickle"),
        ("x-train.pkl", pickle.dumps([1]), "holds neither image_data with class_dict nor data with labels"),
        ("x-train.pkl", pickle.dumps({"data": IMAGES}), "holds neither"),
        ("x-train.pkl", pickle.dumps(GOOD | {"class_dict": {"n01": [0, 1]}}), "holds neither"),
        ("x-train.pkl", pickle.dumps(GOOD | {"image_data": IMAGES / 255}), "must be uint8"),
        ("x-train.pkl", pickle.dumps(GOOD | {"image_data": IMAGES.transpose(0, 3, 1, 2)}), "must be uint8"),
        ("x-train.pkl", pickle.dumps({"data": IMAGES, "labels": [0] * 5}), "6 images with 5 labels"),
        ("x.pkl", pickle.dumps(GOOD), r"x\.pkl: the name of a pickle must end in train, val or test"),
        ("train_images_png.pkl", pickle.dumps([]), r"train_labels\.pkl: No such file"),
    ],
)
def test_a_pickle_that_cannot_be_used_is_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        find_classes([tmp_path / name])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"label_specific": [0]}, "needs label_specific"),
        ({"label_specific": [3], "label_specific_str": ["crane"]}, "needs label_s"),
    ],
)
def test_labels_that_cannot_be_used_are_named(labels: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "val_images_png.pkl").write_bytes(pickle.dumps([]))
    (tmp_path / "val_labels.pkl").write_bytes(pickle.dumps(labels))
    with pytest.raises(DataError, match=rf"val_labels\.pkl {message}"):
        find_classes([tmp_path])


def test_a_pickle_larger_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cache(tmp_path, pickle.dumps) / "mini-imagenet-cache-val.pkl"
    monkeypatch.setattr(safe_pickle, "available_memory", lambda: 1000)
    with pytest.raises(DataError, match=r"cache-val\.pkl needs 0\.0 GB of memory, and 0\.0 GB are available"):
        find_classes([path])
