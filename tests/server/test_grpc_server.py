"""A server that also speaks gRPC: its keys and quotas, TLS, clients that leave, its stop, and starts that are refused."""

import io
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import pytest
from grpc import StatusCode
from PIL import Image

from benchmarks.server_process import free_port
from server import listening
from server.settings import InvalidSettings, load_settings
from tests.helpers.bundles import SMALL
from tests.helpers.grpc_calls import MESSAGES, Caller, infer_request, tensors
from tests.helpers.images import encode, photograph
from tests.helpers.servers import ServerProcess, run_server
from tests.helpers.tls import Secure, certificate
from tests.helpers.uploads import create
from tests.helpers.waiting import wait_until

_IMAGES = [encode(photograph(40, 50, seed=seed), "JPEG") for seed in range(4)]
_EXAMPLES = list(zip(("cat", "dog"), _IMAGES, strict=False))
_OPEN = {"ServerLive", "ServerReady"}  # They have no fields, and are answered unread.
_QUOTA = 20  # images a minute


def slow_image() -> bytes:
    """Little to send, and a good while to decode."""
    large = io.BytesIO()
    Image.new("RGB", (4000, 4000), "green").save(large, "PNG")
    return large.getvalue()


class _Keyed(NamedTuple):
    process: ServerProcess
    port: int
    key: str
    api: httpx.Client
    task: str


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[_Keyed]:
    """A server with a `manage` key of a tenant that has a quota."""
    folder, port = tmp_path_factory.mktemp("grpc-keys"), free_port()
    place = ("--data-dir", str(folder / "data"))
    key = run_server("keys", "create", "--tenant", "ours", "--scope", "manage", *place, folder=folder).stdout.strip()
    limited = run_server("quotas", "set", "--tenant", "ours", "--images-per-minute", str(_QUOTA), *place, folder=folder)
    assert limited.returncode == 0, limited.stderr
    flags = ("--grpc-port", str(port), "--audit-log", str(folder / "audit"))
    with (
        ServerProcess(folder / "data", *small_flags, *flags) as process,
        httpx.Client(base_url=process.url, timeout=60, headers={"Authorization": f"Bearer {key}"}) as api,
    ):
        yield _Keyed(process, port, key, api, create(api, _EXAMPLES)["id"])


def code_of(error: pytest.ExceptionInfo[grpc.RpcError]) -> StatusCode:
    raised: Any = error.value
    code: StatusCode = raised.code()
    return code


def told(log: Path) -> set[tuple[str, str | None, str]]:
    """What an audit tells: actions, their objects and their results."""
    rows = map(json.loads, log.read_text().splitlines())
    return {(row["action"], row["object"], row["result"]) for row in rows}


class TestKeys:
    @pytest.mark.parametrize("name", sorted(MESSAGES))
    @pytest.mark.parametrize("key", [None, "hs_unknown", "hs_x y"])
    def test_without_one_nothing_but_health_is_told(self, keyed: _Keyed, name: str, key: str | None) -> None:
        """A call is refused while its message is still to come."""

        def silent() -> Iterator[bytes]:
            time.sleep(30)
            yield b""

        with Caller(keyed.port, key) as stranger:
            if name in _OPEN:
                assert stranger.streamed(name, silent())
                return
            started = time.monotonic()
            with pytest.raises(grpc.RpcError) as error:
                stranger.streamed(name, silent())
        assert code_of(error) is StatusCode.UNAUTHENTICATED
        assert time.monotonic() - started < 20

    def test_a_key_of_one_task_opens_that_task_alone(self, keyed: _Keyed) -> None:
        other = create(keyed.api, _EXAMPLES)["id"]
        bound = keyed.api.post("/v1/keys", json={"scope": "predict", "task": keyed.task}).json()["token"]
        with Caller(keyed.port, bound) as caller:
            assert tensors(caller("ModelInfer", infer_request(keyed.task, _IMAGES[2:3])))["PROBABILITY"].shape == (1, 2)
            assert {each.name for each in caller("RepositoryIndex").models} == {keyed.task, f"{keyed.task}.pixels"}
            assert not caller("ModelReady", name=other).ready
            for model, code in ((other, StatusCode.NOT_FOUND), (f"{SMALL}.embedding", StatusCode.PERMISSION_DENIED)):
                for name, message in (
                    ("ModelInfer", infer_request(model, _IMAGES[:1])),
                    ("ModelConfig", MESSAGES["ModelConfig"].request(name=model)),
                    ("RepositoryModelLoad", MESSAGES["RepositoryModelLoad"].request(model_name=model)),
                ):
                    with pytest.raises(grpc.RpcError) as error:
                        caller(name, message)
                    assert code_of(error) is code

    def test_images_count_for_the_quota_and_the_answer_says_when_to_come_again(self, keyed: _Keyed) -> None:
        with Caller(keyed.port, keyed.key) as caller:
            with pytest.raises(grpc.RpcError) as error:
                caller("ModelInfer", infer_request(keyed.task, _IMAGES[:1] * (_QUOTA + 1)))
            assert code_of(error) is StatusCode.RESOURCE_EXHAUSTED
            never: Any = error.value
            assert dict(never.trailing_metadata())["grpc-retry-pushback-ms"] == "-1", "it can never pass"
            caller("ModelInfer", infer_request(keyed.task, _IMAGES[:1]))
            assert "ratelimit" in caller.trailing
            with pytest.raises(grpc.RpcError) as error:
                caller("ModelInfer", infer_request(keyed.task, _IMAGES[:1] * _QUOTA))
            assert code_of(error) is StatusCode.RESOURCE_EXHAUSTED
            soon: Any = error.value
            told = dict(soon.trailing_metadata())
            assert 0 < int(told["retry-after"]) <= 60
            assert told["grpc-retry-pushback-ms"] == told["retry-after"] + "000"

    def test_the_audit_tells_of_strangers(self, keyed: _Keyed) -> None:
        with Caller(keyed.port) as stranger, pytest.raises(grpc.RpcError):
            stranger("ServerMetadata")
        wait_until(lambda: ("sign_in", None, "unauthenticated") in told(keyed.process.log_path.parent / "audit"))


class _SecureServer(Secure, ServerProcess):
    pass


@pytest.mark.parametrize("apart", [True, False], ids=["key of its own", "key in the file of the certificate"])
def test_tls(tmp_path: Path, small_flags: tuple[str, ...], apart: bool) -> None:
    made, private = certificate(tmp_path)
    trusted = made.read_bytes()
    flags: tuple[str, ...] = ("--ssl-certfile", str(made))
    if apart:
        flags = (*flags, "--ssl-keyfile", str(private))
    else:
        made.write_bytes(private.read_bytes() + trusted)
    port = free_port()
    with _SecureServer(tmp_path / "data", *small_flags, *flags, "--grpc-port", str(port)):
        with Caller(port, certificate=trusted) as caller:
            assert caller("ServerReady").ready
        with Caller(port) as plain, pytest.raises(grpc.RpcError) as error:
            plain.channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", timeout=5)
        assert code_of(error) is StatusCode.UNAVAILABLE, "nothing in clear text"


def ask_again_and_again(caller: Caller, message: bytes) -> None:
    """Ends when a call is refused."""
    while caller.raw("ModelInfer", message, waits=False):
        pass


def test_clients_that_leave_and_the_stop(tmp_path: Path, small_flags: tuple[str, ...]) -> None:
    """Work for nobody ends; while the server drains it answers and is not ready; what is under way then is answered."""
    port, slow = free_port(), slow_image()
    audit = tmp_path / "audit"
    flags = ("--grpc-port", str(port), "--drain-seconds", "1.5", "--audit-log", str(audit))
    with (
        ServerProcess(tmp_path / "data", *small_flags, *flags) as server,
        httpx.Client(base_url=server.url, timeout=60) as api,
        Caller(port) as caller,
        ThreadPoolExecutor(1) as pool,
    ):
        task = create(api, _EXAMPLES)["id"]
        long = infer_request(task, [slow] * 32)
        with pytest.raises(grpc.RpcError) as error:
            caller.raw("ModelInfer", long.SerializeToString(), seconds=0.4)
        assert code_of(error) is StatusCode.DEADLINE_EXCEEDED
        under_way = caller.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer").future(long.SerializeToString())
        time.sleep(0.2)
        under_way.cancel()
        wait_until(lambda: server.log().count("/infer 499") == 2)
        stopping = pool.submit(server.stop)
        wait_until(lambda: not caller("ServerReady").ready, 10)
        assert caller("ServerLive").live
        short = infer_request(task, [slow]).SerializeToString()
        assert caller.raw("ModelInfer", short, waits=False)
        with pytest.raises(grpc.RpcError) as error:
            ask_again_and_again(caller, short)
        assert code_of(error) is StatusCode.UNAVAILABLE, "what was under way was answered"
        assert stopping.result() == 0
        assert {("task.predict", f"tasks/{task}", "done"), ("task.predict", None, "client_left")} <= told(audit)
        assert "unexpected" not in server.log()
        assert "Traceback" not in server.log()


class TestStarts:
    def test_a_port_in_use(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            flags = ("--port", str(free_port()), "--grpc-port", str(taken.getsockname()[1]))
            ended = run_server(*flags, "--data-dir", str(tmp_path / "data"), folder=tmp_path)
        assert ended.returncode == 1
        assert ended.stderr.endswith("choose another --grpc-port\n"), ended.stderr

    def test_the_port_of_http(self) -> None:
        with pytest.raises(InvalidSettings, match="grpc-port: 8765 is the port of HTTP"):
            load_settings(["--port", "8765", "--grpc-port", "8765"])

    def test_without_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listening, "_NEEDED_BY_GRPC", ("grpc", "no_such_package"))
        settings = load_settings(["--port", str(free_port()), "--grpc-port", str(free_port())])
        with pytest.raises(InvalidSettings, match=r"pip install '\.\[cpu,grpc\]'"):
            listening.check_address(settings)
