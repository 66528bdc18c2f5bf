"""The bridge itself: a connection to the broker, and the snapshots that wait for an answer."""

import json
import logging
import os
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from headstart import (
    ApiError,
    Client,
    Forbidden,
    HeadstartError,
    QuotaExceeded,
    Task,
    TaskNotFound,
    Unauthenticated,
    Unavailable,
)
from headstart_frigate.messages import Broker, Seen, Snapshot, answer_of, discovery_of, seen_in

_log = logging.getLogger(__name__)

LASTING = (Unauthenticated, Forbidden, TaskNotFound)
"""Refusals that somebody has to mend. They end the program at its start. Later it asks again: they may be mended by then."""

_PASSING = (Unavailable, QuotaExceeded)
_MOST_WAITING = 256  # snapshots in memory
_PAUSES = (1.0, 2.0, 5.0, 15.0, 60.0)  # seconds until the server is asked again
_AT_LEAST_ONCE = 1


class BrokerRefused(Exception):
    """The broker does not take the user or the password."""


class Bridge:
    """The connection to the broker, and the snapshots that wait for an answer.

    Args:
        client: of the server.
        task: the task's id.
        broker: that Frigate and Home Assistant have in common.
        prefix: Frigate's `topic_prefix`.
        objects: the kinds of object to ask about; empty for all.
    """

    def __init__(self, client: Client, task: str, broker: Broker, prefix: str, objects: Sequence[str]) -> None:
        self._client, self._asked, self._broker = client, task, broker
        self._prefix, self._objects = prefix, objects or ("+",)
        self._topic = f"headstart/{task}"
        self._task: Task | None = None
        self._changed = threading.Condition()
        self._waiting: dict[Seen, Snapshot] = {}  # the oldest first
        self._configured: set[Seen] = set()  # since the last connection
        self._failures = 0  # of the server, one after another
        self._was_connected = False
        self._refusal: str | None = None
        self._mqtt = self._new_client()

    def run(self) -> None:
        """Answers snapshots until it is interrupted.

        Raises:
            BrokerRefused: the broker does so at the first connection.
        """
        self._mqtt.connect_async(self._broker.host, self._broker.port, keepalive=30)
        self._mqtt.loop_start()
        try:
            while True:
                self._answer(*self._next())
        finally:
            self._tell_available(False)
            self._mqtt.disconnect()
            self._mqtt.loop_stop()

    def _new_client(self) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        client.username_pw_set(os.environ.get("MQTT_USERNAME"), os.environ.get("MQTT_PASSWORD"))
        if self._broker.secure:
            client.tls_set()
        client.will_set(f"{self._topic}/available", "offline", _AT_LEAST_ONCE, retain=True)
        client.reconnect_delay_set(1, 60)
        client.on_connect = self._connected
        client.on_connect_fail = self._not_connected
        client.on_disconnect = self._disconnected
        client.on_message = self._arrived
        return client

    def _connected(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            _log.error("the broker refuses: %s", reason)
            if not self._was_connected:
                with self._changed:
                    self._refusal = str(reason)
                    self._changed.notify()
            return
        _log.info("connected to %s:%d", self._broker.host, self._broker.port)
        self._was_connected = True
        self._configured.clear()
        self._tell_available(not self._failures)
        self._mqtt.subscribe([(f"{self._prefix}/+/{each}/snapshot", _AT_LEAST_ONCE) for each in self._objects])

    def _not_connected(self, _client: mqtt.Client, _data: Any) -> None:
        _log.warning("there is no broker at %s:%d; trying again", self._broker.host, self._broker.port)

    def _disconnected(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            _log.warning("the broker is lost (%s); trying again", reason)

    def _arrived(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        seen = seen_in(message.topic, self._prefix)
        if seen is None or not message.payload:  # An empty message removes one that the broker keeps.
            return
        with self._changed:
            self._waiting.pop(seen, None)
            self._waiting[seen] = Snapshot(bytes(message.payload), None if message.retain else datetime.now(UTC))
            if len(self._waiting) > _MOST_WAITING:
                del self._waiting[next(iter(self._waiting))]
            self._changed.notify()

    def _next(self) -> tuple[Seen, Snapshot]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._refusal)
            if self._refusal is not None:
                raise BrokerRefused(self._refusal)
            seen = next(iter(self._waiting))
            return seen, self._waiting.pop(seen)

    def _answer(self, seen: Seen, snapshot: Snapshot) -> None:
        """Publishes the answer to a snapshot. One that cannot be had now waits again, unless a newer snapshot came."""
        try:
            if self._task is None:
                self._task = self._client.task(self._asked)
            predictions = self._client.predict(self._asked, snapshot.image)
        except HeadstartError as error:
            if isinstance(error, ApiError) and not isinstance(error, _PASSING + LASTING):
                self._answered()
                _log.warning("no answer about %s, %s: %s", *seen, error)
                return
            pause = _PAUSES[min(self._failures, len(_PAUSES) - 1)]
            _log.warning("%s; asking again in %g s", error, pause)
            self._failures += 1
            self._tell_available(False)
            with self._changed:
                self._waiting.setdefault(seen, snapshot)
            time.sleep(pause)
            return
        self._answered()
        topic = f"{self._topic}/{seen.camera}/{seen.object}"
        if seen not in self._configured:
            self._publish(*discovery_of(seen, self._task, topic, f"{self._topic}/available"))
            self._configured.add(seen)
        (prediction,) = predictions.checked()
        self._publish(topic, answer_of(prediction, seen, predictions.version, snapshot.at))

    def _answered(self) -> None:
        """Ends the time in which the server could not be had, also where it refused what it was asked."""
        if self._failures:
            self._failures = 0
            self._tell_available(True)

    def _tell_available(self, available: bool) -> None:
        self._mqtt.publish(f"{self._topic}/available", "online" if available else "offline", _AT_LEAST_ONCE, retain=True)

    def _publish(self, topic: str, message: dict[str, Any]) -> None:
        """Publishes JSON that the broker keeps for those who subscribe later. Without a connection it waits for one."""
        self._mqtt.publish(topic, json.dumps(message, ensure_ascii=False), _AT_LEAST_ONCE, retain=True)
