"""The messages of the bridge: snapshots of Frigate, and answers and sensors for Home Assistant."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from headstart import Prediction, Task, __version__

NONE = "none of these"
"""The state of a sensor whose snapshot shows none of the task's classes."""


class Seen(NamedTuple):
    """The camera that made a snapshot, and the kind of object that Frigate saw."""

    camera: str
    object: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A JPEG and the time of its arrival; None if the broker had kept it from before the bridge came."""

    image: bytes
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Broker:
    """The address of a broker of MQTT."""

    host: str
    port: int
    secure: bool


def broker_at(url: str) -> Broker:
    """Reads `mqtt://HOST[:PORT]`, or `mqtts://` for TLS. Raises ValueError: it is no such address, or has a password in it."""
    parts = urlsplit(url)
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(f"{parts.scheme}://{parts.hostname or ''} is no address of a broker, such as mqtt://localhost:1883")
    if parts.username or parts.password:
        raise ValueError("a password in an address is seen by other users; set MQTT_USERNAME and MQTT_PASSWORD")
    secure = parts.scheme == "mqtts"
    return Broker(parts.hostname, parts.port or (8883 if secure else 1883), secure)


def seen_in(topic: str, prefix: str) -> Seen | None:
    """The camera and the object that a topic is about; None if it is no topic of snapshots."""
    parts = topic.removeprefix(f"{prefix}/").split("/")
    return Seen(*parts[:2]) if topic.startswith(f"{prefix}/") and len(parts) == 3 and parts[2] == "snapshot" else None


def answer_of(prediction: Prediction, seen: Seen, version: int, at: datetime | None) -> dict[str, Any]:
    """The JSON that is published: `state` is what a sensor shows, and the rest are its attributes."""
    labels = (prediction.label,) if prediction.labels is None else prediction.labels
    return {
        "state": ", ".join(labels) if prediction.known and labels else NONE,
        "label": prediction.label,
        "probability": round(prediction.probability, 4),
        "known": prediction.known,
        "novelty": prediction.novelty,
        "camera": seen.camera,
        "object": seen.object,
        "at": at and at.isoformat(timespec="seconds"),
        "version": version,
    }


def discovery_of(seen: Seen, task: Task, topic: str, available: str) -> tuple[str, dict[str, Any]]:
    """The topic and the JSON by which Home Assistant makes a sensor of an answer's topic."""
    device, entity = f"headstart_{task.id}", re.sub(r"[^\w-]", "_", f"{seen.camera}_{seen.object}", flags=re.ASCII)
    config = {
        "name": f"{seen.camera} {seen.object}".replace("_", " "),
        "unique_id": f"{device}_{entity}",
        "state_topic": topic,
        "value_template": "{{ value_json.state }}",
        "json_attributes_topic": topic,
        "availability_topic": available,
        "icon": "mdi:image-search",
        "device": {"identifiers": [device], "name": f"Headstart {task.name}", "manufacturer": "Headstart"},
        "origin": {"name": "Headstart's bridge of Frigate", "sw_version": __version__},
    }
    return f"homeassistant/sensor/{device}/{entity}/config", config
