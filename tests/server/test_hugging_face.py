"""Hugging Face's own client, and other senders to the same address, get the answers of `…/predict`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.keyed import Keyed, keyed_server
from tests.helpers.markdown import python_of
from tests.helpers.problems import assert_problem
from tests.helpers.samples import Labelled
from tests.helpers.uploads import base64_of, create
from tests.helpers.waiting import wait_until

_RAW = {"Content-Type": "image/jpeg"}
_NAMES = st.sampled_from(["inputs", "parameters", "top_k", "x"])
_ANY_JSON = st.recursive(st.none() | st.integers() | st.text(), lambda each: st.lists(each) | st.dictionaries(_NAMES, each))


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, support: Labelled, small_flags: tuple[str, ...]) -> Iterator[Keyed]:
    with keyed_server(tmp_path_factory.mktemp("hf"), support, *small_flags) as server:
        yield server


@pytest.fixture(scope="module")
def address(keyed: Keyed) -> str:
    return f"{keyed.url}/v1/tasks/{keyed.task}/hf"


@pytest.fixture
def path(keyed: Keyed) -> str:
    return f"/v1/tasks/{keyed.task}/hf"


def scores_of(keyed: Keyed, image: bytes, task: str | None = None) -> list[tuple[str, float]]:
    """What the native call answers."""
    answer = keyed.api.post(f"/v1/tasks/{task or keyed.task}/predict", content=image, headers=_RAW)
    return [*answer.json()["predictions"][0]["scores"].items()]


def shown(answer: Any) -> list[tuple[str, float]]:
    return [(each["label"], each["score"]) for each in answer]


class TestItsClient:
    def test_gets_what_the_native_call_answers(self, keyed: Keyed, address: str, queries: Labelled, tmp_path: Path) -> None:
        client = InferenceClient(model=address, token=keyed.key)
        for number, (_, image) in enumerate(queries[::10]):
            file = tmp_path / f"{number}.png"
            file.write_bytes(image)
            expected = scores_of(keyed, image)
            assert len(expected) == 5
            for given_as in (image, str(file), file):
                assert shown(client.image_classification(given_as)) == expected
            assert shown(client.image_classification(image, top_k=2)) == expected[:2]

    def test_needs_the_key(self, keyed: Keyed, address: str, queries: Labelled) -> None:
        for token, said in (
            ("hs_wrong", "this key is mistyped, unknown, revoked or expired"),
            (keyed.foreign, f"there is no task '{keyed.task}'"),
        ):
            with pytest.raises(HfHubHTTPError, match=said):
                InferenceClient(model=address, token=token).image_classification(queries[0][1])

    def test_shows_what_is_wrong(self, keyed: Keyed, address: str) -> None:
        client = InferenceClient(model=address, token=keyed.key)
        with pytest.raises(HfHubHTTPError, match="the file is not a JPEG, PNG, WebP, HEIC or AVIF image"):
            client.image_classification(b"no image")
        with pytest.raises(HfHubHTTPError, match="function_to_apply"):
            client.image_classification(b"no image", function_to_apply="sigmoid")

    def test_works_as_its_page_shows(
        self,
        keyed: Keyed,
        queries: Labelled,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (tmp_path / "unseen.jpg").write_bytes(queries[0][1])
        monkeypatch.chdir(tmp_path)
        exec(python_of("docs/integrations/hugging-face.md"), {"url": keyed.url, "task": keyed.task, "key": keyed.key})
        expected = scores_of(keyed, queries[0][1])[:2]
        assert capsys.readouterr().out.splitlines() == [f"{label} {score:.0%}" for label, score in expected]


@pytest.mark.parametrize("kind", ["image/png", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
def test_a_body_is_the_image_whatever_its_type_says(keyed: Keyed, path: str, queries: Labelled, kind: str | None) -> None:
    image = queries[0][1]
    answered = keyed.api.post(path, content=image, headers={"Content-Type": kind} if kind else {})
    assert shown(answered.json()) == scores_of(keyed, image)


def test_an_image_with_several_labels_has_a_score_for_each(keyed: Keyed, support: Labelled) -> None:
    listed = [(f'["{label}"]', image) for label, image in support[:15]]
    task = create(keyed.api, listed, label_mode="multiple")["id"]
    answered = keyed.api.post(f"/v1/tasks/{task}/hf", content=support[0][1])
    assert shown(answered.json()) == scores_of(keyed, support[0][1], task)


def test_the_task_captures_what_it_is_told_to(keyed: Keyed, path: str, queries: Labelled) -> None:
    task = path.removesuffix("/hf")
    keyed.api.patch(task, json={"capture": {"keep": "all"}}).raise_for_status()
    keyed.api.post(path, content=queries[3][1]).raise_for_status()
    wait_until(lambda: keyed.api.get(f"{task}/captures").json()["total"] == 1)
    keyed.api.patch(task, json={"capture": {"keep": "none"}}).raise_for_status()


class TestRefusals:
    @pytest.mark.parametrize(
        ("request_", "status", "code"),
        [
            ({"json": {"inputs": "no base64!"}}, 422, "invalid_request"),
            ({"json": {"inputs": base64_of(b"no image")}}, 422, "image_unsupported"),
            ({"json": {"inputs": base64_of(b"x"), "parameters": {"top_k": 0}}}, 422, "invalid_request"),
            ({"json": {"inputs": "https://example.org/cat.jpg"}}, 422, "invalid_request"),
            ({"json": {"images": []}}, 422, "invalid_request"),
            ({"content": b""}, 422, "image_unsupported"),
            ({"content": b"x", "headers": {"Content-Encoding": "gzip"}}, 415, "unsupported_media_type"),
            ({"content": b"x", "params": {"top_k": 3}}, 422, "invalid_request"),
        ],
    )
    def test_say_it_where_its_clients_read(
        self, keyed: Keyed, path: str, request_: dict[str, Any], status: int, code: str
    ) -> None:
        refused = keyed.api.post(path, **request_)
        assert_problem(refused, status, code)
        assert refused.json()["error"] == refused.json()["detail"]

    def test_elsewhere_are_as_they_were(self, keyed: Keyed) -> None:
        assert "error" not in keyed.api.get("/v1/tasks/unknown").json()

    @settings(deadline=None, max_examples=50)
    @given(body=_ANY_JSON)
    def test_whatever_json_comes_is_no_fault_of_the_server(self, keyed: Keyed, body: Any) -> None:
        assert keyed.api.post(f"/v1/tasks/{keyed.task}/hf", json=body).status_code == 422
