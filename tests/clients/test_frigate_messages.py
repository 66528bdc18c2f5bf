"""The messages of the bridge of Frigate, and the automation of Home Assistant that hears them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import jinja2
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.server_process import ROOT
from headstart_frigate.messages import NONE, Seen, broker_at, seen_in


@pytest.fixture(scope="module")
def automation() -> dict[str, Any]:
    (automation,) = yaml.safe_load((ROOT / "clients" / "bridges" / "home-assistant.yaml").read_text())
    return dict(automation)


class TestTheExampleForHomeAssistant:
    def test_hears_the_topic_of_an_answer(self, automation: dict[str, Any]) -> None:
        (trigger,) = automation["triggers"]
        assert trigger["trigger"] == "mqtt"
        assert trigger["topic"].replace("+", "task_1") == "headstart/task_1/front_door/car"

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({}, "True"),
            ({"state": NONE, "known": False}, "False"),
            ({"probability": 0.5}, "False"),
            ({"at": None}, "False"),
            ({"at": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}, "False"),
        ],
    )
    def test_tells_of_a_sure_answer_that_is_news(self, automation: dict[str, Any], change: dict[str, Any], told: str) -> None:
        answer = {"state": "delivery van", "label": "delivery van", "probability": 0.93, "known": True, "camera": "front_door"}
        trigger = {"payload_json": {**answer, "at": datetime.now(UTC).isoformat(timespec="seconds"), **change}}
        (condition,) = automation["conditions"]
        functions = {"now": lambda: datetime.now(UTC), "as_datetime": datetime.fromisoformat}
        assert jinja2.Template(condition["value_template"]).render(trigger=trigger, **functions) == told
        message = jinja2.Template(automation["actions"][0]["data"]["message"]).render(trigger=trigger)
        assert message.startswith("delivery van (")
        assert message.endswith("on front_door")


class TestAddresses:
    def test_have_the_ports_of_mqtt(self) -> None:
        assert broker_at("mqtt://broker").port == 1883
        assert broker_at("mqtts://broker").port == 8883
        assert broker_at("mqtts://[::1]:99/") == type(broker_at("mqtt://a"))("::1", 99, True)

    @settings(deadline=None)
    @given(st.text(), st.sampled_from(["frigate", "home/frigate"]))
    def test_of_other_topics_are_no_snapshots(self, topic: str, prefix: str) -> None:
        found = seen_in(topic, prefix)
        assert found is None or topic == f"{prefix}/{found.camera}/{found.object}/snapshot"

    @settings(deadline=None)
    @given(
        *[st.text(st.characters(exclude_characters="/+#\0", exclude_categories=["Cs"]), min_size=1)] * 2,
        st.sampled_from(["frigate", "a/b"]),
    )
    def test_of_snapshots_name_the_camera_and_the_object(self, camera: str, kind: str, prefix: str) -> None:
        assert seen_in(f"{prefix}/{camera}/{kind}/snapshot", prefix) == Seen(camera, kind)
