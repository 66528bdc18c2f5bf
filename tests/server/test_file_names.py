"""What an example's file is called: kept with it, and told wherever the example is."""

import unicodedata
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.labels import is_one_line
from server.http.bodies.file_names import MAX_FILE_NAME, clean_file_name
from tests.helpers.databases import contents_of
from tests.helpers.images import encode, noise
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import as_archive, base64_of


@pytest.mark.parametrize(
    ("raw", "of_a_form", "of_an_archive"),
    [
        ("cat.jpg", "cat.jpg", "cat.jpg"),
        ("birds/robin/1.jpg", "1.jpg", "birds/robin/1.jpg"),
        ("birds\\robin\\1.jpg", "1.jpg", "birds/robin/1.jpg"),
        ("/home/jane/private/1.jpg", "1.jpg", "1.jpg"),
        ("C:\\Users\\jane\\1.jpg", "1.jpg", "1.jpg"),
        ("C:1.jpg", "1.jpg", "1.jpg"),
        ("\\\\server\\share\\dir\\1.jpg", "1.jpg", "1.jpg"),
        ("../../etc/passwd", "passwd", "passwd"),
        ("./robin/1.jpg", "1.jpg", "robin/1.jpg"),
        ("  spaced name .jpg ", "spaced name .jpg", "spaced name .jpg"),
        ("U\u0308bung.jpg", "\u00dcbung.jpg", "\u00dcbung.jpg"),
        ("a\nb\u2028c\x7f.jpg", "a\ufffdb\ufffdc\ufffd.jpg", "a\ufffdb\ufffdc\ufffd.jpg"),
        ("x" * 200 + ".jpg", "…" + "x" * 123 + ".jpg", "…" + "x" * 123 + ".jpg"),
        ("", None, None),
        (" ", None, None),
        ("..", None, None),
        ("/", None, None),
        (None, None, None),
    ],
)
def test_a_name_is_reduced_to_what_is_useful(raw: str | None, of_a_form: str | None, of_an_archive: str | None) -> None:
    assert clean_file_name(raw) == of_a_form
    assert clean_file_name(raw, folders=True) == of_an_archive


@given(st.text(st.characters(codec=None), max_size=300), st.booleans())
def test_any_name_becomes_one_short_line_and_stays_what_it_is(raw: str, folders: bool) -> None:
    name = clean_file_name(raw, folders=folders)
    if name is None:
        return
    assert 1 <= len(name) <= MAX_FILE_NAME
    assert is_one_line(name)
    assert name.encode().decode() == name
    assert ".." not in name.split("/")
    assert unicodedata.is_normalized("NFC", name) or "\ufffd" in name or "…" in name
    assert folders or "/" not in name


def listed(api: httpx.Client, task: str) -> list[tuple[str, str | None]]:
    """The label and the file's name of each example."""
    found = api.get(f"/v1/tasks/{task}/examples", params={"limit": 1000}).json()["examples"]
    return [(each["label"], each["file_name"]) for each in found]


def named(examples: Labelled, names: list[str]) -> dict[str, Any]:
    """A form of images whose files are called so."""
    files = [("images", (name, image)) for name, (_, image) in zip(names, examples, strict=True)]
    return {"files": files, "data": {"labels": [label for label, _ in examples]}}


def test_every_form_of_body_names_files(api: httpx.Client, support: Labelled) -> None:
    few = [support[0], support[5], support[1]]
    form = api.post("/v1/tasks", **named(few, ["photos/Übung 1.jpg", "b.png", "."])).json()["id"]
    assert listed(api, form) == [("fish", "Übung 1.jpg"), ("palace", "b.png"), ("fish", None)]

    examples = [{"label": label, "image": base64_of(image)} for label, image in few]
    named_examples = [{**examples[0], "file_name": "fish/a.jpg"}, examples[1], {**examples[2], "file_name": "/tmp/x/c.jpg"}]
    of_json = api.post("/v1/tasks", json={"examples": named_examples}).json()["id"]
    assert [name for _, name in listed(api, of_json)] == ["fish/a.jpg", None, "c.jpg"]

    members = [("all/dog/1.png", few[0][1]), ("all/cat/2.png", few[1][1]), ("all/cat/Ü.png", few[2][1])]
    archive = api.post("/v1/tasks", **as_archive(members)).json()["id"]
    assert listed(api, archive) == [("cat", "all/cat/2.png"), ("cat", "all/cat/Ü.png"), ("dog", "all/dog/1.png")]


def test_a_path_in_a_form_as_old_browsers_write_it(api: httpx.Client, support: Labelled) -> None:
    part = (
        b'--x\r\nContent-Disposition: form-data; name="images"; filename="C:\\Users\\jane\\%b"\r\n\r\n%b\r\n'
        b'--x\r\nContent-Disposition: form-data; name="labels"\r\n\r\n%b\r\n'
    )
    parts = b"".join(
        part % (name, image, label.encode()) for name, (label, image) in zip([b"a", b"b"], support[::5], strict=False)
    )
    created = api.post("/v1/tasks", content=parts + b"--x--", headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert created.status_code == 201, created.text
    assert [name for _, name in listed(api, created.json()["id"])] == ["a", "b"]


def test_examples_are_named_wherever_they_are_told(api: httpx.Client, support: Labelled) -> None:
    names = [f"{label} {number}.png" for number, (label, _) in enumerate(support)]
    task = api.post("/v1/tasks", **named(support, names)).json()["id"]
    palace = support[5]
    added = api.post(f"/v1/tasks/{task}/examples", **named([("windmill", palace[1])], ["wrong.png"])).json()
    asked = api.get(f"/v1/tasks/{task}/quality").json()
    for quality in (added["quality"], asked):
        (suspect,) = quality["suspects"]
        assert (suspect["label"], suspect["file_name"]) == ("windmill", "wrong.png")
        (twin,) = quality["duplicates"]
        assert (twin["file_name"], twin["of_file_name"]) == ("wrong.png", names[5])

    for predicted in (
        api.post(f"/v1/tasks/{task}/predict", content=support[0][1], headers={"Content-Type": "image/png"}).json(),
        api.post(
            "/v1/predict",
            params={"tasks": task, "unknown": "judge"},
            content=support[0][1],
            headers={"Content-Type": "image/png"},
        ).json()["results"][0],
    ):
        assert predicted["predictions"][0]["nearest"][0]["file_name"] == names[0]

    broken = api.post(f"/v1/tasks/{task}/examples", **named([palace, ("fish", b"no image")], ["a.png", "b.png"])).json()
    assert [(each["position"], each["file_name"]) for each in broken["images"]] == [(1, "b.png")]
    assert broken["detail"].startswith("image 2 of 2 (b.png): ")


def test_a_name_is_no_part_of_what_a_retry_asks(api: httpx.Client, support: Labelled) -> None:
    few, key = [support[0], support[5]], {"Idempotency-Key": "of file names"}
    first, again = (api.post("/v1/tasks", **named(few, names), headers=key) for names in (["a.png", "b.png"], ["c.png", "d.png"]))
    assert first.json()["id"] == again.json()["id"]
    assert [name for _, name in listed(api, first.json()["id"])] == ["a.png", "b.png"]


def test_a_server_that_keeps_no_images_keeps_no_names(tmp_path: Path, small_flags: tuple[str, ...]) -> None:
    examples = [("cat", encode(noise(8, 8, seed=1))), ("dog", encode(noise(8, 8, seed=2)))]
    flags = (*small_flags, "--keep-images=false")
    with ServerProcess(tmp_path / "data", *flags) as process, httpx.Client(base_url=process.url) as api:
        task = api.post("/v1/tasks", **named(examples, ["Jane Doe.png", "John Doe.png"])).json()["id"]
        assert listed(api, task) == [("cat", None), ("dog", None)]
        assert not any(b"Doe" in content for content in contents_of(tmp_path / "data"))
