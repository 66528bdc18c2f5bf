"""`Idempotency-Key`: the same key with the same request within 24 hours gets the first answer again."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar

from fastapi.responses import Response
from pydantic import BaseModel

from server.errors import AnswerForgotten, IdempotencyKeyReused, InvalidRequest
from server.http.dependencies import TENANT, reply
from server.journeys.support_set import LabelledImage, fingerprint
from server.service import Service
from server.store.records import Replay, ReplayExists

_MAX_KEY = 255

_Body = TypeVar("_Body", bound=BaseModel)
Keep: TypeAlias = Callable[[_Body], Replay]
"""Makes, of a reply, the record that answers a retry of the same request."""


async def create_once(
    service: Service,
    key: str | None,
    purpose: str,
    examples: Sequence[LabelledImage],
    create: Callable[[Keep[_Body] | None], Awaitable[_Body]],
    location: Callable[[_Body], str],
    status: int = 201,
) -> Response:
    """Answers a request that creates: by creating, or, for a key seen before, with the answer that it was given.

    Args:
        purpose: what is asked for beside `examples`; both must be the same for the request to be the same.
        location: where what the reply shows is found.

    Raises:
        IdempotencyKeyReused: the key came with another request before.
        AnswerForgotten: what the key was answered told of a task or an example that has been forgotten.
        InvalidRequest: the key is empty or too long.
    """

    def created(body: _Body) -> Response:
        return reply(body, status, {"Location": location(body)})

    if key is None:
        return created(await create(None))
    if not 1 <= len(key) <= _MAX_KEY:
        raise InvalidRequest(f"Idempotency-Key has {len(key)} characters; it needs 1 to {_MAX_KEY}")

    asked = await service.pools.in_thread(fingerprint, purpose, examples)

    def keep(body: _Body) -> Replay:
        return Replay(key, asked, status, body.model_dump_json(), location(body))

    async with service.key_locks.hold(key):
        if (replay := await service.pools.in_thread(service.store.replay, TENANT, key)) is None:
            try:
                return created(await create(keep))
            except ReplayExists:  # Another machine, or a first try whose client had left, was faster.
                replay = await service.pools.in_thread(service.store.replay, TENANT, key)
                assert replay is not None
    if replay.forgotten:
        raise AnswerForgotten
    if replay.fingerprint != asked:
        raise IdempotencyKeyReused("this Idempotency-Key was used for another request within 24 hours; use a new one")
    headers = {"Idempotent-Replayed": "true", **({"Location": replay.location} if replay.location else {})}
    return Response(replay.body, replay.status, headers, "application/json")
