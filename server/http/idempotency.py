"""`Idempotency-Key`: the same key with the same request within 24 hours gets the first answer again."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from fastapi.responses import Response
from pydantic import BaseModel

from server.errors import AnswerForgotten, HeadstartError, IdempotencyKeyReused, InvalidRequest
from server.http.dependencies import reply
from server.journeys.support_set import LabelledImage, fingerprint
from server.service import Service
from server.store.records import Asked, Replay, ReplayExists

_MAX_KEY = 255
_REPLAYED = "Idempotent-Replayed"

_Body = TypeVar("_Body", bound=BaseModel)


async def create_once(
    service: Service,
    tenant: str,
    key: str | None,
    purpose: str,
    examples: Sequence[LabelledImage],
    create: Callable[[Asked | None], Awaitable[_Body]],
    again: Callable[[Replay], Awaitable[_Body]],
    location: Callable[[_Body], str],
    status: int = 201,
) -> Response:
    """Answers a request that creates: by creating, or, for a key seen before, with the answer that it was given.

    Args:
        purpose: what is asked for beside `examples`; both must be the same for the request to be the same.
        create: does what is asked and makes the reply; what it is given is kept in the same transaction.
        again: makes the same reply of what was kept.
        location: where what the reply shows is found.

    Raises:
        IdempotencyKeyReused: the key came with another request before.
        AnswerForgotten: what the key was answered told of a task or an example that has been forgotten.
        InvalidRequest: the key is empty or too long.
    """

    def created(body: _Body, **headers: str) -> Response:
        return reply(body, status, {"Location": location(body), **headers})

    if key is None:
        return created(await create(None))
    if not 1 <= len(key) <= _MAX_KEY:
        raise InvalidRequest(f"Idempotency-Key has {len(key)} characters; it needs 1 to {_MAX_KEY}")

    asked = Asked(key, await service.pools.in_thread(fingerprint, purpose, examples))
    async with service.key_locks.hold((tenant, key)):
        if (replay := await service.pools.in_thread(service.store.replay, tenant, key)) is None:
            try:
                return created(await create(asked))
            except (ReplayExists, HeadstartError):
                # Another machine, or a first try whose client had left, was faster. What it did may be why this try failed.
                replay = await service.pools.in_thread(service.store.replay, tenant, key)
                if replay is None:
                    raise
    if replay.forgotten:
        raise AnswerForgotten
    if replay.asked.fingerprint != asked.fingerprint:
        raise IdempotencyKeyReused("this Idempotency-Key was used for another request within 24 hours; use a new one")
    if kept := replay.reply:
        headers = {_REPLAYED: "true", **({"Location": kept.location} if kept.location else {})}
        return Response(kept.body, kept.status, headers, "application/json")
    return created(await again(replay), **{_REPLAYED: "true"})
