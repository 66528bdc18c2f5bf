"""The Open Inference Protocol over gRPC on a real server: its answers beside those of the REST form, and its refusals."""

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict
from grpc import StatusCode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.server_process import free_port
from models.images.preprocess import load_image
from models.manifest import InputSpec
from tests.helpers.bundles import SMALL
from tests.helpers.grpc_calls import MESSAGES, Caller, infer_request, tensors
from tests.helpers.images import encode, photograph
from tests.helpers.open_inference import answered, packed, triton_request
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, queries
from tests.helpers.waiting import wait_until

_SIDE = 32  # of the images that `SMALL` looks at
_LABELS = ("cat", "dog: a good one", "fish")
_IMAGES = [encode(photograph(40, 50, seed=seed), "JPEG") for seed in range(9)]
_EXAMPLES = list(zip(_LABELS * 2, _IMAGES[:6], strict=True))
_QUERIES = _IMAGES[6:]
_EMBEDDING = f"{SMALL}.embedding"
_BODY_BYTES = 4_000_000
_READ_SECONDS = 1.5


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...], port: int) -> Iterator[ServerProcess]:
    limits = ("--max-body-bytes", str(_BODY_BYTES), "--max-images", "8")
    times = ("--body-timeout", str(_READ_SECONDS), "--header-timeout", "2", "--keep-alive", "2")
    data = tmp_path_factory.mktemp("grpc") / "data"
    with ServerProcess(data, *small_flags, *limits, *times, "--grpc-port", str(port)) as process:
        yield process
        assert process.stop() == 0
        lines = process.log().splitlines()
        assert all(line.startswith("{") for line in lines), "no line but ours"
        assert not any("unexpected" in line for line in lines)


@pytest.fixture(scope="module")
def api(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def task(api: httpx.Client) -> str:
    id_: str = create(api, _EXAMPLES, name="pets")["id"]
    return id_


@pytest.fixture(scope="module")
def call(server: ServerProcess, port: int) -> Iterator[Caller]:
    assert server
    with Caller(port) as caller:
        yield caller


def document(message: Any) -> Any:
    """A message as JSON; numbers of 64 bits are texts there."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def in_texts(value: Any) -> Any:
    """A document whose numbers are texts."""
    if isinstance(value, dict):
        return {name: in_texts(each) for name, each in value.items()}
    if isinstance(value, list):
        return [in_texts(each) for each in value]
    return str(value)


def refusal(error: pytest.ExceptionInfo[grpc.RpcError], code: StatusCode) -> str:
    """What a refused call says."""
    raised: Any = error.value
    assert raised.code() is code, raised
    said: str = raised.details()
    return said


def scores(api: httpx.Client, task: str, images: list[bytes]) -> NDArray[np.float32]:
    """The probabilities that our own call answers."""
    response = api.post(f"/v1/tasks/{task}/predict", **queries(images))
    assert response.status_code == 200, response.text
    return np.array([[one["scores"][label] for label in _LABELS] for one in response.json()["predictions"]], np.float32)


class TestDocuments:
    def test_the_server_lives_and_is_ready(self, call: Caller, api: httpx.Client) -> None:
        assert call("ServerLive").live
        assert call("ServerReady").ready
        assert document(call("ServerMetadata")) == api.get("/v2").json()

    @pytest.mark.parametrize(("suffix", "version"), [("", ""), ("", "1"), (".pixels", "")])
    def test_a_model_is_described_as_in_the_rest_form(
        self, call: Caller, api: httpx.Client, task: str, suffix: str, version: str
    ) -> None:
        model, path = {"name": task + suffix, "version": version}, f"/v2/models/{task}{suffix}{version and '/versions/1'}"
        assert call("ModelReady", **model).ready
        assert in_texts(document(call("ModelMetadata", **model))) == in_texts(api.get(path).json())
        config = document(call("ModelConfig", **model).config)
        shown = api.get(f"{path}/config").json()
        for tensor in shown["input"]:
            tensor.setdefault("format", "FORMAT_NONE")
        assert in_texts(config) == in_texts(shown)
        statistics = document(call("ModelStatistics", **model))
        assert in_texts(statistics) == in_texts(api.get(f"{path}/stats").json())

    def test_the_index_and_the_repository(self, call: Caller, api: httpx.Client, task: str) -> None:
        for ready in (False, True):
            listed = document(call("RepositoryIndex", ready=ready))["models"]
            assert listed == api.post("/v2/repository/index", json={"ready": ready}).json()
        for name in (task, f"{task}.pixels", _EMBEDDING):
            call("RepositoryModelLoad", model_name=name)
            with pytest.raises(grpc.RpcError) as error:
                call("RepositoryModelUnload", model_name=name)
            assert "stays loaded" in refusal(error, StatusCode.INVALID_ARGUMENT)
        message = MESSAGES["RepositoryModelLoad"].request(model_name=task)
        message.parameters["config"].string_param = "{}"
        with pytest.raises(grpc.RpcError) as error:
            call("RepositoryModelLoad", message)
        assert "without parameters" in refusal(error, StatusCode.INVALID_ARGUMENT)

    def test_what_is_not_there_is_not_ready_and_not_found(self, call: Caller, task: str) -> None:
        for name in ("none", "stats", f"{task}/versions/1", "%2F", "\u65e5\u672c", "none\n"):
            assert not call("ModelReady", name=name).ready
            for method in ("ModelMetadata", "ModelConfig", "ModelStatistics"):
                with pytest.raises(grpc.RpcError) as error:
                    call(method, name=name)
                assert "there is no task" in refusal(error, StatusCode.NOT_FOUND)
        with pytest.raises(grpc.RpcError) as error:
            call("ModelMetadata", name=task, version="9")
        assert "no version" in refusal(error, StatusCode.NOT_FOUND)
        closed = next(each.name for each in call("RepositoryIndex").models if each.state == "UNAVAILABLE")
        with pytest.raises(grpc.RpcError) as error:
            call("ModelInfer", infer_request(closed, _QUERIES))
        assert "not open" in refusal(error, StatusCode.FAILED_PRECONDITION)

    def test_statistics_of_all_models_count_calls(self, call: Caller, api: httpx.Client) -> None:
        task = create(api, _EXAMPLES)["id"]
        call("ModelInfer", infer_request(task, _QUERIES))
        (found,) = [each for each in call("ModelStatistics").model_stats if each.name == task]
        assert (found.inference_count, found.execution_count, found.inference_stats.success.count) == (len(_QUERIES), 1, 1)


class TestAnswers:
    @pytest.mark.parametrize("typed", [False, True], ids=["raw", "typed"])
    def test_they_are_those_of_our_own_call(self, call: Caller, api: httpx.Client, task: str, typed: bool) -> None:
        response = call("ModelInfer", infer_request(task, _QUERIES, typed=typed, id="4f"))
        assert (response.model_name, response.model_version, response.id) == (task, "1", "4f")
        assert bool(response.raw_output_contents) != typed, "an answer has the form of its request"
        found = tensors(response)
        assert found.keys() == {"PROBABILITY"}
        np.testing.assert_array_equal(found["PROBABILITY"], scores(api, task, _QUERIES))

    @pytest.mark.parametrize("typed", [False, True], ids=["raw", "typed"])
    def test_every_output_is_that_of_the_rest_form(self, call: Caller, api: httpx.Client, task: str, typed: bool) -> None:
        names = ("NOVELTY", "LABEL", "PROBABILITY", "KNOWN")
        asked = [{"name": name, "parameters": {"binary_data": True}} for name in names]
        expected = answered(api.post(f"/v2/models/{task}/infer", **triton_request(_QUERIES, asked))).tensors
        found = tensors(call("ModelInfer", infer_request(task, _QUERIES, names, typed=typed, model_version="1")))
        assert list(found) == list(names)
        for name in names:
            assert found[name].tolist() == expected[name].tolist()

    def test_classes_have_value_index_and_label(self, call: Caller, api: httpx.Client, task: str) -> None:
        found = tensors(call("ModelInfer", infer_request(task, _QUERIES, [("PROBABILITY", 1)])))["PROBABILITY"]
        best = scores(api, task, _QUERIES)
        for (text,), row in zip(found.tolist(), best, strict=True):
            index = int(row.argmax())
            assert text.decode().split(":", 2)[1:] == [str(index), _LABELS[index]]

    @pytest.mark.parametrize("typed", [False, True], ids=["raw", "typed"])
    def test_pixels_are_answered_as_the_image_of_them(self, call: Caller, task: str, typed: bool) -> None:
        pixels = np.stack([load_image(image, InputSpec(height=_SIDE, width=_SIDE)) for image in _QUERIES])
        expected = tensors(call("ModelInfer", infer_request(task, [encode(each) for each in pixels])))
        found = tensors(call("ModelInfer", infer_request(f"{task}.pixels", pixels, typed=typed)))
        np.testing.assert_array_equal(found["PROBABILITY"], expected["PROBABILITY"])

    def test_embeddings_are_those_of_the_rest_form(self, call: Caller, api: httpx.Client) -> None:
        expected = answered(api.post(f"/v2/models/{_EMBEDDING}/infer", **triton_request(_QUERIES))).tensors
        found = tensors(call("ModelInfer", infer_request(_EMBEDDING, _QUERIES)))
        np.testing.assert_array_equal(found["EMBEDDING"], expected["EMBEDDING"])

    @pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
    def test_a_message_may_come_compressed(self, call: Caller, task: str, compression: Any) -> None:
        sent = infer_request(task, _QUERIES)
        response = call.raw("ModelInfer", sent.SerializeToString(), compression=compression)
        assert MESSAGES["ModelInfer"].response.FromString(response) == call("ModelInfer", sent)

    def test_a_large_message_is_answered(self, call: Caller, api: httpx.Client, task: str) -> None:
        """Read on a thread."""
        large = encode(photograph(700, 700, seed=3), "PNG")
        assert len(large) > 300_000
        found = tensors(call("ModelInfer", infer_request(task, [large] * 2, typed=True)))
        np.testing.assert_array_equal(found["PROBABILITY"], scores(api, task, [large] * 2))

    def test_the_id_of_a_request_is_the_callers(self, call: Caller, server: ServerProcess) -> None:
        call.raw("ServerMetadata", b"", [("x-request-id", "mine-17"), ("x-other", "ignored")])
        assert call.trailing["x-request-id"] == "mine-17"
        wait_until(lambda: "mine-17" in server.log())


def _with(message: Any, **fields: Any) -> Any:
    for name, value in fields.items():
        getattr(message, name).extend(value)
    return message


def _shared_memory(where: str) -> Any:
    message = infer_request("{task}", _QUERIES[:1], ["LABEL"])
    getattr(message, where)[0].parameters["shared_memory_region"].string_param = "region"
    return message


class TestRefusals:
    @pytest.mark.parametrize(
        ("message", "said"),
        [
            (infer_request("{task}", [_IMAGES[0], b"no image"]), "image 2 of 2"),
            (infer_request("{task}", [_IMAGES[0], b"no image"], typed=True), "image 2 of 2"),
            (infer_request("{task}", []), "there are no images"),
            (infer_request("{task}", [_IMAGES[0]] * 9), "the limit is 8"),
            (infer_request("{task}", _QUERIES, ["BOXES"]), "no output 'BOXES'"),
            (infer_request("{task}", _QUERIES, [("LABEL", 1)]), "no classification"),
            (infer_request("{task}", np.zeros((1, 2, 2, 3), np.uint8)), "one input, 'IMAGE' of type BYTES"),
            (infer_request("{task}.pixels", np.zeros((1, 2, 2, 3), np.uint8)), "pixels of shape [1, 2, 2, 3]"),
            (infer_request("", _QUERIES), "names no model"),
            (infer_request("x" * 1001, _QUERIES), "1000 characters"),
            (MESSAGES["ModelInfer"].request(model_name="{task}"), "inputs"),
            (_with(infer_request("{task}", _QUERIES), raw_input_contents=[b""]), "one for each"),
            (_with(infer_request("{task}", _QUERIES, typed=True), raw_input_contents=[b""]), "beside raw_input_contents"),
            (_shared_memory("inputs"), "no shared memory"),
            (_shared_memory("outputs"), "no shared memory"),
        ],
    )
    def test_a_request_that_does_not_fit(self, call: Caller, task: str, message: Any, said: str) -> None:
        sent = type(message)()
        sent.CopyFrom(message)
        sent.model_name = message.model_name.format(task=task)
        with pytest.raises(grpc.RpcError) as error:
            call("ModelInfer", sent)
        assert said in refusal(error, StatusCode.INVALID_ARGUMENT)

    def test_a_number_that_is_no_byte(self, call: Caller, task: str) -> None:
        message = infer_request(f"{task}.pixels", np.zeros((1, _SIDE, _SIDE, 3), np.uint8), typed=True)
        message.inputs[0].contents.uint_contents[5] = 256
        with pytest.raises(grpc.RpcError) as error:
            call("ModelInfer", message)
        assert "holds 256" in refusal(error, StatusCode.INVALID_ARGUMENT)

    def test_bytes_that_are_no_message(self, call: Caller) -> None:
        for name in ("ModelInfer", "ModelMetadata"):
            for data in (b"\xff", b"\x0a\x02\xff\xfe", b"\x0a\x05a"):
                with pytest.raises(grpc.RpcError) as error:
                    call.raw(name, data)
                assert f"no message {name}Request" in refusal(error, StatusCode.INVALID_ARGUMENT)

    def test_a_message_that_would_be_large_in_memory(self, call: Caller, task: str) -> None:
        """Empty inputs of two bytes, and a list of models' names as long as a body may be."""
        with pytest.raises(grpc.RpcError) as error:
            call.raw("ModelInfer", infer_request(task, []).SerializeToString() + b"\x2a\x00" * 1_000_000)
        assert "raw_input_contents" in refusal(error, StatusCode.INVALID_ARGUMENT)
        with pytest.raises(grpc.RpcError) as error:
            call("ModelMetadata", name="x" * 70_000)
        assert "65536 bytes" in refusal(error, StatusCode.INVALID_ARGUMENT)

    @pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip])
    def test_a_message_that_is_larger_than_a_body(self, call: Caller, task: str, compression: Any) -> None:
        sent = infer_request(task, [bytes(_BODY_BYTES)]).SerializeToString()
        with pytest.raises(grpc.RpcError) as error:
            call.raw("ModelInfer", sent, compression=compression)
        assert "larger than max" in refusal(error, StatusCode.RESOURCE_EXHAUSTED)

    def test_a_call_that_is_not_there(self, call: Caller) -> None:
        for name in ("ModelStreamInfer", "SystemSharedMemoryStatus", "None"):
            with pytest.raises(grpc.RpcError) as error:
                call.raw(name, b"")
            refusal(error, StatusCode.UNIMPLEMENTED)

    def test_a_call_without_a_message(self, call: Caller) -> None:
        with pytest.raises(grpc.RpcError) as error:
            call.streamed("ModelInfer", [])
        assert "no message" in refusal(error, StatusCode.INVALID_ARGUMENT)

    def test_a_message_that_does_not_come(self, call: Caller) -> None:
        def silent() -> Iterator[bytes]:
            time.sleep(10 * _READ_SECONDS)
            yield b""

        started = time.monotonic()
        with pytest.raises(grpc.RpcError) as error:
            call.streamed("ModelInfer", silent())
        assert "did not come" in refusal(error, StatusCode.DEADLINE_EXCEEDED)
        assert time.monotonic() - started < 6 * _READ_SECONDS

    def test_an_error_is_as_short_as_clients_read_it(self, call: Caller) -> None:
        with pytest.raises(grpc.RpcError) as error:
            call("ModelMetadata", name="\U0001f408" * 1000)
        assert "there is no task" in refusal(error, StatusCode.NOT_FOUND)


@pytest.mark.parametrize(
    "said", [b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)], ids=["before", "after"]
)
def test_a_connection_that_has_nothing_to_ask_is_closed(server: ServerProcess, port: int, said: bytes) -> None:
    """Before it says what it is, or once it is idle."""
    assert server
    with socket.create_connection(("127.0.0.1", port), timeout=30) as silent:
        silent.sendall(said)
        while silent.recv(65_536):
            pass


@pytest.mark.parametrize("headers", [{}, {"content-type": "text/plain"}, {"te": "gzip"}])
def test_what_a_web_page_can_send_is_no_call(server: ServerProcess, port: int, headers: dict[str, str]) -> None:
    """Browsers set no `te: trailers`. A stream that is refused so is reset, and the application hears nothing."""
    id_ = f"page-{len(headers)}-{'te' in headers}"
    sent = {":path": "/inference.GRPCInferenceService/ServerLive", ":authority": "localhost", "x-request-id": id_}
    literal = b"".join(b"\x00%c%b%c%b" % (len(k), k.encode(), len(v), v.encode()) for k, v in {**sent, **headers}.items())
    frames = [(4, 0, 0, b""), (1, 4, 1, b"\x83\x86" + literal), (0, 1, 1, bytes(5))]  # SETTINGS, HEADERS of a POST, DATA
    with socket.create_connection(("127.0.0.1", port), timeout=20) as page:
        page.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        for kind, flags, stream, payload in frames:
            page.sendall(len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload)
        heard = b""
        while b"\x00\x00\x04\x03\x00\x00\x00\x00\x01" not in heard:  # RST_STREAM
            heard += (piece := page.recv(65_536))
            assert piece
    assert id_ not in server.log()


_PARAMETERS = st.dictionaries(
    st.sampled_from(["classification", "binary_data", "binary_data_size", "content_type", "shared_memory_region", "x"]),
    st.one_of(
        st.builds(dict, bool_param=st.booleans()),
        st.builds(dict, int64_param=st.integers(-(2**63), 2**63 - 1)),
        st.builds(dict, string_param=st.text(max_size=5)),
        st.builds(dict, double_param=st.floats()),
        st.builds(dict, uint64_param=st.integers(0, 2**64 - 1)),
        st.just({}),
    ),
    max_size=2,
)
_ELEMENTS = st.lists(st.sampled_from([_IMAGES[0], b"", b"x"]), max_size=3)
_CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        "bytes_contents": _ELEMENTS,
        "uint_contents": st.lists(st.integers(0, 2**32 - 1), max_size=5),
        "fp32_contents": st.lists(st.floats(width=32), max_size=3),
        "bool_contents": st.lists(st.booleans(), max_size=3),
    },
)
_INPUTS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["IMAGE", "PIXELS"]) | st.text(max_size=5),
        "datatype": st.sampled_from(["BYTES", "UINT8", "FP32", ""]),
        "shape": st.lists(st.sampled_from([1, 2, 0, 3, -1, 2**62]) | st.integers(-(2**63), 2**63 - 1), max_size=4),
    },
    optional={"parameters": _PARAMETERS, "contents": _CONTENTS},
)
_OUTPUTS = st.fixed_dictionaries(
    {"name": st.sampled_from(["LABEL", "PROBABILITY", "KNOWN", "EMBEDDING"]) | st.text(max_size=5)},
    optional={"parameters": _PARAMETERS},
)
_REQUESTS = st.fixed_dictionaries(
    {"model_name": st.sampled_from(["{task}", "{task}.pixels", _EMBEDDING]) | st.text(max_size=5)},
    optional={
        "model_version": st.sampled_from(["1", "0", "x", "/"]) | st.text(max_size=3),
        "id": st.text(max_size=5),
        "parameters": _PARAMETERS,
        "inputs": st.lists(_INPUTS, max_size=2),
        "outputs": st.lists(_OUTPUTS, max_size=2),
        "raw_input_contents": st.lists(_ELEMENTS.map(packed) | st.binary(max_size=12), max_size=2),
    },
)
_FAULTS = {StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED}


def outcome(ask: Callable[[], object]) -> StatusCode:
    """The status of a call."""
    try:
        ask()
    except grpc.RpcError as error:
        code: StatusCode = error.code()
        return code
    return StatusCode.OK


class TestNoMessageIsAFaultOfTheServer:
    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(_REQUESTS)
    def test_of_odd_fields(self, call: Caller, task: str, fields: dict[str, Any]) -> None:
        sent = {**fields, "model_name": fields["model_name"].replace("{task}", task)}
        assert outcome(lambda: call("ModelInfer", **sent)) not in _FAULTS

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sampled_from(sorted(MESSAGES)), st.binary(max_size=20), st.integers(0, 400), st.integers(0, 20))
    def test_of_bytes_that_are_nearly_right(
        self, call: Caller, task: str, name: str, noise: bytes, place: int, length: int
    ) -> None:
        right = infer_request(task, _QUERIES[:1], ["LABEL", ("PROBABILITY", 1)], typed=True, id="17")
        data = bytearray(
            right.SerializeToString() if name == "ModelInfer" else MESSAGES["ModelReady"].request(name=task).SerializeToString()
        )
        data[place : place + length] = noise
        assert outcome(lambda: call.raw(name, bytes(data))) not in _FAULTS
