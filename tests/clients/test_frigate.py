"""The bridge of Frigate, in a process of its own between a real broker and a real server."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jinja2
import pytest

from benchmarks.server_process import ROOT, free_port
from headstart import Client
from headstart_frigate.__main__ import main
from headstart_frigate.messages import NONE
from tests.helpers.keyed import Keyed, keyed_server
from tests.helpers.mosquitto import Broker, Listener
from tests.helpers.samples import SAMPLES, Labelled
from tests.helpers.scripted_server import TASK, Answer, network, problem
from tests.helpers.servers import ServerProcess
from tests.helpers.waiting import wait_until

_STRANGER = (SAMPLES / "stranger" / "cat.jpg").read_bytes()
_EVENT = {
    "type": "update",
    "before": {"id": "1607123955.475377-mxklsc", "camera": "front_door", "label": "car", "has_snapshot": False},
    "after": {"id": "1607123955.475377-mxklsc", "camera": "front_door", "label": "car", "has_snapshot": True},
}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, support: Labelled, small_flags: tuple[str, ...]) -> Iterator[Keyed]:
    with keyed_server(tmp_path_factory.mktemp("frigate"), support, *small_flags) as server:
        yield server


@pytest.fixture(scope="module")
def client(keyed: Keyed) -> Iterator[Client]:
    with Client(keyed.url, token=keyed.key) as client:
        yield client


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker


@pytest.fixture(scope="module")
def listener(broker: Broker) -> Iterator[Listener]:
    with Listener(broker) as listener:
        yield listener


class Bridge:
    """The program, and what it prints."""

    def __init__(self, log: Path, *arguments: str, **variables: str) -> None:
        self.log_path = log
        command = [sys.executable, "-m", "headstart_frigate", *arguments]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **variables}, stdout=output, stderr=subprocess.STDOUT
            )

    def log(self) -> str:
        return self.log_path.read_text()

    def said(self, text: str) -> bool:
        return text in self.log()


@contextmanager
def running(folder: Path, broker: Broker, keyed: Keyed) -> Iterator[Bridge]:
    bridge = Bridge(
        folder / "bridge.log", "--task", keyed.task, "--url", keyed.url, "--broker", broker.url, HEADSTART_TOKEN=keyed.key
    )
    try:
        wait_until(lambda: bridge.said("connected to"))
        yield bridge
    finally:
        bridge.process.terminate()
        bridge.process.wait(30)
    assert keyed.key not in bridge.log()


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory, broker: Broker, keyed: Keyed) -> Iterator[Bridge]:
    with running(tmp_path_factory.mktemp("bridge"), broker, keyed) as bridge:
        yield bridge


def topic_of(keyed: Keyed, camera: str, kind: str) -> str:
    return f"headstart/{keyed.task}/{camera}/{kind}"


@pytest.mark.usefixtures("bridge")
class TestASnapshot:
    def test_is_answered_as_the_server_answers(self, listener: Listener, keyed: Keyed, client: Client, queries: Labelled) -> None:
        for number, image in enumerate([queries[0][1], queries[20][1], _STRANGER]):
            topic = topic_of(keyed, f"camera_{number}", "car")
            listener.publish(f"frigate/camera_{number}/car/snapshot", image)
            answer = listener.answer(topic)
            (expected,) = client.predict(keyed.task, image).checked()
            assert answer["state"] == (expected.label if expected.known else NONE)
            assert (answer["label"], answer["known"], answer["version"]) == (expected.label, expected.known, 1)
            assert answer["probability"] == pytest.approx(expected.probability, abs=1e-4)
            assert answer["novelty"] == pytest.approx(expected.novelty, abs=1e-4)
            assert (answer["camera"], answer["object"]) == (f"camera_{number}", "car")
            assert datetime.now(UTC) - datetime.fromisoformat(answer["at"]) < timedelta(minutes=1)

    def test_becomes_a_sensor_of_home_assistant(self, listener: Listener, keyed: Keyed, queries: Labelled) -> None:
        listener.publish("frigate/back yard/person/snapshot", queries[0][1])
        answer = listener.answer(topic_of(keyed, "back yard", "person"))
        where = f"homeassistant/sensor/headstart_{keyed.task}/back_yard_person/config"
        config = listener.answer(where)
        assert config["state_topic"] == config["json_attributes_topic"] == topic_of(keyed, "back yard", "person")
        assert jinja2.Template(config["value_template"]).render(value_json=answer) == answer["state"]
        assert config["unique_id"] == f"headstart_{keyed.task}_back_yard_person"
        assert config["name"] == "back yard person"
        assert config["device"]["identifiers"] == [f"headstart_{keyed.task}"]
        assert config["origin"]["name"]
        wait_until(lambda: listener.last(config["availability_topic"]) == "online")

    def test_from_before_the_bridge_came_has_no_time(
        self, listener: Listener, keyed: Keyed, broker: Broker, queries: Labelled, tmp_path: Path
    ) -> None:
        listener.publish("frigate/kept/car/snapshot", queries[0][1], retain=True)
        assert listener.answer(topic_of(keyed, "kept", "car"))["at"]
        with running(tmp_path, broker, keyed):
            assert listener.answer(topic_of(keyed, "kept", "car"), 2)["at"] is None
        listener.publish("frigate/kept/car/snapshot", "", retain=True)

    def test_that_is_no_image_is_left_out(self, listener: Listener, keyed: Keyed, bridge: Bridge, queries: Labelled) -> None:
        listener.publish("frigate/odd/car/snapshot", b"no image")
        listener.publish("frigate/events", json.dumps(_EVENT))
        listener.publish("frigate/odd/car", "1")
        listener.publish("frigate/odd/snapshots/state", "ON")
        listener.publish("frigate/odd/car/snapshot", "")
        listener.publish("frigate/odd/car/snapshot/more", queries[0][1])
        listener.publish("frigate/odd/dog/snapshot", queries[0][1])
        listener.answer(topic_of(keyed, "odd", "dog"))
        wait_until(lambda: bridge.said("no answer about odd, car: image 1: the image cannot be used"))
        assert listener.last(topic_of(keyed, "odd", "car")) is None
        assert bridge.process.poll() is None


class TestWhatIsLost:
    def test_a_bridge_that_ends_is_unavailable(self, listener: Listener, broker: Broker, keyed: Keyed, tmp_path: Path) -> None:
        available = f"headstart/{keyed.task}/available"
        for number in (signal.SIGTERM, signal.SIGKILL):
            with running(tmp_path, broker, keyed) as bridge:
                wait_until(lambda: listener.last(available) == "online")
                bridge.process.send_signal(number)
                assert bridge.process.wait(30) == (0 if number == signal.SIGTERM else -number)
            wait_until(lambda: listener.last(available) == "offline")

    def test_a_broker_that_comes_back_is_told_all_again(self, keyed: Keyed, queries: Labelled, tmp_path: Path) -> None:
        with Broker(tmp_path) as broker, Listener(broker) as listener, running(tmp_path, broker, keyed) as bridge:
            listener.publish("frigate/door/car/snapshot", queries[0][1])
            listener.answer(topic_of(keyed, "door", "car"))
            broker.stop()
            wait_until(lambda: bridge.said("the broker is lost"))
            listener.heard.clear()
            broker.start()
            wait_until(lambda: bridge.log().count("connected to") == 2)
            listener.wait()
            wait_until(lambda: listener.last(f"headstart/{keyed.task}/available") == "online")
            listener.publish("frigate/door/car/snapshot", queries[20][1])
            listener.answer(topic_of(keyed, "door", "car"))
            assert f"homeassistant/sensor/headstart_{keyed.task}/door_car/config" in listener.heard

    def test_a_server_that_comes_back_and_refuses_a_snapshot_is_there(
        self, broker: Broker, listener: Listener, tmp_path: Path
    ) -> None:
        script = [Answer(200, TASK), Answer(200, b"no JSON"), Answer(200, TASK), problem(422, "invalid_image")]
        with network(*script) as (client, _):
            bridge = Bridge(tmp_path / "log", "--task", "task_1", "--url", client.url, "--broker", broker.url)
            try:
                wait_until(lambda: bridge.said("connected to"))
                listener.publish("frigate/gate/car/snapshot", b"no image")
                available = "headstart/task_1/available"
                wait_until(lambda: listener.heard.get(available) == ["online", "offline", "online"])
                wait_until(lambda: bridge.said("no answer about gate, car"))
            finally:
                bridge.process.terminate()
                bridge.process.wait(30)

    @pytest.mark.slow
    def test_a_server_that_comes_back_answers_the_newest_snapshots(
        self,
        tmp_path: Path,
        support: Labelled,
        queries: Labelled,
        small_flags: tuple[str, ...],
        broker: Broker,
        listener: Listener,
    ) -> None:
        with keyed_server(tmp_path, support, *small_flags) as keyed, running(tmp_path, broker, keyed) as bridge:
            available = f"headstart/{keyed.task}/available"
            wait_until(lambda: listener.last(available) == "online")
            keyed.process.stop()
            listener.publish("frigate/gate/car/snapshot", queries[0][1])
            wait_until(lambda: listener.last(available) == "offline")
            assert bridge.said("asking again in 1 s")
            for image in (queries[0][1], _STRANGER):
                listener.publish("frigate/yard/car/snapshot", image)
            port = int(keyed.url.rpartition(":")[2])
            with ServerProcess(tmp_path / "data", *small_flags, port=port):
                with Client(keyed.url, token=keyed.key) as client:
                    expected = client.predict(keyed.task, [queries[0][1], _STRANGER]).checked()
                for camera, prediction in zip(("gate", "yard"), expected, strict=True):
                    answer = listener.answer(topic_of(keyed, camera, "car"))
                    assert answer["novelty"] == pytest.approx(prediction.novelty, abs=1e-4)
                wait_until(lambda: listener.last(available) == "online")
            assert len(listener.heard[topic_of(keyed, "yard", "car")]) == 1


class TestAWrongStart:
    @pytest.fixture
    def ended(self, tmp_path: Path, keyed: Keyed, broker: Broker) -> Any:
        def end(**change: str) -> str:
            given = {"task": keyed.task, "url": keyed.url, "broker": broker.url, "token": keyed.key, **change}
            flags = [word for name in ("task", "url", "broker") for word in (f"--{name}", given[name])]
            variables = {"HEADSTART_TOKEN": given["token"], "MQTT_USERNAME": "frigate", "MQTT_PASSWORD": "a wrong password"}
            bridge = Bridge(tmp_path / "log", *flags, **variables)
            assert bridge.process.wait(60) == 1
            assert "Traceback" not in bridge.log()
            assert given["token"] not in bridge.log()
            assert variables["MQTT_PASSWORD"] not in bridge.log()
            return bridge.log()

        return end

    def test_says_what_the_server_refuses(self, ended: Any, keyed: Keyed) -> None:
        assert f"{keyed.url} refuses: " in (log := ended(token="hs_wrong"))
        assert "(unauthenticated)" in log
        assert "there is no task 'task_1' (task_not_found)" in ended(task="task_1")
        assert "task_not_found" in ended(token=keyed.foreign)

    def test_says_what_the_broker_refuses(self, ended: Any, tmp_path: Path) -> None:
        with Broker(tmp_path, "frigate", "the right password") as broker:
            assert f"the broker at 127.0.0.1:{broker.port} refuses: Not authorized" in ended(broker=broker.url)

    def test_waits_for_a_server_and_a_broker_that_are_away(self, tmp_path: Path) -> None:
        nowhere = [f"--url=http://127.0.0.1:{free_port()}", f"--broker=mqtt://127.0.0.1:{free_port()}"]
        bridge = Bridge(tmp_path / "log", "--task", "task_1", *nowhere)
        wait_until(lambda: bridge.said("there is no broker at"))
        assert bridge.said("Connection refused; trying again when there is a snapshot")
        bridge.process.terminate()
        assert bridge.process.wait(30) == 0
        assert "Traceback" not in bridge.log()

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("localhost:1883", "no address of a broker"),
            ("http://localhost", "no address of a broker"),
            ("mqtt://", "no address of a broker"),
            ("mqtt://me:secret@localhost", "set MQTT_USERNAME and MQTT_PASSWORD"),
        ],
    )
    def test_refuses_what_is_no_address(self, url: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["--task", "task_1", "--broker", url])
        said = capsys.readouterr().err
        assert reason in said
        assert "secret" not in said

    def test_says_which_package_is_missing(self) -> None:
        without = (
            "import sys; sys.modules['paho'] = None; from headstart_frigate.__main__ import main; sys.exit(main(['--task', 'x']))"
        )
        ended = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (1, "paho-mqtt is not installed: pip install 'headstart-client[mqtt]'\n")
