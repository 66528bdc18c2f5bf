"""Bodies as many senders write them: each means what it says, or is refused in words, and costs no more than its size."""

import base64
import codecs
import encodings
import gzip
import json
import re
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.bundle import PAPER_BUNDLE
from server.errors import InvalidRequest
from server.http.bodies import forms
from tests.helpers.images import encode, noise
from tests.helpers.problems import assert_problem
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import as_archive, as_json, base64_of, create, multipart, predict, queries

PHOTO = encode(noise(48, 64), "JPEG")
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.fixture(scope="module")
def task(server: ServerProcess, support: Labelled) -> str:
    with httpx.Client(base_url=server.url, timeout=60) as api:
        id_: str = create(api, support)["id"]
        return id_


def part(field: str, content: bytes, *headers: str, filename: str | None = None) -> bytes:
    name = f'form-data; name="{field}"' + ("" if filename is None else f'; filename="{filename}"')
    head = "\r\n".join([f"Content-Disposition: {name}", *headers])
    return b"--x\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes, charset: str = "") -> dict[str, Any]:
    """Keyword arguments of `httpx.Client.post` for a form of these parts, byte for byte."""
    declared = f"{FORM['Content-Type']}{charset and f'; charset={charset}'}"
    return {"content": b"".join(parts) + b"--x--\r\n", "headers": {"Content-Type": declared}}


def as_sent(examples: Labelled, label: bytes, *headers: str) -> list[bytes]:
    """The parts of a form of two examples, the first with this label."""
    (_, first), (other, second) = examples[0], examples[5]
    images = [part("images", image, filename=f"{i}.png") for i, image in enumerate((first, second))]
    return [*images, part("labels", label, *headers), part("labels", other.encode())]


def labels_of(response: httpx.Response) -> list[str]:
    assert response.status_code == 201, response.text
    return [entry["label"] for entry in response.json()["classes"]]


class TestLargeJson:
    """Nothing is read beyond the first fault, and no body costs many times its size."""

    @staticmethod
    def peak(server: ServerProcess, anew: bool = False) -> int:
        """The most memory that the server has had, in bytes: ever, or from now on (proc(5), clear_refs)."""
        process = Path(f"/proc/{server.process.pid}")
        if not process.exists():
            pytest.skip("needs Linux")
        if anew:
            (process / "clear_refs").write_text("5")
        status = process / "status"
        return 1024 * int(status.read_text().partition("VmHWM:")[2].split()[0])

    @pytest.mark.parametrize(
        ("path", "item", "around"),
        [
            ("/v1/tasks", '"k%d":0', "{%s}"),
            ("/v1/predict", '"task_%d"', '{"images":["aaaa"],"tasks":[%s]}'),
            ("/v1/predict", '""', '{"images":[%s]}'),
            ("/v1/tasks", '{"label":"a","image":""}', '{"examples":[%s]}'),
            ("/v1/tasks", '"k%d":0', '{"examples":[{"label":"a","image":"","b":{%s}}]}'),
            ("/v1/refreshes", '"task_%d"', '{"to":"a@1","tasks":[%s]}'),
        ],
    )
    def test_of_what_is_unknown(self, server: ServerProcess, api: httpx.Client, path: str, item: str, around: str) -> None:
        count = 8_000_000 // (len(item) + 6)
        body = (around % ",".join(item % i if "%d" in item else item for i in range(count))).encode()
        before = self.peak(server)
        response = api.post(path, content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == 422, response.text
        assert response.json()["code"] in {"invalid_request", "limit_exceeded"}
        assert self.peak(server) - before < 3 * len(body)

    def test_that_is_sound(self, server: ServerProcess, api: httpx.Client, task: str) -> None:
        image = encode(noise(1400, 1400))
        body = json.dumps({"images": [base64_of(image)] * 4}).encode()

        def predict_all() -> None:
            response = api.post(f"/v1/tasks/{task}/predict", content=body, headers={"Content-Type": "application/json"})
            assert len(response.json()["predictions"]) == 4

        predict_all()  # The first large body also pays for memory that the allocator keeps from then on.
        before = self.peak(server, anew=True)
        predict_all()
        decoding = 4 * 3 * 1400 * 1400
        assert self.peak(server) - before < 3 * len(body) + decoding

    def test_without_images_it_may_be_small_only(self, api: httpx.Client, task: str) -> None:
        large = {"name": " " * 70_000}
        assert_problem(api.patch(f"/v1/tasks/{task}", json=large), 413, "body_too_large")
        assert_problem(api.patch("/v1/backbones/a@1", json=large), 413, "body_too_large")
        assert_problem(api.post("/v1/backbones", json=large), 413, "body_too_large")
        assert_problem(api.post(f"/v1/tasks/{task}/compare", json=large), 413, "body_too_large")

    def test_nothing_is_looked_up_beyond_the_first_task_that_is_unknown(self, api: httpx.Client, task: str) -> None:
        """A refresh of every id of this body at once would keep the store busy for seconds."""
        ids = [task, *(f"task_{i:026}" for i in range(140_000))]
        bodies = {"/v1/predict": {"images": ["aaaa"], "tasks": ids}, "/v1/refreshes": {"to": PAPER_BUNDLE, "tasks": ids}}
        for path, body in bodies.items():
            content = json.dumps(body, separators=(",", ":")).encode()
            response = api.post(path, content=content, headers={"Content-Type": "application/json"})
            assert_problem(response, 404, "task_not_found")
            assert response.json()["detail"] == f"there is no task {ids[1]!r}"
        assert_problem(
            api.post("/v1/predict", **form(part("tasks", b"a," * 450_000), part("tasks", b"a"))), 422, "limit_exceeded"
        )

    def test_the_first_fault_is_told(self, api: httpx.Client) -> None:
        body = b'{"examples": [{"label": "a", "image": ""}], "first": 0,' + b'"x": 0,' * 400_000 + b'"x": 0}'
        response = api.post("/v1/tasks", content=body, headers={"Content-Type": "application/json"})
        assert_problem(response, 422, "invalid_request")
        assert "`first`" in response.json()["detail"]


class TestTypesOfJson:
    @pytest.mark.parametrize(
        "patch",
        [{"active_version": True}, {"active_version": "1"}, {"active_version": 1.5}, {"name": 1}, {"name": ["a"]}],
        ids=str,
    )
    def test_of_a_change(self, api: httpx.Client, task: str, patch: dict[str, Any]) -> None:
        assert_problem(api.patch(f"/v1/tasks/{task}", json=patch), 422, "invalid_request")

    @pytest.mark.parametrize(
        "options", [{"centre": 1}, {"centre": "true"}, {"C": "3"}, {"C": True}, {"C": 0}, {"temperature": 1e9}, {"solver": 1}]
    )
    def test_of_options(self, api: httpx.Client, support: Labelled, task: str, options: dict[str, Any]) -> None:
        assert_problem(api.post("/v1/tasks", **as_json(support, options=options)), 422, "invalid_request")
        assert_problem(api.post("/v1/tasks", **multipart(support, options=json.dumps(options))), 422, "invalid_request")
        compared = {"candidates": [{"options": options}]}
        assert_problem(api.post(f"/v1/tasks/{task}/compare", json=compared), 422, "invalid_request")

    @pytest.mark.parametrize("default", [1, "true", False, None])
    def test_of_the_default(self, api: httpx.Client, default: object) -> None:
        assert_problem(api.patch("/v1/backbones/a@1", json={"default": default}), 422, "invalid_request")

    @pytest.mark.parametrize("drop", ["0.1", True, 2])
    def test_of_a_refresh(self, api: httpx.Client, drop: object) -> None:
        assert_problem(api.post("/v1/refreshes", json={"to": "a@1", "max_drop": drop}), 422, "invalid_request")


class TestCutForms:
    def test_every_cut_is_refused(self, api: httpx.Client, task: str) -> None:
        whole = form(*(part("images", PHOTO, filename=f"{i}.jpg") for i in range(3)))
        body, path = whole["content"], f"/v1/tasks/{task}/predict"
        assert len(api.post(path, **whole).json()["predictions"]) == 3
        for end in (len(body) - 4, len(body) - len(b"--x--\r\n"), len(body) - 500, len(body) // 2, len(body) // 3, 40, 0):
            assert_problem(api.post(path, content=body[:end], headers=FORM), 422, "invalid_request")

    def test_a_support_set_without_its_end(self, api: httpx.Client, support: Labelled) -> None:
        body = b"".join(as_sent(support, b"a"))
        response = api.post("/v1/tasks", content=body, headers=FORM)
        assert_problem(response, 422, "invalid_request")
        assert "closing boundary" in response.json()["detail"]

    def test_nothing_needs_to_follow_the_end(self, api: httpx.Client, task: str) -> None:
        whole = form(part("images", PHOTO, filename="a"))
        for content in (whole["content"].rstrip(), whole["content"] + b"an epilogue"):
            assert api.post(f"/v1/tasks/{task}/predict", content=content, headers=FORM).status_code == 200


class TestCharsets:
    def test_of_the_part(self, api: httpx.Client, support: Labelled) -> None:
        parts = as_sent(support, "Яблоко".encode("cp1251"), "Content-Type: text/plain; charset=windows-1251")
        assert "Яблоко" in labels_of(api.post("/v1/tasks", **form(*parts)))

    def test_of_the_form(self, api: httpx.Client, support: Labelled) -> None:
        label = "Яблоко".encode("koi8-r")
        assert "Яблоко" in labels_of(api.post("/v1/tasks", **form(*as_sent(support, label), charset="koi8-r")))
        named = part("_charset_", b"koi8-r")
        assert "Яблоко" in labels_of(api.post("/v1/tasks", **form(*as_sent(support, label), named)))

    def test_is_utf8_unless_declared(self, api: httpx.Client, support: Labelled) -> None:
        assert "Яблоко" in labels_of(api.post("/v1/tasks", **form(*as_sent(support, "Яблоко".encode()))))

    @pytest.mark.parametrize(
        ("label", "charset"),
        [
            ("Яблоко".encode("cp1251"), ""),
            (b"\xff", "utf-8"),
            (b"\xe9", "ascii"),
            (b"a", "klingon"),
            (b"ab", "hex"),
            (b"a", "undefined"),
            (b"a" * 100_000 + b"-a", "punycode"),
            (b"\\ud800", "unicode_escape"),
            (b"a", "a" * 5000),
        ],
    )
    def test_that_does_not_allow_it(self, api: httpx.Client, support: Labelled, label: bytes, charset: str) -> None:
        of_part = f"Content-Type: text/plain; charset={charset}" if charset else "Content-Type: text/plain"
        for body in (form(*as_sent(support, label, of_part)), form(*as_sent(support, label), charset=charset)):
            assert_problem(api.post("/v1/tasks", **body), 422, "invalid_request")

    def test_all_that_are_known_are_so_to_python(self) -> None:
        assert all(codecs.lookup(charset) for charset in forms._CHARSETS)

    def test_that_is_unknown_leaves_nothing_in_memory(self) -> None:
        """Python's table of codecs keeps every name that is looked up."""
        before = len(encodings._cache)
        for name in ("x" * 1000, "klingon"):
            with pytest.raises(InvalidRequest, match="unknown here"):
                forms._decoded("labels", forms._Text(b"a", None), name)
        assert len(encodings._cache) == before


class TestParts:
    @pytest.mark.parametrize("size", [10, 270_000, 2_000_000])
    def test_a_file_without_a_name_is_told_at_any_size(self, api: httpx.Client, task: str, size: int) -> None:
        response = api.post(f"/v1/tasks/{task}/predict", **form(part("images", bytes(size))))
        assert_problem(response, 422, "invalid_request")
        assert "without a filename" in response.json()["detail"]

    def test_a_field_for_one_text_is_given_once(self, api: httpx.Client, support: Labelled) -> None:
        for field, text in (("name", b"a"), ("options", b"{}")):
            twice = form(*as_sent(support, b"a"), part(field, text), part(field, text))
            response = api.post("/v1/tasks", **twice)
            assert_problem(response, 422, "invalid_request")
            assert response.json()["detail"] == f"{field} is given 2 times; give it once"

    def test_an_encoding_of_the_transfer_is_not_mistaken_for_content(self, api: httpx.Client, support: Labelled) -> None:
        parts = as_sent(support, base64.b64encode(b"cat"), "Content-Transfer-Encoding: base64")
        assert_problem(api.post("/v1/tasks", **form(*parts)), 422, "invalid_request")
        assert labels_of(api.post("/v1/tasks", **form(*as_sent(support, b"cat", "Content-Transfer-Encoding: 8bit"))))

    def test_a_text_has_an_end(self, api: httpx.Client, support: Labelled) -> None:
        assert_problem(api.post("/v1/tasks", **form(*as_sent(support, b"x" * 1_500_000))), 422, "limit_exceeded")


def test_forms_need_no_disk(server: ServerProcess) -> None:
    """While 3 MB of an image are on their way, the server has no temporary file open."""
    files = Path(f"/proc/{server.process.pid}/fd")
    if not files.exists():
        pytest.skip("needs Linux")
    host, port = server.url.removeprefix("http://").split(":")
    sent = part("images", bytes(3_000_000), filename="a")
    head = f"POST /v1/tasks HTTP/1.1\r\nHost: {host}\r\nContent-Type: {FORM['Content-Type']}\r\nContent-Length: 9000000\r\n\r\n"

    def received() -> int:
        counts = (files.parent / "io").read_text().split()
        return int(counts[counts.index("rchar:") + 1])

    before, deadline = received(), time.monotonic() + 30
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode() + sent)
        while received() - before < 3_000_000:
            assert time.monotonic() < deadline, "the server does not read"
            time.sleep(0.01)
        opened = [str(file.readlink()) for file in files.iterdir()]
    assert not [file for file in opened if file.endswith("(deleted)")]


class TestOneImageInManyForms:
    @pytest.fixture(scope="class")
    @staticmethod
    def expected(server: ServerProcess, task: str) -> dict[str, float]:
        with httpx.Client(base_url=server.url, timeout=60) as api:
            scores: dict[str, float] = predict(api, task, [PHOTO])[0]["scores"]
            return scores

    @pytest.mark.parametrize(
        "kind", ["image/jpg", "application/octet-stream", "image/jpeg; a=b", "IMAGE/PNG", None, "image/pjpeg"]
    )
    def test_raw(self, api: httpx.Client, task: str, expected: dict[str, float], kind: str | None) -> None:
        headers = {} if kind is None else {"Content-Type": kind}
        response = api.post(f"/v1/tasks/{task}/predict", content=PHOTO, headers=headers)
        assert response.json()["predictions"][0]["scores"] == pytest.approx(expected)
        many = api.post(f"/v1/predict?tasks={task}", content=PHOTO, headers=headers)
        assert many.json()["results"][0]["predictions"][0]["label"] == max(expected, key=lambda label: expected[label])

    @pytest.mark.parametrize(
        "text",
        [
            base64_of(PHOTO),
            f"data:image/jpeg;base64,{base64_of(PHOTO)}",
            f"data:;base64,{base64_of(PHOTO)}",
            base64.encodebytes(PHOTO).decode(),
            f"data:image/jpeg;name=a.jpg;base64,{base64.encodebytes(PHOTO).decode()}".replace("\n", "\r\n"),
        ],
        ids=["plain", "data:", "data: without a type", "lines", "both"],
    )
    def test_base64(self, api: httpx.Client, task: str, expected: dict[str, float], text: str) -> None:
        body = json.dumps({"images": [text]}).encode()
        for content in (body, b"\xef\xbb\xbf" + body, body.replace(b"/", b"\\/")):
            response = api.post(f"/v1/tasks/{task}/predict", content=content, headers={"Content-Type": "application/json"})
            assert response.json()["predictions"][0]["scores"] == pytest.approx(expected)

    @pytest.mark.parametrize("text", ["data:image/jpeg,abcd", "data:", "QUJ", "Q=JD", "Ä", "ab!d"])
    def test_what_is_not_base64(self, api: httpx.Client, task: str, text: str) -> None:
        response = api.post(f"/v1/tasks/{task}/predict", json={"images": [base64_of(PHOTO), text]})
        assert_problem(response, 422, "invalid_request")
        assert "image 2 of 2" in response.json()["detail"]

    def test_compressed(self, api: httpx.Client, task: str) -> None:
        path = f"/v1/tasks/{task}/predict"
        body = gzip.compress(json.dumps({"images": [base64_of(PHOTO)]}).encode())
        sent = [
            (body, {"Content-Type": "application/json", "Content-Encoding": "gzip"}),
            (body, {"Content-Type": "application/json"}),
            (gzip.compress(form(part("images", PHOTO, filename="a"))["content"]), {**FORM, "Content-Encoding": "gzip"}),
            (gzip.compress(PHOTO), {"Content-Type": "image/jpeg", "Content-Encoding": "gzip"}),
        ]
        for content, headers in sent:
            response = api.post(path, content=content, headers=headers)
            assert_problem(response, 415, "unsupported_media_type")
            assert "gzip" in response.json()["detail"]
        assert api.post(path, content=PHOTO, headers={"Content-Encoding": "identity"}).status_code == 200


class TestWhichImage:
    """An error names the image by its place in the request, and by its file."""

    def test_of_a_form(self, api: httpx.Client, support: Labelled) -> None:
        names = ["a.png", "Füße/\x1b[31m.png", "z" * 400 + ".png"]
        examples = [*support[:2], ("b", b"broken")]
        response = api.post("/v1/tasks", **multipart(examples))
        assert response.json()["detail"].startswith("image 3 of 3 (2.bin): ")
        assert [(each["position"], each["file_name"]) for each in response.json()["images"]] == [(2, "2.bin")]
        parts = [part("images", b"broken", filename=name) for name in names]
        response = api.post("/v1/tasks", **form(*parts, *(part("labels", label) for label in (b"a", b"b", b"c"))))
        told = [each["file_name"] for each in response.json()["images"]]
        assert told == ["a.png", "\N{REPLACEMENT CHARACTER}[31m.png", f"…{names[2][-127:]}"]
        longest = api.post("/v1/tasks", **form(*parts[2:], *parts[:1], part("labels", b"a"), part("labels", b"b")))
        assert re.fullmatch(r"image 1 of 2 \(….*z\.png\): the file is not a .* image", longest.json()["detail"])

    def test_of_json(self, api: httpx.Client, support: Labelled) -> None:
        response = api.post("/v1/tasks", **as_json([*support[:2], ("b", b"broken")]))
        assert response.json()["detail"].startswith("image 3 of 3: ")
        assert response.json()["images"][0].get("file_name") is None

    def test_of_an_archive(self, api: httpx.Client) -> None:
        response = api.post("/v1/tasks", **as_archive([("set/a/1.png", PHOTO), ("set/b/2.png", b"x")]))
        assert response.json()["detail"].startswith("set/b/2.png: ")
        assert response.json()["images"][0]["file_name"] == "set/b/2.png"


class TestQueries:
    @pytest.mark.parametrize(
        ("method", "path", "query", "meant"),
        [
            ("DELETE", "/v1/tasks/{task}/examples/x", "forgot=true", "forget"),
            ("DELETE", "/v1/tasks/{task}", "force=true", None),
            ("GET", "/v1/tasks", "limits=5", "limit"),
            ("GET", "/v1/tasks", "page=2", ""),
            ("POST", "/v1/tasks/{task}/predict", "topk=1", "top_k"),
            ("POST", "/v1/tasks/{task}/predict", "Mode=transductive", "mode"),
            ("POST", "/v1/predict", "task=all", "tasks"),
            ("PATCH", "/v1/tasks/{task}", "name=a", None),
            ("POST", "/v1/tasks", "name=a", None),
            ("GET", "/v1/refreshes", "cursr=a", "cursor"),
            ("GET", "/v1/backbones", "limit=1", None),
            ("GET", "/healthz", "a", None),
        ],
    )
    def test_unknown(self, api: httpx.Client, task: str, method: str, path: str, query: str, meant: str | None) -> None:
        response = api.request(method, f"{path.format(task=task)}?{query}")
        assert_problem(response, 422, "invalid_request")
        detail = response.json()["detail"]
        assert f"unknown query parameter {query.partition('=')[0]!r}" in detail
        assert (f"did you mean '{meant}" if meant is not None else "this call takes none") in detail
        assert api.get(f"/v1/tasks/{task}").status_code == 200

    def test_given_twice(self, api: httpx.Client, task: str) -> None:
        assert_problem(api.get("/v1/tasks?limit=1&limit=2"), 422, "invalid_request")
        assert_problem(api.delete(f"/v1/tasks/{task}/examples/x?forget=true&forget=false"), 422, "invalid_request")
        both = api.post(f"/v1/predict?tasks={task}&tasks={task}", **queries([PHOTO]))
        assert len(both.json()["results"]) == 2
