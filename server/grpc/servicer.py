"""The service: it reads a call's message once its key is known, asks the application, and answers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError
from grpc import StatusCode
from msgspec.json import decode

from server.errors import Overloaded
from server.grpc.calls import CALLS, Call
from server.grpc.cost import check_cost, is_light
from server.grpc.messages import SERVICE, InvalidMessage, Message, Messages, read_messages
from server.grpc.room import MessageRoom, Place
from server.http.inside import Answer, Asked, Headers, Inside
from server.settings import Settings

_log = logging.getLogger(__name__)

_STATUS = {
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.NOT_FOUND,
    409: StatusCode.FAILED_PRECONDITION,
    413: StatusCode.RESOURCE_EXHAUSTED,
    422: StatusCode.INVALID_ARGUMENT,
    429: StatusCode.RESOURCE_EXHAUSTED,
    499: StatusCode.CANCELLED,
    503: StatusCode.UNAVAILABLE,
}
_TAKEN = frozenset({"authorization", "headstart-at-least", "traceparent", "tracestate", "x-request-id"})
_TOLD = frozenset({b"headstart-at-least", b"ratelimit", b"ratelimit-policy", b"retry-after", b"x-request-id"})
_BUSY = frozenset({429, 503})
_PAUSE = "grpc-retry-pushback-ms"
_MOST_WITHOUT_IMAGES = 65_536  # bytes of a message that holds no images
_LARGE = 262_144  # bytes that take the event loop longer to read or write than to hand to a thread
_SHOWN = 500  # characters of an error: clients read 8 KB of it, and escaped a character may have 12

_Result = TypeVar("_Result")


class _Refused(Exception):
    """The call is refused.

    Attributes:
        trailing: metadata that go with it.
    """

    def __init__(self, status: StatusCode, text: str, trailing: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.trailing = trailing


def service_handler(inside: Inside, settings: Settings) -> Any:
    """Returns what serves the calls of the service.

    To gRPC each takes a stream of messages in bytes. So its message is read when it is asked for, which is after its key was
    checked and there is room for it. To a client a stream of one message is a plain call.
    """
    service = _Service(inside, settings)
    handlers = {
        name: grpc.stream_unary_rpc_method_handler(service.serving(name, CALLS[name], messages))
        for name, messages in read_messages().items()
    }
    return grpc.method_handlers_generic_handler(SERVICE, handlers)


class _Service:
    def __init__(self, inside: Inside, settings: Settings) -> None:
        self._inside = inside
        self._read_seconds = settings.body_timeout
        self._room = MessageRoom(settings)

    def serving(self, name: str, call: Call, messages: Messages) -> Callable[[Any, Any], Awaitable[bytes]]:
        """Returns the function that serves a call."""

        async def serve(_messages: Any, context: Any) -> bytes:
            try:
                return await self._served(name, call, messages, context)
            except _Refused as refused:
                await context.abort(refused.status, str(refused)[:_SHOWN], tuple(refused.trailing))
            except Exception:
                _log.exception("unexpected")
                await context.abort(StatusCode.INTERNAL, "something went wrong on the server; its log has the details")
            raise AssertionError("abort raises")

        return serve

    async def _served(self, name: str, call: Call, messages: Messages, context: Any) -> bytes:
        headers = _headers(context)
        await self._pass(call, headers)
        if messages.request.DESCRIPTOR.fields:
            answer, typed = await self._answered(name, call, messages.request, context, headers)
        else:  # Some of these calls need no key. There is nothing to read.
            answer, typed = await self._inside.ask(call.ask(messages.request()), headers), False
        _check(answer, call)
        context.set_trailing_metadata(_told(answer))
        return await _computed(len(answer.body) > _LARGE, _written, call, messages.response(), answer, typed)

    async def _answered(
        self, name: str, call: Call, request: type[Message], context: Any, headers: Headers
    ) -> tuple[Answer, bool]:
        """Returns the answer to a message, and whether the message's tensors are typed. The message has room until then."""
        try:
            async with self._room.place() as place:
                data = await self._read(place, context)
                heavy = len(data) > _LARGE or (name == "ModelInfer" and not is_light(data))
                asked, typed = await _computed(heavy, _understood, name, call, request, data)
                del data  # The request holds what it needs of it.
                return await self._inside.ask(asked, headers), typed
        except InvalidMessage as error:
            raise _Refused(StatusCode.INVALID_ARGUMENT, str(error)) from None
        except Overloaded as error:  # The application answers it, and counts and logs that.
            raise _refusal(await self._inside.ask(call.door, headers, error)) from None

    async def _pass(self, call: Call, headers: Headers) -> None:
        """Refuses whoever may not make a call, before anything is read of it but its head."""
        if not await self._inside.admits(call.door, headers):
            _check(await self._inside.ask(call.door, headers), call)  # The application refuses it, and counts and logs that.

    async def _read(self, place: Place, context: Any) -> bytes:
        try:
            data = await self._room.read(place, context.read)
        except TimeoutError:
            text = f"the message did not come within {self._read_seconds:g} seconds"
            raise _Refused(StatusCode.DEADLINE_EXCEEDED, text) from None
        if not isinstance(data, bytes):  # gRPC has itself answered one that is too large.
            raise _Refused(StatusCode.INVALID_ARGUMENT, "the call has no message")
        return data


async def _computed(heavy: bool, function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Calls a function here, or on a thread if it would keep the event loop."""
    return await asyncio.to_thread(function, *arguments) if heavy else function(*arguments)


def _understood(name: str, call: Call, request: type[Message], data: bytes) -> tuple[Asked, bool]:
    """Returns the request that a message becomes, and whether its tensors are typed. Raises InvalidMessage."""
    if name == "ModelInfer":
        check_cost(data)
    elif len(data) > _MOST_WITHOUT_IMAGES:
        raise InvalidMessage(f"a message without images has {_MOST_WITHOUT_IMAGES} bytes at most")
    try:
        message = request.FromString(data)
    except DecodeError:
        raise InvalidMessage(f"this is no message {request.DESCRIPTOR.name}") from None
    return call.ask(message), name == "ModelInfer" and not message.raw_input_contents


def _written(call: Call, response: Message, answer: Answer, typed: bool) -> bytes:
    call.fill(response, answer, typed)
    written: bytes = response.SerializeToString()
    return written


def _check(answer: Answer, call: Call) -> None:
    """Raises _Refused for an answer that is an error."""
    if answer.status not in call.answered:
        raise _refusal(answer)


def _refusal(answer: Answer) -> _Refused:
    text = decode(answer.body)["error"] if answer.body else "the client has left"
    return _Refused(_STATUS.get(answer.status, StatusCode.INTERNAL), text, _told(answer))


def _headers(context: Any) -> Headers:
    """Returns the headers that the metadata of a call become."""
    return [(name.encode(), value.encode()) for name, value in context.invocation_metadata() or () if name in _TAKEN]


def _told(answer: Answer) -> list[tuple[str, str]]:
    """Returns the metadata that the headers of an answer become.

    Channels that retry by themselves obey the pause in milliseconds, and do not retry where it is negative
    (https://github.com/grpc/proposal/blob/master/A6-client-retries.md).
    """
    told = [(name.decode(), value.decode()) for name, value in answer.headers if name in _TOLD]
    if answer.status in _BUSY:
        seconds = answer.header(b"retry-after")
        told.append((_PAUSE, "-1" if seconds is None else f"{seconds.decode()}000"))
    return told
