"""Bad input over real HTTP: the documented status and code, never a 5xx, a hang, or a word about the server's insides."""

import io
import socket
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from models.images.preprocess import load_image
from models.manifest import InputSpec
from tests.helpers.images import animated, encode, exif, noise, png16, raw_png
from tests.helpers.problems import assert_problem
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import as_archive, as_json, base64_of, create, multipart, predict, queries, zip_of

PHOTO = encode(noise(48, 64), "JPEG")
SMALL_LIMITS = (
    "--max-body-bytes",
    "200000",
    "--max-image-bytes",
    "50000",
    "--max-images",
    "8",
    "--queue-images",
    "8",
    "--max-classes",
    "4",
)

BROKEN_IMAGES = {
    "not an image": (b"hello, world", 422, "image_unsupported"),
    "no bytes": (b"", 422, "image_unsupported"),
    "truncated JPEG": (PHOTO[: len(PHOTO) // 2], 422, "image_broken"),
    "PNG of 30,000 x 30,000": (raw_png(30_000, 30_000, 8, 2, b""), 413, "image_too_large"),
    "GIF renamed to .png": (encode(noise(8, 8), "GIF"), 422, "image_unsupported"),
    "TIFF": (encode(noise(8, 8), "TIFF"), 422, "image_unsupported"),
}


@pytest.fixture(scope="module")
def task(server: ServerProcess, support: Labelled) -> str:
    with httpx.Client(base_url=server.url, timeout=60) as api:
        id_: str = create(api, support)["id"]
        return id_


class TestImages:
    @pytest.mark.parametrize("name", BROKEN_IMAGES)
    def test_the_only_image_of_a_prediction(self, api: httpx.Client, task: str, name: str) -> None:
        image, status, code = BROKEN_IMAGES[name]
        path = f"/v1/tasks/{task}/predict"
        assert_problem(api.post(path, **queries([image])), status, code)
        assert_problem(api.post(path, content=image, headers={"Content-Type": "image/png"}), status, code)
        assert_problem(api.post(path, json={"images": [base64_of(image)]}), status, code)

    @pytest.mark.parametrize("name", BROKEN_IMAGES)
    def test_one_of_a_support_set_refuses_the_whole(self, api: httpx.Client, support: Labelled, name: str) -> None:
        image, status, code = BROKEN_IMAGES[name]
        response = api.post("/v1/tasks", **multipart([*support[:6], ("broken", image)]))
        assert_problem(response, status, code)
        assert "image 7 of 7" in response.json()["detail"]
        (unreadable,) = response.json()["images"]
        assert (unreadable["position"], unreadable["code"]) == (6, code)
        assert response.json()["detail"].endswith(unreadable["detail"])

    def test_in_a_support_set_all_are_listed(self, api: httpx.Client, support: Labelled) -> None:
        response = api.post("/v1/tasks", **multipart([("a", b"x"), *support[:3], ("b", PHOTO[:50]), support[4]]))
        assert [(each["position"], each["code"]) for each in response.json()["images"]] == [
            (0, "image_unsupported"),
            (4, "image_broken"),
        ]
        named = api.post("/v1/tasks", **as_archive([("a/1.png", PHOTO), ("b/Füße.jpg", b"x"), ("b/2.png", PHOTO)]))
        assert_problem(named, 422, "image_unsupported")
        assert named.json()["detail"].startswith("b/Füße.jpg: ")
        assert [each["position"] for each in named.json()["images"]] == [2]

    def test_all_broken_each_answered_in_its_place(self, api: httpx.Client, task: str) -> None:
        answers = predict(api, task, [image for image, _, _ in BROKEN_IMAGES.values()])
        assert [answer["error"]["code"] for answer in answers] == [code for _, _, code in BROKEN_IMAGES.values()]

    @pytest.mark.parametrize(
        "image",
        [
            encode(Image.fromarray(noise(40, 50)).convert("CMYK"), "JPEG"),
            png16(noise(40, 50, 1)[..., 0].astype(np.uint16) * np.uint16(257)),
            encode(Image.fromarray(noise(40, 50)).convert("P")),
            encode(noise(40, 50, 4)),
            encode(noise(40, 50), "JPEG", exif=exif(6)),
            animated([noise(40, 50, seed=i) for i in range(3)], "WEBP"),
            animated([noise(40, 50, seed=i) for i in range(3)], "PNG"),
        ],
        ids=["CMYK", "16-bit", "palette", "alpha", "EXIF-rotated", "animated WebP", "animated PNG"],
    )
    def test_odd_but_sound_images_are_the_documented_pixels(self, api: httpx.Client, task: str, image: bytes) -> None:
        """What `load_image` makes of them is tested by itself; here, that the server sees those very pixels."""
        pixels = load_image(image, InputSpec(height=32, width=32))
        odd, plain = predict(api, task, [image, encode(pixels)])
        assert odd["scores"] == pytest.approx(plain["scores"], abs=1e-6)


LABELS = {
    "empty": ("", "invalid_label"),
    "blank": ("   ", "invalid_label"),
    "129 characters": ("x" * 129, "invalid_label"),
    "control characters": ("a\x07b", "invalid_label"),
    "newline inside": ("a\nb", "invalid_label"),
}


class TestSupportSets:
    @pytest.mark.parametrize("name", LABELS)
    def test_labels(self, api: httpx.Client, support: Labelled, name: str) -> None:
        label, code = LABELS[name]
        examples = [support[0], (label, support[5][1])]
        assert_problem(api.post("/v1/tasks", **multipart(examples)), 422, code)
        assert_problem(api.post("/v1/tasks", **as_json(examples)), 422, code)

    def test_a_label_of_128_characters_is_fine(self, api: httpx.Client, support: Labelled) -> None:
        assert len(create(api, [support[0], ("x" * 128, support[5][1])])["classes"]) == 2

    def test_one_class_only(self, api: httpx.Client, support: Labelled) -> None:
        assert_problem(api.post("/v1/tasks", **multipart(support[:5])), 422, "too_few_classes")

    @pytest.mark.parametrize(
        "body",
        [
            {"data": {"labels": ["a", "b"]}, "files": [("archive_", b"")]},
            {"data": {"labels": ["a"]}, "files": [("images", PHOTO), ("images", PHOTO)]},
            {"data": {"labels": ["a", "b", "c"]}, "files": [("images", PHOTO), ("images", PHOTO)]},
            {"files": [("labels", b"a"), ("images", PHOTO)]},
            {"data": {"images": "text", "labels": "a"}, "files": {"images": PHOTO}},
            {"data": {"options": "{"}, "files": {"images": PHOTO}},
            {"data": {"options": '{"solver": "magic"}'}, "files": {"images": PHOTO}},
            {"data": {"options": '{"C": -1}'}, "files": {"images": PHOTO}},
            {"data": {"options": '{"C": 1e999}'}, "files": {"images": PHOTO}},
            {"data": {"name": "n" * 129}, "files": {"images": PHOTO}},
            {"content": b"{", "headers": {"Content-Type": "application/json"}},
            {"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}},
            {"content": b"\xff\xfe", "headers": {"Content-Type": "application/json"}},
            {"json": {"examples": "no"}},
            {"json": {"examples": []}},
            {"json": {"examples": [{"label": "a", "image": "not base64!"}]}},
            {"json": {"examples": [{"label": "a", "image": "https://example.com/cat.jpg"}]}},
            {"json": {"examples": [], "surprise": 1}},
            {"content": b"--x\r\nno headers", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            {"content": b"", "headers": {"Content-Type": "multipart/form-data"}},
            {
                "content": b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xff\r\n--x--\r\n',
                "headers": {"Content-Type": "multipart/form-data; boundary=x; charset=undefined"},
            },
            {"json": {"examples": [], "x" * 100_000: 1}},
            {"json": {"name": "a\nb", "examples": []}},
        ],
        ids=str,
    )
    def test_bodies_that_are_none_of_the_documented_forms(self, api: httpx.Client, body: dict[str, Any]) -> None:
        assert_problem(api.post("/v1/tasks", **body), 422, "invalid_request")

    @pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "image/gif", ""])
    def test_content_types(self, api: httpx.Client, task: str, media_type: str) -> None:
        headers = {"Content-Type": media_type} if media_type else {}
        paths = ["/v1/tasks", f"/v1/tasks/{task}/examples"]
        for path in [*paths, f"/v1/tasks/{task}/predict"] if media_type else paths:
            assert_problem(api.post(path, content=PHOTO, headers=headers), 415, "unsupported_media_type")


def bomb() -> bytes:
    return zip_of([("a/1.png", bytes(60_000_000)), ("b/1.png", bytes(60_000_000))], zipfile.ZIP_DEFLATED)


def encrypted() -> bytes:
    data = bytearray(zip_of([("a/1.png", PHOTO), ("b/1.png", PHOTO)]))
    for start in (data.find(b"PK\x03\x04") + 6, data.find(b"PK\x01\x02") + 8):
        data[start] |= 1
    return bytes(data)


def lying_directory() -> bytes:
    data = bytearray(zip_of([("a/1.png", PHOTO), ("b/1.png", PHOTO)]))
    struct.pack_into("<I", data, data.rfind(b"PK\x05\x06") + 12, 2**31)
    return bytes(data)


ARCHIVES: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "leaves itself": (lambda: zip_of([("../a/1.png", PHOTO), ("b/1.png", PHOTO)]), 422, "invalid_archive"),
    "absolute path": (lambda: zip_of([("/a/1.png", PHOTO), ("b/1.png", PHOTO)]), 422, "invalid_archive"),
    "backslashes out": (lambda: zip_of([("a\\..\\..\\1.png", PHOTO), ("b/1.png", PHOTO)]), 422, "invalid_archive"),
    "bomb": (bomb, 413, "image_too_large"),
    "bzip2 bomb": (
        lambda: zip_of([("a/1.png", bytes(60_000_000)), ("b/1.png", PHOTO)], zipfile.ZIP_BZIP2),
        422,
        "invalid_archive",
    ),
    "LZMA": (lambda: zip_of([("a/1.png", PHOTO), ("b/1.png", PHOTO)], zipfile.ZIP_LZMA), 422, "invalid_archive"),
    "no name": (lambda: zip_of([(".", PHOTO), ("b/1.png", PHOTO)]), 422, "invalid_archive"),
    "stray file at the root": (
        lambda: zip_of([("notes.txt", b"x"), ("a/1.png", PHOTO), ("b/1.png", PHOTO)]),
        422,
        "invalid_archive",
    ),
    "stray file in a class": (
        lambda: zip_of([("a/notes.txt", b"x"), ("a/1.png", PHOTO), ("b/1.png", PHOTO)]),
        422,
        "image_unsupported",
    ),
    "encrypted": (encrypted, 422, "invalid_archive"),
    "lying directory": (lying_directory, 422, "limit_exceeded"),
    "not a zip": (lambda: b"PK\x03\x04 no", 422, "invalid_archive"),
    "truncated": (lambda: zip_of([("a/1.png", PHOTO), ("b/1.png", PHOTO)])[:-30], 422, "invalid_archive"),
    "empty": (lambda: zip_of([]), 422, "invalid_request"),
    "one class": (lambda: zip_of([("a/1.png", PHOTO)]), 422, "too_few_classes"),
    "bad folder name": (lambda: zip_of([("a\x07/1.png", PHOTO), ("b/1.png", PHOTO)]), 422, "invalid_label"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives(api: httpx.Client, name: str) -> None:
    make, status, code = ARCHIVES[name]
    response = api.post("/v1/tasks", files={"archive": ("a.zip", make())})
    assert_problem(response, status, code)


def test_an_archive_beside_images(api: httpx.Client) -> None:
    body: dict[str, Any] = {"files": [("archive", zip_of([("a/1.png", PHOTO)])), ("images", PHOTO)], "data": {"labels": "a"}}
    assert_problem(api.post("/v1/tasks", **body), 422, "invalid_request")


class TestUnknown:
    @pytest.mark.parametrize("id_", ["task_nothing", "x" * 5000, "%00", "task_%2e%2e", "ü", "'; drop table tasks; --"])
    def test_tasks(self, api: httpx.Client, id_: str) -> None:
        path = f"/v1/tasks/{id_}"
        assert_problem(api.get(path), 404, "task_not_found")
        assert_problem(api.delete(path), 404, "task_not_found")
        assert_problem(api.post(f"{path}/predict", **queries([PHOTO])), 404, "task_not_found")
        assert_problem(api.post(f"{path}/examples", **multipart([("a", PHOTO)])), 404, "task_not_found")
        assert_problem(api.patch(path, json={"name": "x"}), 404, "task_not_found")

    def test_an_unknown_task_is_answered_before_its_body_is_looked_at(self, api: httpx.Client) -> None:
        response = api.post("/v1/tasks/nothing/predict", content=b"?", headers={"Content-Type": "text/plain"})
        assert_problem(response, 404, "task_not_found")

    def test_versions_and_examples(self, api: httpx.Client, task: str) -> None:
        path = f"/v1/tasks/{task}"
        assert_problem(api.patch(path, json={"active_version": 99}), 404, "version_not_found")
        assert_problem(api.delete(f"{path}/examples/nothing"), 404, "example_not_found")
        assert_problem(api.get(f"{path}/examples/nothing/image"), 404, "example_not_found")

    @pytest.mark.parametrize(
        "patch", [{}, {"active_version": 0}, {"active_version": "x"}, {"name": ""}, {"name": 1}, {"name": "a\0b"}, {"a": 1}]
    )
    def test_patches(self, api: httpx.Client, task: str, patch: dict[str, Any]) -> None:
        assert_problem(api.patch(f"/v1/tasks/{task}", json=patch), 422, "invalid_request")

    @pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=99999", "cursor=%00", "cursor=garbage"])
    def test_queries(self, api: httpx.Client, query: str) -> None:
        assert_problem(api.get(f"/v1/tasks?{query}"), 422, "invalid_request")

    def test_top_k(self, api: httpx.Client, task: str) -> None:
        assert_problem(api.post(f"/v1/tasks/{task}/predict?top_k=0", **queries([PHOTO])), 422, "invalid_request")

    def test_paths_and_methods(self, api: httpx.Client) -> None:
        assert_problem(api.get("/nowhere"), 404, "not_found")
        assert_problem(api.put("/v1/tasks"), 405, "method_not_allowed")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[httpx.Client]:
    """A client of a server with small limits."""
    folder = tmp_path_factory.mktemp("small") / "data"
    flags = (*small_flags, *SMALL_LIMITS)
    with ServerProcess(folder, *flags) as process, httpx.Client(base_url=process.url, timeout=30) as client:
        yield client


class TestLimits:
    def test_body(self, small: httpx.Client) -> None:
        too_much = bytes(300_000)
        assert_problem(small.post("/v1/tasks", files={"archive": too_much}), 413, "body_too_large")
        headers = {"Content-Type": "application/json"}
        assert_problem(small.post("/v1/tasks", content=too_much, headers=headers), 413, "body_too_large")
        in_chunks = (bytes(10_000) for _ in range(30))
        response = small.post("/v1/tasks", content=in_chunks, headers=headers)
        assert_problem(response, 413, "body_too_large")
        assert "200000" in response.json()["detail"]

    def test_image(self, small: httpx.Client) -> None:
        large = encode(noise(200, 200))
        response = small.post("/v1/tasks", **multipart([("a", large), ("b", PHOTO)]))
        assert_problem(response, 413, "image_too_large")
        assert "50000" in response.json()["detail"]

    @pytest.mark.parametrize("count", [9, 30])
    def test_images_of_a_request(self, small: httpx.Client, count: int) -> None:
        tiny = encode(noise(4, 4))
        bodies = (
            multipart([(str(i % 2), tiny) for i in range(count)]),
            as_json([(str(i % 2), tiny) for i in range(count)]),
            as_archive([(f"{i % 2}/{i}.png", tiny) for i in range(count)]),
        )
        for body in bodies:
            response = small.post("/v1/tasks", **body)
            assert_problem(response, 422, "limit_exceeded")
            assert "the limit is 8" in response.json()["detail"]

    def test_classes_of_a_task(self, small: httpx.Client) -> None:
        tiny = encode(noise(4, 4))
        response = small.post("/v1/tasks", **multipart([(str(i), tiny) for i in range(5)]))
        assert_problem(response, 422, "limit_exceeded")
        task = create(small, [(str(i), tiny) for i in range(4)])["id"]
        assert_problem(small.post(f"/v1/tasks/{task}/examples", **multipart([("4", tiny)])), 422, "limit_exceeded")


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    """A server that waits half a second for the rest of a body."""
    with ServerProcess(tmp_path_factory.mktemp("hasty") / "data", *small_flags, "--body-timeout", "0.5") as process:
        yield process
        assert "Traceback" not in process.log()


def test_a_body_of_wrong_values_is_refused_at_the_first(api: httpx.Client, task: str) -> None:
    """One error per value would cost hundreds of times the body in memory."""
    body = b'{"images": [' + b"0," * 1_000_000 + b"0]}"
    response = api.post(f"/v1/tasks/{task}/predict", content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 422, "invalid_request")
    assert len(response.content) < 1000


def test_a_needless_body_over_the_limit_is_told(small: httpx.Client) -> None:
    tiny = encode(noise(4, 4))
    task = create(small, [("a", tiny), ("b", tiny), ("b", tiny)])["id"]
    example = small.get(f"/v1/tasks/{task}/examples").json()["examples"][0]["id"]
    response = small.request("DELETE", f"/v1/tasks/{task}/examples/{example}", content=bytes(300_000))
    assert response.json().get("code") in {"body_too_large", "too_few_classes"}


class TestCutOff:
    """Requests that stop in the middle, on a raw socket."""

    @staticmethod
    def half_a_request(process: ServerProcess) -> socket.socket:
        host, port = process.url.removeprefix("http://").split(":")
        connection = socket.create_connection((host, int(port)), timeout=10)
        head = f"POST /v1/tasks HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        part = '--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\nhalf an ima'
        connection.sendall(f"{head}Content-Length: 5000\r\n\r\n{part}".encode())
        return connection

    def test_a_client_that_stalls_is_answered(self, hasty: ServerProcess) -> None:
        with self.half_a_request(hasty) as connection:
            answer = connection.makefile("rb").read(4000)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b'"code":"body_timeout"' in answer

    def test_a_client_that_leaves_disturbs_nobody(self, hasty: ServerProcess) -> None:
        for _ in range(20):
            self.half_a_request(hasty).close()
        assert httpx.get(f"{hasty.url}/readyz").status_code == 200


def test_the_log_holds_no_label_and_no_traceback(tmp_path: Path, small_flags: tuple[str, ...], support: Labelled) -> None:
    with ServerProcess(tmp_path / "data", *small_flags, "--log-format", "json") as process:
        with httpx.Client(base_url=process.url, timeout=30) as api:
            task = create(api, [("secret label", support[0][1]), ("other secret", support[5][1])])["id"]
            predict(api, task, [support[0][1], b"broken"])
            api.post("/v1/tasks", **multipart([("secret\x07", b"")]))
        process.stop()
        assert "secret" not in process.log()
        assert "Traceback" not in process.log()
        assert f"/v1/tasks/{task}/predict" in process.log()


def test_images_can_be_read_by_pillow_as_they_come_back(api: httpx.Client, task: str) -> None:
    path = f"/v1/tasks/{task}/examples"
    example = api.get(path, params={"limit": 1}).json()["examples"][0]
    assert Image.open(io.BytesIO(api.get(f"{path}/{example['id']}/image").content)).format == "PNG"
