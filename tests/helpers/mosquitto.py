"""A real broker of MQTT on this machine, and somebody who listens to it, for tests."""

import json
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.server_process import free_port
from tests.helpers.programs import program
from tests.helpers.waiting import wait_until


def mosquitto() -> str:
    found = Path("/usr/sbin/mosquitto")  # which is not on everybody's path
    return str(found) if found.exists() else program("mosquitto", "mosquitto")


class Broker:
    """Mosquitto on a free port, which forgets all when it stops.

    Args:
        folder: for its configuration.
        user, password: of those who may connect; None lets everybody.
    """

    def __init__(self, folder: Path, user: str | None = None, password: str = "") -> None:
        self._command = [mosquitto(), "-c", str(folder / "mosquitto.conf")]
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        lines = [f"listener {self.port} 127.0.0.1", "persistence false", f"allow_anonymous {str(user is None).lower()}"]
        if user is not None:
            passwords = folder / "passwords"
            passwords.write_text(f"{user}:{password}\n")
            passwords.chmod(0o600)
            subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
            lines += ["user root", f"password_file {passwords}"]
        (folder / "mosquitto.conf").write_text("\n".join([*lines, ""]))
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        self.stop()


class Listener:
    """A client of a broker that hears all topics, and publishes. It connects again where the connection is lost."""

    def __init__(self, broker: Broker) -> None:
        self.heard: dict[str, list[str]] = {}
        self._connected = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe([("headstart/#", 1), ("homeassistant/#", 1)])
        self._client.on_subscribe = lambda *_: self._connected.set()
        self._client.on_disconnect = lambda *_: self._connected.clear()
        self._client.on_message = lambda _client, _data, message: self._hear(message)
        self._client.connect_async("127.0.0.1", broker.port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        self.wait()
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait(self) -> None:
        """Waits for the connection."""
        assert self._connected.wait(30)

    def publish(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, 1, retain).wait_for_publish(30)

    def last(self, topic: str) -> str | None:
        return self.heard.get(topic, [None])[-1]

    def answer(self, topic: str, number: int = 1) -> dict[str, Any]:
        """The JSON of that message of a topic, which is waited for."""
        wait_until(lambda: len(self.heard.get(topic, ())) >= number)
        told: dict[str, Any] = json.loads(self.heard[topic][number - 1])
        return told

    def _hear(self, message: mqtt.MQTTMessage) -> None:
        self.heard.setdefault(message.topic, []).append(message.payload.decode())
