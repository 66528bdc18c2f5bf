"""The deployment that serves, and the application of both."""

import asyncio
from collections.abc import Mapping
from functools import partial

from pydantic import ValidationError
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.app import create_app
from server.on_ray.backbone import RemoteBackbone
from server.on_ray.calls import BATCHES
from server.on_ray.engines import Engines
from server.on_ray.replica import prepare
from server.settings import InvalidSettings, Settings
from server.starting import collect_less

_REQUESTS = 4096  # of a replica of `Api`. The server refuses what is too much, in its own words.
_ANYWHERE = "0.0.0.0"  # noqa: S104 -- Serve's proxy may listen at any address, so keys are needed, or `insecure`
_OF_SERVE = frozenset({
    "port", "grpc_port", "ssl_certfile", "ssl_keyfile", "workers", "shared_engine", "fit_device", "keep_alive", "header_timeout",
    "max_connections", "drain_seconds", "shutdown_timeout",
})  # fmt: skip


class Api:
    """The server: all its routes, on its store, with the heads that its tasks need."""

    def __init__(self, settings: Settings, engines: DeploymentHandle) -> None:
        prepare(settings, "api")
        self._settings = settings
        self._engines = engines

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        settings = self._settings
        if _is_sqlite(settings) and (count := serve.get_replica_context().world_size) > 1:
            raise InvalidSettings(f"{count} replicas of Api need a database_url of PostgreSQL: SQLite is for one")
        elsewhere = partial(RemoteBackbone, self._engines, settings.queue_seconds)
        app = await asyncio.to_thread(create_app, settings, elsewhere=elsewhere)  # which waits for replicas of Engines
        collect_less()
        return _with_the_id_of_serve(app)


def application(arguments: Mapping[str, str]) -> Application:
    """Returns the application. Its arguments are settings of the server; the environment's variables count too.

    Raises:
        InvalidSettings: a setting is unknown or impossible, or belongs to Serve.
    """
    try:
        settings = Settings(**{"host": _ANYWHERE, **arguments})  # type: ignore[arg-type]
    except ValidationError as error:
        problem = error.errors()[0]
        raise InvalidSettings(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    if names := sorted(_OF_SERVE & settings.model_fields_set | arguments.keys() & {"host"}):
        raise InvalidSettings(f"{names[0]}: that is Serve's to say, not the application's")
    if not settings.data_dir.is_absolute() or not settings.bundles_dir.is_absolute():
        raise InvalidSettings("data_dir, bundles_dir: they must be absolute paths, since replicas run in folders of their own")
    cores = {"num_cpus": settings.threads or 1}
    engines = serve.deployment(Engines, max_ongoing_requests=BATCHES, ray_actor_options=cores).bind(settings)
    return serve.deployment(serve.ingress()(Api), max_ongoing_requests=_REQUESTS).bind(settings, engines)


def _with_the_id_of_serve(app: ASGIApp) -> ASGIApp:
    """Returns the application without its `X-Request-ID`: Serve's proxy chooses it, and adds it to the answer."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [field for field in message["headers"] if field[0] != b"x-request-id"]
            await send(message)

        await app(scope, receive, send_without_id)

    return answer


def _is_sqlite(settings: Settings) -> bool:
    return settings.database_url is None or settings.database_url.startswith("sqlite")
