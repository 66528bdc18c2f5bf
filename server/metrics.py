"""Prometheus metrics for operators. Each application has a registry of its own."""

import sqlite3
import time
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Every metric of the server, each an attribute."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self.queue_images = Gauge("headstart_queue_images", "Images waiting for an engine", ["backbone"], registry=registry)
        self.admitted_images = Gauge("headstart_admitted_images", "Images of requests under way", ["backbone"], registry=registry)
        self.batch_images = Histogram(
            "headstart_batch_images", "Images per batch", ["backbone"], buckets=(1, 2, 4, 8, 16, 32, 64), registry=registry
        )
        self.stage_seconds = Histogram(
            "headstart_stage_seconds", "Seconds per stage of a request", ["stage"], buckets=_SECONDS, registry=registry
        )
        self.of_stage = cache(self.stage_seconds.labels)
        self.request_seconds = Histogram(
            "headstart_request_seconds", "Seconds per request", ["method", "route"], buckets=_SECONDS, registry=registry
        )
        self.responses = Counter("headstart_responses", "Responses", ["method", "route", "status"], registry=registry)
        self.errors = Counter("headstart_errors", "Errors answered, by code", ["code"], registry=registry)
        self.backbone_missing = Gauge(
            "headstart_backbone_missing",
            "1 for a backbone that tasks or new tasks need and that cannot be served",
            ["backbone"],
            registry=registry,
        )
        self.backbone_open = Gauge(
            "headstart_backbone_open", "1 for a backbone in memory", ["backbone", "engine"], registry=registry
        )
        self.tasks = Gauge("headstart_tasks", "Tasks, by the backbone of their active version", ["backbone"], registry=registry)
        self.refreshes = Gauge("headstart_refreshes", "Refreshes by state", ["state"], registry=registry)
        self.store_bytes = Gauge("headstart_store_bytes", "Size of the database and of its log", ["file"], registry=registry)
        self.disk_free_bytes = Gauge(
            "headstart_disk_free_bytes", "Free on the database's disk, beside what is kept for removing", registry=registry
        )
        self.captures = Counter("headstart_captures", "Captured predictions stored in the background", registry=registry)
        self.captures_dropped = Counter(
            "headstart_captures_dropped", "Captures that were not stored, by reason", ["reason"], registry=registry
        )
        self.quota_refusals = Counter(
            "headstart_quota_refusals", "Requests refused by a quota, by what it limits", ["quota"], registry=registry
        )
        self.active_heads = Gauge("headstart_active_heads", "Heads in memory", registry=registry)
        build = Info("headstart_build", "Releases of what is running", registry=registry)
        build.info({"version": version("headstart-server"), "sqlite": sqlite3.sqlite_version, "onnxruntime": _onnxruntime()})
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)

    def show(self, gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
        """Sets these values of a gauge, by their labels, and removes all others."""
        gauge.clear()
        for labels, value in values.items():
            gauge.labels(*labels).set(value)

    def render(self) -> bytes:
        """Returns all metrics in the text exposition format."""
        return generate_latest(self._registry)


def _onnxruntime() -> str:
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "none"


class Stopwatch:
    """The stages of one request: milliseconds for the reply, seconds for the metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._of_stage = metrics.of_stage
        self._started = time.perf_counter()
        self._stages: dict[str, float] = {}

    def stage(self, name: str, begun: float = 0.0) -> "_Stage":
        """Measures the block that it is entered for, after the seconds that the stage took elsewhere. Stages of a name add up."""
        return _Stage(self, name, begun)

    def record(self, name: str, seconds: float) -> None:
        """Adds to the time of a stage."""
        self._stages[name] = self._stages.get(name, 0.0) + seconds
        self._of_stage(name).observe(seconds)

    def milliseconds(self) -> dict[str, float]:
        """Returns the time of every stage so far, and the total since this stopwatch was made."""
        stages = {**self._stages, "total": time.perf_counter() - self._started}
        return {name: round(1000.0 * seconds, 3) for name, seconds in stages.items()}


class _Stage:
    """A context manager, at a fraction of the price of a generator that is one."""

    def __init__(self, watch: Stopwatch, name: str, begun: float) -> None:
        self._watch = watch
        self._name = name
        self._begun = begun

    def __enter__(self) -> None:
        self._started = time.perf_counter() - self._begun

    def __exit__(self, *_error: object) -> None:
        self._watch.record(self._name, time.perf_counter() - self._started)
