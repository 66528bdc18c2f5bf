"""The Open Inference Protocol on a real server: its models, their answers beside those of our own calls, and its refusals."""

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.images.preprocess import load_image
from models.manifest import InputSpec
from tests.helpers.bundles import SMALL
from tests.helpers.images import encode, photograph
from tests.helpers.open_inference import JSON_LENGTH, Answer, answered, requested, triton_request
from tests.helpers.servers import ServerProcess, run_server
from tests.helpers.uploads import base64_of, create, multipart, queries
from tests.helpers.waiting import wait_until

_SIDE = 32  # of the images that `SMALL` looks at
_LABELS = ("cat", "dog: a good one", "fish")
_IMAGES = [encode(photograph(40, 50, seed=seed), "JPEG") for seed in range(9)]
_EXAMPLES = list(zip(_LABELS * 2, _IMAGES[:6], strict=True))
_QUERIES = _IMAGES[6:]
_EMBEDDING = f"{SMALL}.embedding"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    limits = ("--max-body-bytes", "4000000", "--max-images", "8")
    with ServerProcess(tmp_path_factory.mktemp("v2") / "data", *small_flags, *limits) as process:
        yield process


@pytest.fixture(scope="module")
def api(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def task(api: httpx.Client) -> str:
    id_: str = create(api, _EXAMPLES, name="pets")["id"]
    return id_


def infer(api: httpx.Client, model: str, images: Any, *outputs: dict[str, Any]) -> Answer:
    return answered(api.post(f"/v2/models/{model}/infer", **triton_request(images, outputs)))


def native(api: httpx.Client, task: str, images: list[bytes]) -> list[dict[str, Any]]:
    response = api.post(f"/v1/tasks/{task}/predict", **queries(images))
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["predictions"]
    return found


def captured(api: httpx.Client, task: str) -> int:
    total: int = api.get(f"/v1/tasks/{task}/captures").json()["total"]
    return total


def refused(response: httpx.Response, status: int) -> str:
    """The error of an answer in the form of the protocol."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.json().keys() == {"error"}
    error: str = response.json()["error"]
    return error


class TestServer:
    def test_it_lives_and_is_ready_in_both_forms_of_the_specification(self, api: httpx.Client) -> None:
        for path in ("/v2/health/live", "/v2/health/ready"):
            assert api.get(path).json() == {"live": True, "ready": True}

    def test_it_tells_its_extensions(self, api: httpx.Client) -> None:
        told = api.get("/v2").json()
        assert told["name"] == "headstart"
        assert {"binary_tensor_data", "classification", "model_repository", "statistics"} <= {*told["extensions"]}

    def test_the_index_has_each_model(self, api: httpx.Client, task: str) -> None:
        for body in (b"", b'{"ready": true}'):
            listed = {entry["name"]: entry for entry in api.post("/v2/repository/index", content=body).json()}
            ready = {"version": "1", "state": "READY", "reason": ""}
            for name in (task, f"{task}.pixels", _EMBEDDING):
                assert listed[name] == {"name": name, **ready}
        closed = [entry for entry in api.post("/v2/repository/index").json() if entry["state"] != "READY"]
        assert closed, "bundles that are shipped, and that no task uses here"
        assert all(entry["name"].endswith(".embedding") and entry["reason"] for entry in closed)

    def test_a_model_is_loaded_and_stays_so(self, api: httpx.Client, task: str) -> None:
        for name in (task, f"{task}.pixels", _EMBEDDING):
            for body in ("", "{}"):
                loaded = api.post(f"/v2/repository/models/{name}/load", content=body)
                assert (loaded.status_code, loaded.content) == (200, b"")
            unloaded = api.post(f"/v2/repository/models/{name}/unload", content='{"parameters": {"unload_dependents": false}}')
            assert "stays loaded" in refused(unloaded, 422)
            assert api.get(f"/v2/models/{name}/ready").json() == {"name": name, "ready": True}
        with_config = api.post(f"/v2/repository/models/{task}/load", json={"parameters": {"config": "{}"}})
        assert "without parameters" in refused(with_config, 422)


class TestModels:
    def test_a_task_takes_images_and_tells_more_when_asked(self, api: httpx.Client, task: str) -> None:
        assert api.get(f"/v2/models/{task}").json() == {
            "name": task,
            "versions": ["1"],
            "platform": "headstart",
            "inputs": [{"name": "IMAGE", "datatype": "BYTES", "shape": [-1, 1]}],
            "outputs": [
                {"name": "PROBABILITY", "datatype": "FP32", "shape": [-1, 3]},
                {"name": "LABEL", "datatype": "BYTES", "shape": [-1, 1]},
                {"name": "KNOWN", "datatype": "BOOL", "shape": [-1, 1]},
                {"name": "NOVELTY", "datatype": "FP32", "shape": [-1, 1]},
            ],
        }
        config = api.get(f"/v2/models/{task}/config").json()
        assert config["max_batch_size"] == 8
        assert config["input"] == [{"name": "IMAGE", "data_type": "TYPE_STRING", "format": "FORMAT_NONE", "dims": [1]}]
        assert config["output"][0] == {"name": "PROBABILITY", "data_type": "TYPE_FP32", "dims": [3]}
        assert config["parameters"]["title"] == {"string_value": "pets"}
        assert json.loads(config["parameters"]["labels"]["string_value"]) == list(_LABELS)

    def test_pixels_are_what_the_image_client_of_triton_needs(self, api: httpx.Client, task: str) -> None:
        """Its `parse_model` and `preprocess` ask for just this, in `src/python/examples/image_client.py` of its clients."""
        metadata, config = (api.get(f"/v2/models/{task}.pixels{part}").json() for part in ("", "/config"))
        ((tensor,), (output,)) = metadata["inputs"], metadata["outputs"]
        assert len(config["input"]) == 1
        assert output["datatype"] == "FP32"
        assert sum(dim > 1 for dim in output["shape"][1:]) == 1
        assert config["max_batch_size"] > 0
        assert tensor == {"name": "PIXELS", "datatype": "UINT8", "shape": [-1, _SIDE, _SIDE, 3]}
        assert config["input"][0]["format"] == "FORMAT_NHWC"

    def test_an_open_bundle_embeds(self, api: httpx.Client) -> None:
        metadata = api.get(f"/v2/models/{_EMBEDDING}/versions/1").json()
        assert metadata["inputs"] == [{"name": "IMAGE", "datatype": "BYTES", "shape": [-1, 1]}]
        assert metadata["outputs"] == [{"name": "EMBEDDING", "datatype": "FP32", "shape": [-1, 48]}]

    def test_a_model_is_an_id_and_not_a_name(self, api: httpx.Client, task: str) -> None:
        assert task
        refused(api.get("/v2/models/pets"), 404)

    @pytest.mark.parametrize("part", ["", "/config", "/ready", "/stats"])
    def test_what_is_not_there_is_not_found(self, api: httpx.Client, task: str, part: str) -> None:
        for model in ("none", "none.pixels", "none@1.embedding", f"{task}.embedding", f"{task}/versions/2"):
            refused(api.get(f"/v2/models/{model}{part}"), 404)
        for version in ("0", "01", "-1", "1.0", "one", "9" * 30, "\u0661"):
            refused(api.get(f"/v2/models/{task}/versions/{version}{part}"), 404)
        refused(api.get(f"/v2/models/{_EMBEDDING}/versions/2{part}"), 404)

    def test_a_bundle_that_is_closed_says_so(self, api: httpx.Client) -> None:
        closed = next(entry["name"] for entry in api.post("/v2/repository/index").json() if entry["state"] == "UNAVAILABLE")
        for answer in (
            api.get(f"/v2/models/{closed}/ready"),
            api.post(f"/v2/repository/models/{closed}/load"),
            api.post(f"/v2/models/{closed}/infer", **triton_request(_QUERIES)),
        ):
            assert "not open" in refused(answer, 409)


class TestAnswers:
    def test_they_are_those_of_our_own_call(self, api: httpx.Client, task: str) -> None:
        expected = native(api, task, _QUERIES)
        alone = infer(api, task, _QUERIES)
        assert alone.tensors.keys() == {"PROBABILITY"}, "what a client can read that asks for all outputs"
        assert alone.head["model_name"] == task
        assert alone.head["model_version"] == "1"
        assert "id" not in alone.head
        together = infer(api, task, _QUERIES, *map(requested, ("NOVELTY", "LABEL", "PROBABILITY", "KNOWN")))
        assert list(together.tensors) == ["NOVELTY", "LABEL", "PROBABILITY", "KNOWN"]
        scores = np.array([[one["scores"][label] for label in _LABELS] for one in expected], np.float32)
        for found in (alone, together):
            np.testing.assert_array_equal(found.tensors["PROBABILITY"], scores)
        assert together.tensors["LABEL"].tolist() == [[one["label"].encode()] for one in expected]
        assert together.tensors["KNOWN"].tolist() == [[one["known"]] for one in expected]
        novelty = np.array([[one["novelty"]] for one in expected], np.float32)
        np.testing.assert_array_equal(together.tensors["NOVELTY"], novelty)

    def test_as_json_they_are_the_same(self, api: httpx.Client, task: str) -> None:
        """As KServe's client sends them with `binary_data=False`, but for the base64."""
        body = {
            "id": "4f6a",
            "model_name": task,
            "inputs": [
                {
                    "name": "IMAGE",
                    "shape": [len(_QUERIES), 1],
                    "datatype": "BYTES",
                    "parameters": {"content_type": "base64"},
                    "data": [base64_of(image) for image in _QUERIES],
                }
            ],
        }
        response = api.post(f"/v2/models/{task}/infer", json=body)
        assert JSON_LENGTH not in response.headers
        found = answered(response)
        assert found.head["id"] == "4f6a"
        np.testing.assert_array_equal(found.tensors["PROBABILITY"], infer(api, task, _QUERIES).tensors["PROBABILITY"])
        del body["inputs"][0]["parameters"]  # type: ignore[attr-defined]
        assert "content_type: base64" in refused(api.post(f"/v2/models/{task}/infer", json=body), 422)

    def test_binary_or_not_is_chosen_for_each_output(self, api: httpx.Client, task: str) -> None:
        asked = requested("LABEL", binary=False), requested("PROBABILITY"), requested("KNOWN", binary=False)
        found = infer(api, task, _QUERIES, *asked)
        assert ["data" in output for output in found.head["outputs"]] == [True, False, True]
        every = infer(api, task, _QUERIES, *map(requested, ("LABEL", "PROBABILITY", "KNOWN")))
        for name, values in every.tensors.items():
            assert found.tensors[name].tolist() == values.tolist()

    def test_classes_have_value_index_and_label(self, api: httpx.Client, task: str) -> None:
        expected = native(api, task, _QUERIES)
        found = infer(api, task, _QUERIES, requested("PROBABILITY", classes=2)).tensors["PROBABILITY"]
        assert found.shape == (len(_QUERIES), 2)
        for row, one in zip(found.tolist(), expected, strict=True):
            best = list(one["scores"].items())[:2]
            assert [text.decode() for text in row] == [f"{score:.9f}:{_LABELS.index(label)}:{label}" for label, score in best]
        assert infer(api, task, _QUERIES, requested("PROBABILITY", classes=9)).tensors["PROBABILITY"].shape[1] == 3
        body = triton_request(_QUERIES, [requested("LABEL", classes=1)])
        assert "no classification" in refused(api.post(f"/v2/models/{task}/infer", **body), 422)

    def test_a_raw_body_is_one_image(self, api: httpx.Client, task: str) -> None:
        """As `curl --data-binary` sends it."""
        raw = {JSON_LENGTH: "0", "Content-Type": "application/x-www-form-urlencoded"}
        found = answered(api.post(f"/v2/models/{task}/infer", content=_QUERIES[0], headers=raw))
        np.testing.assert_array_equal(found.tensors["PROBABILITY"], infer(api, task, _QUERIES[:1]).tensors["PROBABILITY"])

    def test_pixels_are_answered_as_the_image_of_them(self, api: httpx.Client, task: str) -> None:
        pixels = np.stack([load_image(image, InputSpec(height=_SIDE, width=_SIDE)) for image in _QUERIES])
        expected = infer(api, task, [encode(each) for each in pixels]).tensors["PROBABILITY"]
        path = f"/v2/models/{task}.pixels/infer"
        np.testing.assert_array_equal(infer(api, f"{task}.pixels", pixels).tensors["PROBABILITY"], expected)
        alone = answered(api.post(path, content=pixels[0].tobytes(), headers={JSON_LENGTH: "0"}))
        np.testing.assert_allclose(alone.tensors["PROBABILITY"], expected[:1], rtol=1e-5)
        tensor = {"name": "PIXELS", "shape": [1, _SIDE, _SIDE, 3], "datatype": "UINT8", "data": pixels[0].tolist()}
        as_json = answered(api.post(path, json={"inputs": [tensor]}))
        np.testing.assert_array_equal(as_json.tensors["PROBABILITY"], alone.tensors["PROBABILITY"])

    def test_embeddings_are_the_backbones(self, api: httpx.Client) -> None:
        """`SMALL` embeds an image as the mean colours of its 16 squares, one channel after another."""
        pixels = np.stack([load_image(image, InputSpec(height=_SIDE, width=_SIDE)) for image in _QUERIES])
        squares = pixels.reshape(-1, 4, 8, 4, 8, 3).mean(axis=(2, 4)) / 255
        found = infer(api, _EMBEDDING, _QUERIES)
        assert found.head["model_version"] == "1"
        expected = squares.transpose(0, 3, 1, 2).reshape(len(_QUERIES), 48)
        np.testing.assert_allclose(found.tensors["EMBEDDING"], expected, atol=1e-6)

    def test_a_version_answers_as_it_did(self, api: httpx.Client) -> None:
        task = create(api, _EXAMPLES)["id"]
        before = infer(api, task, _QUERIES)
        added = api.post(f"/v1/tasks/{task}/examples", **multipart([("bird", _IMAGES[7]), ("cat", _IMAGES[8])]))
        assert added.status_code == 201
        after = infer(api, task, _QUERIES)
        assert after.head["model_version"] == "2"
        assert after.tensors["PROBABILITY"].shape == (len(_QUERIES), 4)
        judged = map(requested, ("PROBABILITY", "NOVELTY"))
        first = answered(api.post(f"/v2/models/{task}/versions/1/infer", **triton_request(_QUERIES, list(judged))))
        assert first.head["model_version"] == "1"
        np.testing.assert_array_equal(first.tensors["PROBABILITY"], before.tensors["PROBABILITY"])
        assert api.get(f"/v2/models/{task}").json()["versions"] == ["1", "2"]
        assert api.get(f"/v2/models/{task}/versions/1").json()["outputs"][0]["shape"] == [-1, 3]
        assert api.patch(f"/v1/tasks/{task}", json={"active_version": 1}).status_code == 200
        novelty = np.array([[one["novelty"]] for one in native(api, task, _QUERIES)], np.float32)
        np.testing.assert_array_equal(first.tensors["NOVELTY"], novelty)
        np.testing.assert_array_equal(infer(api, task, _QUERIES).tensors["PROBABILITY"], before.tensors["PROBABILITY"])

    def test_a_forgotten_version_answers_no_more(self, api: httpx.Client) -> None:
        task = create(api, _EXAMPLES)["id"]
        path = f"/v2/models/{task}/versions/1/infer"
        assert api.post(f"/v1/tasks/{task}/examples", **multipart([("cat", _IMAGES[8])])).status_code == 201
        assert api.post(path, **triton_request(_QUERIES)).status_code == 200
        example = api.get(f"/v1/tasks/{task}/examples").json()["examples"][0]["id"]
        assert api.delete(f"/v1/tasks/{task}/examples/{example}", params={"forget": "true"}).status_code == 200
        refused(api.post(path, **triton_request(_QUERIES)), 404)

    def test_several_labels_are_probabilities_of_their_own(self, api: httpx.Client) -> None:
        examples = [(json.dumps([label]), image) for label, image in _EXAMPLES]
        task = create(api, examples, label_mode="multiple")["id"]
        expected = native(api, task, _QUERIES)
        names = json.loads(api.get(f"/v2/models/{task}/config").json()["parameters"]["labels"]["string_value"])
        found = infer(api, task, _QUERIES, requested("PROBABILITY"), requested("KNOWN"))
        scores = np.array([[one["scores"][label] for label in names] for one in expected], np.float32)
        np.testing.assert_array_equal(found.tensors["PROBABILITY"], scores)
        assert found.tensors["KNOWN"].tolist() == [[one["known"]] for one in expected]

    def test_what_a_task_captures_is_captured(self, api: httpx.Client) -> None:
        task = create(api, _EXAMPLES, capture='{"keep": "all"}')["id"]
        infer(api, f"{task}.pixels", np.zeros((1, _SIDE, _SIDE, 3), np.uint8))
        infer(api, task, _QUERIES)
        wait_until(lambda: captured(api, task) >= len(_QUERIES))
        assert captured(api, task) == len(_QUERIES), "pixels are no image that could be kept"

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_a_body_may_come_compressed(self, api: httpx.Client, task: str, encoding: str) -> None:
        request = triton_request(_QUERIES)
        compressed = (gzip if encoding == "gzip" else zlib).compress(request["content"])
        headers = {**request["headers"], "Content-Encoding": encoding, "Accept-Encoding": encoding}
        found = answered(api.post(f"/v2/models/{task}/infer", content=compressed, headers=headers))
        np.testing.assert_array_equal(found.tensors["PROBABILITY"], infer(api, task, _QUERIES).tensors["PROBABILITY"])

    def test_statistics_count_what_was_asked(self, api: httpx.Client) -> None:
        task = create(api, _EXAMPLES)["id"]
        (before,) = api.get(f"/v2/models/{task}/stats").json()["model_stats"]
        assert (before["version"], before["inference_count"], before["last_inference"]) == ("1", 0, 0)
        infer(api, task, _QUERIES)
        infer(api, task, _QUERIES[:1])
        refused(api.post(f"/v2/models/{task}/infer", **triton_request([b"no image"])), 422)
        for path in (f"/v2/models/{task}/stats", f"/v2/models/{task}/versions/1/stats", "/v2/models/stats"):
            (found,) = [each for each in api.get(path).json()["model_stats"] if each["name"] == task]
            assert (found["inference_count"], found["execution_count"]) == (len(_QUERIES) + 1, 2)
            stats = found["inference_stats"]
            assert (stats["success"]["count"], stats["fail"]["count"]) == (2, 1)
            parts = [stats[part]["ns"] for part in ("compute_input", "compute_infer", "compute_output")]
            assert 0 < sum(parts) <= stats["success"]["ns"]
        assert api.delete(f"/v1/tasks/{task}").status_code == 204
        assert task not in api.get("/v2/models/stats").text


class TestRefusals:
    @pytest.mark.parametrize(
        ("request_", "said"),
        [
            (triton_request([_IMAGES[0], b"no image"]), "image 2 of 2"),
            (triton_request([b""]), "image 1 of 1"),
            (triton_request([]), "there are no images"),
            (triton_request([_IMAGES[0]] * 9), "the limit is 8"),
            (triton_request(_QUERIES, [requested("BOXES")]), "no output 'BOXES'"),
            (triton_request(_QUERIES, [requested("LABEL")] * 2), "named twice"),
            (triton_request(np.zeros((1, 2, 2, 3), np.uint8)), "one input, 'IMAGE' of type BYTES"),
            ({"content": b"\xff\xd8", "headers": {JSON_LENGTH: "x"}}, "number of bytes"),
            ({"content": b"{}", "headers": {JSON_LENGTH: "3"}}, "the body has 2 bytes"),
            ({"content": b"{}", "headers": {"Content-Encoding": "gzip"}}, "not compressed"),
            ({"content": b'{"inputs":[]}'}, "inputs"),
        ],
    )
    def test_what_does_not_fit_a_task(self, api: httpx.Client, task: str, request_: dict[str, Any], said: str) -> None:
        assert said in refused(api.post(f"/v2/models/{task}/infer", **request_), 422)

    @pytest.mark.parametrize("shape", [(1, _SIDE, _SIDE, 1), (1, 3, _SIDE, _SIDE), (_SIDE, _SIDE, 3), (5,), (1, 0, _SIDE, 3), ()])
    def test_what_does_not_fit_pixels(self, api: httpx.Client, task: str, shape: tuple[int, ...]) -> None:
        answer = api.post(f"/v2/models/{task}.pixels/infer", **triton_request(np.zeros(shape, np.uint8)))
        assert f"pixels of shape {list(shape)}" in refused(answer, 422)

    def test_what_is_not_there(self, api: httpx.Client, task: str) -> None:
        for path in ("/v2/none", "/v2/models", "/v2/", f"/v2/models/{task}/generate"):
            refused(api.get(path), 404)
        assert "GET, HEAD" in refused(api.post("/v2"), 405)
        for model in ("none", "none.pixels", "none@1.embedding", f"{task}/versions/7"):
            refused(api.post(f"/v2/models/{model}/infer", **triton_request(_QUERIES)), 404)

    def test_a_small_body_that_becomes_a_large_one(self, api: httpx.Client, task: str) -> None:
        bomb = gzip.compress(bytes(100_000_000))
        assert len(bomb) < 100_000
        for path in (f"/v2/models/{task}/infer", "/v2/repository/index"):
            assert "larger than the limit" in refused(
                api.post(path, content=bomb, headers={JSON_LENGTH: "0", "Content-Encoding": "gzip"}), 413
            )
        unknown = api.post(f"/v2/models/{task}/infer", content=b"x", headers={"Content-Encoding": "br"})
        refused(unknown, 415)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.sampled_from(["{task}/infer", "{task}.pixels/infer", "{bundle}/infer", "{task}/versions/1/infer"]),
        st.binary(max_size=30),
        st.none() | st.integers(0, 400) | st.text(max_size=5),
        st.sampled_from([None, "gzip", "deflate", "br", "gzip, deflate"]),
        st.booleans(),
        st.data(),
    )
    def test_no_body_is_a_fault_of_the_server(
        self,
        api: httpx.Client,
        task: str,
        path: str,
        noise_: bytes,
        length: int | str | None,
        encoding: str | None,
        packs: bool,
        data: st.DataObject,
    ) -> None:
        """Nearly right requests: a part of one changed, cut, compressed or not as it says."""
        right = triton_request(_QUERIES[:1], [requested("LABEL"), requested("NOVELTY", binary=False)])
        content = bytearray(right["content"])
        place = data.draw(st.integers(0, len(content)))
        content[place : place + data.draw(st.integers(0, 20))] = noise_
        body = bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
        headers = dict(right["headers"]) if length is None else {JSON_LENGTH: str(length)}
        if encoding is not None:
            headers["Content-Encoding"] = encoding
            if packs:
                body = gzip.compress(body) if encoding == "gzip" else zlib.compress(body) if encoding == "deflate" else body
        sent = [(name.encode(), value.strip().encode()) for name, value in headers.items() if value.isprintable()]
        answer = api.post(f"/v2/models/{path.format(task=task, bundle=_EMBEDDING)}", content=body, headers=sent)
        assert answer.status_code < 500, answer.text
        if answer.status_code != 200:
            refused(answer, answer.status_code)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[httpx.Client]:
    """A client with a `manage` key of a tenant that may bring twenty images a minute."""
    folder = tmp_path_factory.mktemp("v2-keys")
    place = ("--data-dir", str(folder / "data"))
    made = run_server("keys", "create", "--tenant", "ours", "--scope", "manage", *place, folder=folder)
    limited = run_server("quotas", "set", "--tenant", "ours", "--images-per-minute", "20", *place, folder=folder)
    assert limited.returncode == 0, limited.stderr
    with (
        ServerProcess(folder / "data", *small_flags) as process,
        httpx.Client(base_url=process.url, timeout=60, headers=bearer(made.stdout.strip())) as client,
    ):
        yield client


class TestWithKeys:
    def test_they_open_it_as_they_open_all_else(self, keyed: httpx.Client) -> None:
        task, other = (create(keyed, _EXAMPLES[:3])["id"] for _ in range(2))
        with httpx.Client(base_url=keyed.base_url) as stranger:
            for path in ("/v2/health/live", "/v2/health/ready"):
                assert stranger.get(path).status_code == 200
            answers = [stranger.get("/v2"), stranger.post("/v2/repository/index"), stranger.get(f"/v2/models/{task}")]
            answers.append(stranger.post(f"/v2/models/{task}/infer", **triton_request(_QUERIES)))
            for answer in answers:
                assert "asks for a key" in refused(answer, 401)
                assert answer.headers["www-authenticate"] == "Bearer"
        bound = keyed.post("/v1/keys", json={"scope": "predict", "task": task}).json()["token"]
        with httpx.Client(base_url=keyed.base_url, timeout=60, headers=bearer(bound)) as caller:
            infer(caller, task, _QUERIES[:1])
            names = {entry["name"] for entry in caller.post("/v2/repository/index").json()}
            assert names == {task, f"{task}.pixels"}
            for part in ("", "/config", "/ready", "/stats"):
                refused(caller.get(f"/v2/models/{other}.pixels{part}"), 404)
                refused(caller.get(f"/v2/models/{_EMBEDDING}{part}"), 403)
            refused(caller.post(f"/v2/models/{other}/infer", **triton_request(_QUERIES)), 404)
            refused(caller.post(f"/v2/models/{_EMBEDDING}/infer", **triton_request(_QUERIES)), 403)
            for action in ("load", "unload"):
                refused(caller.post(f"/v2/repository/models/{other}/{action}"), 404)
            infer(keyed, other, _QUERIES[:1])
            assert {each["name"] for each in caller.get("/v2/models/stats").json()["model_stats"]} == {task}

    def test_images_count_for_the_quota(self, keyed: httpx.Client) -> None:
        refusal = keyed.post(f"/v2/models/{_EMBEDDING}/infer", **triton_request(_QUERIES * 8))
        assert "a quota of 20 a minute" in refused(refusal, 429)
        assert "RateLimit" in refusal.headers
