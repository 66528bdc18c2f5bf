"""The Python SDK: what is sent, in how many requests, and what is refused before anything is."""

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart import Client, InvalidImage, NoImages, Predictions, RequestTooLarge, Task
from headstart.images.formats import shrink, shrink_further
from headstart.limits import Limits, ask_limits
from models.images.preprocess import load_image
from models.manifest import InputSpec
from tests.helpers.images import encode, noise, photograph
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess


@pytest.fixture
def task(client: Client, support: Labelled) -> Task:
    return client.create_task("requests", support)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a server that takes 40 examples and a megabyte at once, which the client takes for the defaults."""
    flags = ("--queue-images", "40", "--max-images", "40", "--max-body-bytes", "1000000")
    with (
        ServerProcess(tmp_path_factory.mktemp("narrow") / "data", *flags) as process,
        Client(process.url) as client,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("headstart.uploads.DEFAULT_LIMITS", Limits(body_bytes=500_000, images=10, new_examples=10))
        yield client


def test_the_server_tells_its_limits(narrow: Client, client: Client) -> None:
    told = [each._driver.run(ask_limits(each._exchange)) for each in (narrow, client)]
    assert [(each.new_examples, each.body_bytes) for each in told] == [(40, 1_000_000), (1024, 64_000_000)]


def test_predictions_are_cut_as_the_server_says(narrow: Client) -> None:
    task = narrow.create_task("cut", of(noisy, 2))
    carried: list[int] = []
    small = [encode(noise(4, 4, seed=number)) for number in range(100)]
    assert len(narrow.predict(task.id, small, progress=carried.append).checked()) == 100
    assert carried == [40, 40, 20]
    carried.clear()
    large = [noisy(number) for number in range(30)]  # 1.35 MB
    (many,) = narrow.predict_many(task.id, large, progress=carried.append)
    assert isinstance(many, Predictions)
    assert len(many.checked()) == sum(carried) == 30
    assert carried == [21, 9]


def of(kind: Callable[[int], bytes], count: int) -> Labelled:
    return [("cat" if number % 2 else "dog", kind(number)) for number in range(count)]


def noisy(number: int) -> bytes:
    """45 KB that the client makes no smaller: 16 bits a pixel."""
    return encode(Image.fromarray(np.random.default_rng(number).integers(0, 65536, (150, 150), np.uint16)))


def test_what_the_server_takes_at_once_is_one_version(narrow: Client) -> None:
    made = narrow.create_task("one", of(noisy, 16), shrink=False)  # 0.7 MB
    assert (made.version, made.examples) == (1, 16)
    assert [each.change for each in narrow.versions(made.id)] == ["created"]
    added = narrow.add_examples(made.id, of(noisy, 16), shrink=False)
    assert (added.version, added.examples) == (2, 32)


@pytest.mark.parametrize("shrink", [True, False])
def test_more_than_that_is_refused_with_the_reason_and_nothing_is_sent(narrow: Client, shrink: bool) -> None:
    before = {task.id for task in narrow.tasks()}
    told = r"24 examples take (at least )?1\.\d MB, of which image \d+ takes 0\.0 MB; the server takes 1 MB .* --max-body-bytes"
    with pytest.raises(RequestTooLarge, match=told):
        narrow.create_task("large", of(noisy, 24), shrink=shrink)
    with pytest.raises(RequestTooLarge, match=r"41 examples are more than the 40 .* add the others .* --queue-images"):
        narrow.create_task("many", of(lambda number: encode(noise(4, 4, seed=number)), 41), shrink=shrink)
    assert {task.id for task in narrow.tasks()} == before
    task = narrow.create_task("small", of(noisy, 2))
    with pytest.raises(RequestTooLarge):
        narrow.add_examples(task.id, of(noisy, 24), shrink=shrink)
    assert [each.version for each in narrow.versions(task.id)] == [1]


def test_many_photographs_are_made_small_enough_for_one_request(narrow: Client) -> None:
    photographs = of(lambda number: encode(photograph(1000, 800, number), "JPEG", quality=95), 30)
    first = [shrink(image, 32) for _, image in photographs]
    assert sum(map(len, first)) > 1_000_000 > sum(len(shrink_further(image, 32, 80, 0)) for image in first)
    made = narrow.create_task("album", photographs)
    assert (made.version, made.examples) == (1, 30)
    sizes = []
    for example in narrow.examples(made.id):
        with Image.open(io.BytesIO(narrow.example_image(made.id, example.id))) as image:
            sizes.append(image.size)
    assert len(set(sizes)) == 1, "no class looks better than another"


def test_what_is_shrunk_further_looks_the_same() -> None:
    spec = InputSpec(height=112, width=112)
    faint = photograph(700, 600)
    faint.putalpha(Image.linear_gradient("L").resize(faint.size))
    pictures = [encode(photograph(700, 600).convert(mode), "JPEG", quality=95) for mode in ("RGB", "L")]
    for data in (*pictures, encode(faint), encode(photograph(700, 600).convert("P"))):
        for quality, least, side in ((85, 512, 512), (80, 0, 224)):
            small = shrink_further(data, 112, quality, least)
            with Image.open(io.BytesIO(small)) as image:
                assert min(image.size) == side
            difference = load_image(small, spec).astype(float) - load_image(data, spec)
            assert np.abs(difference).mean() < 2.5
    for kept in (b"no image", b"", noisy(0)):
        assert shrink_further(kept, 112, 80, 0) == kept


def test_a_class_that_cannot_be_read_leaves_no_version_behind(client: Client, task: Task, support: Labelled) -> None:
    with pytest.raises(NoImages, match="no image of poppy can be read"):
        client.add_examples(task.id, [*support, ("poppy", b"no image")], broken=lambda *_: None)
    assert [each.version for each in client.versions(task.id)] == [1]


def test_an_image_larger_than_a_request_takes_its_place(narrow: Client, tmp_path: Path) -> None:
    task = narrow.create_task("places", of(noisy, 2))
    huge, fine = tmp_path / "huge.png", noisy(1)
    huge.write_bytes(bytes(1_100_000))
    found = narrow.predict(task.id, [fine, huge, fine])
    assert {position: each.code for position, each in found.unreadable.items()} == {1: "body_too_large"}
    with pytest.raises(InvalidImage, match=f"^{huge}: the request body is larger than the limit") as alone:
        narrow.predict(task.id, huge)
    assert (alone.value.status, alone.value.code) == (413, "body_too_large")


class TestKinds:
    def test_an_open_file_is_one_image(self, client: Client, task: Task, tmp_path: Path) -> None:
        """Read line by line, this one would be many."""
        path = tmp_path / "lines.png"
        path.write_bytes(encode(noise(64, 64)))
        assert path.read_bytes().count(b"\n") > 5
        for opened in (path.open("rb"), path.open("rb", buffering=0), io.BytesIO(path.read_bytes())):
            with opened:
                assert len(client.predict(task.id, opened)) == 1
        with path.open("rb") as one, path.open("rb") as two:
            assert len(client.predict(task.id, [one, two])) == 2
        with path.open("rb") as one, path.open("rb") as two:
            examples: dict[str, Any] = {"a": one, "b": [two]}
            assert client.create_task("open", examples).examples == 2

    @pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3), (6, 5, 4)])
    def test_arrays_show_their_pixels(self, client: Client, shape: tuple[int, ...]) -> None:
        array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        made = client.create_task("arrays", [("a", array), ("b", np.zeros((8, 8), np.uint8))])
        (example, _) = client.examples(made.id)
        with Image.open(io.BytesIO(client.example_image(made.id, example.id))) as stored:
            assert np.array_equal(np.asarray(stored), array.reshape(np.asarray(stored).shape))

    def test_sixteen_bits_and_transparency_survive(self, client: Client) -> None:
        deep = Image.fromarray(np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8))
        clear = Image.new("PA", (8, 8))
        made = client.create_task("deep", [("a", deep), ("b", clear)])
        images = [client.example_image(made.id, example.id) for example in client.examples(made.id)]
        with Image.open(io.BytesIO(images[0])) as first, Image.open(io.BytesIO(images[1])) as second:
            assert np.array_equal(np.asarray(first), np.asarray(deep))
            assert second.mode == "RGBA"

    @pytest.mark.parametrize(
        ("images", "message"),
        [
            (5, r"^images: an image is a path, .* not int$"),
            (None, r"^images: .* not NoneType$"),
            ({"a": b"1"}, r"^images: .* not dict$"),
            ([b"1", None], r"^images\[1\]: .* not NoneType$"),
            ([b"1", [b"2"]], r"^images\[1\]: .* not list$"),
            (np.zeros((4, 4), np.float32), r"^images: .* of uint8 .* not of float32, \(4, 4\)$"),
            (np.zeros((4, 4, 2), np.uint8), r"^images: .* not of uint8, \(4, 4, 2\)$"),
            ([np.zeros((0, 4, 3), np.uint8)], r"^images\[0\]: .*\(0, 4, 3\)$"),
            (np.zeros(4, np.uint8), r"^images\[0\]: .* not uint8$"),
            (io.StringIO("text"), r"^images: .* not a file opened to read text; open it with mode 'rb'$"),
            ([b"1", 1.5], r"^images\[1\]: .* not float$"),
        ],
    )
    def test_what_is_no_image_is_told_before_anything_is_sent(self, images: Any, message: str) -> None:
        with Client("http://127.0.0.1:9") as nobody:
            with pytest.raises(TypeError, match=message):
                nobody.predict("task_1", images)
            with pytest.raises(TypeError, match=message):
                nobody.predict_many("all", images)

    @pytest.mark.parametrize(
        ("examples", "message"),
        [
            (5, "^examples: a folder, images by label, or .* not int"),
            (b"bytes", r"^examples\[0\]: a \(label, image\) pair, not int"),
            (["a.jpg"], r"^examples\[0\]: a \(label, image\) pair, not str"),
            ([("a", b"1"), ("b",)], r"^examples\[1\]: a \(label, image\) pair"),
            ([(1, b"1")], r"^examples\[0\]: a label is text, not int"),
            ([("a", 1.5)], r"^examples\[0\]: an image is .* not float"),
            ({"a": [b"1", 2]}, r"^examples\['a'\]\[1\]: an image is .* not int"),
            ({3: [b"1"]}, r"^examples: a label is text, not int"),
        ],
    )
    def test_what_is_no_example_is_told_before_anything_is_sent(self, examples: Any, message: str) -> None:
        with Client("http://127.0.0.1:9") as nobody:
            with pytest.raises(TypeError, match=message):
                nobody.create_task("none", examples)
            with pytest.raises(TypeError, match=message):
                nobody.add_examples("task_1", examples)

    def test_a_file_that_gives_text_is_told(self, client: Client, task: Task) -> None:
        class Texts:
            def read(self) -> str:
                return "text"

        with pytest.raises(TypeError, match="image 1: its file gives str and not bytes"):
            client.predict(task.id, [Texts()])  # type: ignore[list-item]


class TestNames:
    def test_files_are_named_and_what_has_no_file_is_not(self, client: Client, tmp_path: Path) -> None:
        path = tmp_path / "Übung “1”; 2.png"
        path.write_bytes(encode(noise(8, 8)))
        with path.open("rb") as opened, Image.open(path) as picture:
            given: list[Any] = [
                path,
                str(path),
                opened,
                picture,
                path.read_bytes(),
                io.BytesIO(path.read_bytes()),
                np.zeros((4, 4), np.uint8),
            ]
            made = client.create_task("named", {"b": given[:1], "a": given[1:]})
        assert [example.file_name for example in client.examples(made.id)] == [path.name] * 4 + [None] * 3
        assert client.predict(made.id, path).checked()[0].nearest[0].file_name == path.name
        quality = client.quality(made.id)
        assert {(each.file_name, each.of_file_name) for each in quality.duplicates} >= {(path.name, path.name)}

    def test_errors_name_the_path_whatever_the_request(
        self, client: Client, task: Task, support: Labelled, tmp_path: Path
    ) -> None:
        bad, good = tmp_path / "bad.jpg", tmp_path / "good.png"
        bad.write_bytes(b"no image")
        good.write_bytes(support[0][1])
        with pytest.raises(InvalidImage) as alone:
            client.predict(task.id, bad)
        assert alone.value.detail.startswith(f"{bad}: the ")
        # The last image is alone in its request, where the server refuses it.
        several = client.predict(task.id, [good] * 256 + [bad])
        (unreadable,) = several.unreadable.values()
        assert not re.search("image [0-9]", alone.value.detail + unreadable.detail)
        with Image.open(good) as picture, pytest.raises(InvalidImage) as among:
            client.add_examples(task.id, [("a", picture), ("a", bad), ("a", b"x")])
        assert among.value.detail.split("; ")[1:] == ["image 3: the file is not a JPEG, PNG, WebP, HEIC or AVIF image"]
        assert among.value.detail.startswith(f"{bad}: the file")
