"""The calls of the service: how each becomes a request of the REST form, and how its answer becomes a message."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from google.protobuf.json_format import ParseDict
from msgspec.json import decode, encode

from server.grpc.messages import InvalidMessage, Message
from server.grpc.tensors import infer_response, rest_request
from server.http.inside import Answer, Asked

_MODELS, _REPOSITORY = "/v2/models", "/v2/repository/models"
_ALL_STATISTICS = f"{_MODELS}/stats"
_JSON_LENGTH = b"inference-header-content-length"
_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")
_LONGEST_NAME = 1000  # characters of a model's name or version

_SERVER, _LIVE, _READY = Asked("GET", "/v2"), Asked("GET", "/v2/health/live"), Asked("GET", "/v2/health/ready")

# The protocol of Triton answers whether something is ready, and an error only if it cannot tell.
_STATES = frozenset({HTTPStatus.OK, HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class Call:
    """A call.

    Attributes:
        ask: returns the request that a message becomes. Raises InvalidMessage.
        fill: fills a response from the answer to that request. The flag is whether the message's tensors are typed.
        door: a request whose head is known before the message is read. Whoever may make the call may make it as well.
        answered: the statuses of answers that are no errors.
    """

    ask: Callable[[Message], Asked]
    fill: Callable[[Message, Answer, bool], None]
    door: Asked = _SERVER
    answered: frozenset[int] = frozenset({HTTPStatus.OK})


def _path(name: str, version: str, rest: str, models: str = _MODELS) -> str:
    """Returns the path of a model, or of a version of it. A slash in a name does not divide the path."""
    if not name:
        raise InvalidMessage("the message names no model")
    if max(len(name), len(version)) > _LONGEST_NAME:
        raise InvalidMessage(f"a model's name and version have {_LONGEST_NAME} characters at most")
    parts = [models, *([name, "versions", version] if version else [name])]
    path = "/".join([parts[0], *(part.replace("/", "%2F") for part in parts[1:])]) + rest
    return path if path != _ALL_STATISTICS else f"{_MODELS}/%stats"


def _of_model(rest: str) -> Callable[[Message], Asked]:
    return lambda message: Asked("GET", _path(message.name, message.version, rest))


def _statistics(message: Message) -> Asked:
    return _of_model("/stats")(message) if message.name else Asked("GET", _ALL_STATISTICS)


def _index(message: Message) -> Asked:
    return Asked("POST", "/v2/repository/index", (_JSON,), encode({"ready": message.ready}))


def _load(message: Message) -> Asked:
    given = encode({"parameters": dict.fromkeys(message.parameters)})
    return Asked("POST", _path(message.model_name, "", "/load", _REPOSITORY), (_JSON,), given)


def _unload(message: Message) -> Asked:
    return Asked("POST", _path(message.model_name, "", "/unload", _REPOSITORY))


def _infer(message: Message) -> Asked:
    path = _path(message.model_name, message.model_version, "/infer")
    body, length = rest_request(message)
    return Asked("POST", path, (_BINARY, (_JSON_LENGTH, b"%d" % length)), body)


def _fill(response: Message, answer: Answer, _typed: bool) -> None:
    ParseDict(decode(answer.body), response)


def _fill_member(name: str) -> Callable[[Message, Answer, bool], None]:
    def fill(response: Message, answer: Answer, _typed: bool) -> None:
        ParseDict({name: decode(answer.body)}, response)

    return fill


def _fill_state(name: str) -> Callable[[Message, Answer, bool], None]:
    def fill(response: Message, answer: Answer, _typed: bool) -> None:
        setattr(response, name, decode(answer.body).get(name, False))

    return fill


def _fill_nothing(_response: Message, _answer: Answer, _typed: bool) -> None:
    pass


def _fill_tensors(response: Message, answer: Answer, typed: bool) -> None:
    length = answer.header(_JSON_LENGTH)
    assert length is not None  # Every output was asked for in bytes.
    infer_response(response, answer.body, int(length), typed=typed)


CALLS: Mapping[str, Call] = {
    "ServerLive": Call(lambda _: _LIVE, _fill_state("live"), _LIVE),
    "ServerReady": Call(lambda _: _READY, _fill_state("ready"), _READY, _STATES),
    "ServerMetadata": Call(lambda _: _SERVER, _fill),
    "ModelReady": Call(_of_model("/ready"), _fill_state("ready"), answered=_STATES),
    "ModelMetadata": Call(_of_model(""), _fill),
    "ModelConfig": Call(_of_model("/config"), _fill_member("config")),
    "ModelStatistics": Call(_statistics, _fill),
    "ModelInfer": Call(_infer, _fill_tensors),
    "RepositoryIndex": Call(_index, _fill_member("models")),
    "RepositoryModelLoad": Call(_load, _fill_nothing),
    "RepositoryModelUnload": Call(_unload, _fill_nothing),
}
