"""Prometheus metrics for operators. Each application has a registry of its own."""

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

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
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from server.process_metrics import Processes, fold_ended
from server.tracing import Traced, current_span

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Shown(Collector):
    """A gauge of what is so now. Only values that were last shown are there, so that what is gone leaves no zero behind."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str] = ()) -> None:
        self._family = (name, documentation, None, list(labels))
        self._values: Mapping[tuple[str, ...], float] = {}

    def show(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Shows these values, by their labels, and no others."""
        self._values = values

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(*self._family)
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        yield family


class Metrics:
    """Every metric of the server, each an attribute.

    Where several processes serve, prometheus_client keeps counters, histograms and sums of gauges in files that all of them
    write, and `render` adds them up. What a process counted outlives it.
    """

    def __init__(self) -> None:
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        self._folder = Path(folder) if folder else None
        self._shown = CollectorRegistry()
        registry = None if folder else self._shown
        self.queue_images = Gauge(
            "headstart_queue_images", "Images waiting for an engine", ["backbone"], registry=registry, multiprocess_mode="livesum"
        )
        self.admitted_images = Gauge(
            "headstart_admitted_images",
            "Images of requests under way",
            ["backbone"],
            registry=registry,
            multiprocess_mode="livesum",
        )
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
        self.captures = Counter("headstart_captures", "Captured predictions stored in the background", registry=registry)
        self.captures_dropped = Counter(
            "headstart_captures_dropped", "Captures that were not stored, by reason", ["reason"], registry=registry
        )
        self.quota_refusals = Counter(
            "headstart_quota_refusals", "Requests refused by a quota, by what it limits", ["quota"], registry=registry
        )
        self.audit_dropped = Counter("headstart_audit_dropped", "Rows of the audit that could not be stored", registry=registry)
        self.active_heads = Gauge("headstart_active_heads", "Heads in memory", registry=registry, multiprocess_mode="livesum")
        missing = "1 for a backbone that tasks or new tasks need and that cannot be served"
        self.backbone_missing = Shown("headstart_backbone_missing", missing, ["backbone"])
        self.backbone_open = Shown("headstart_backbone_open", "1 for a backbone in memory", ["backbone", "engine"])
        self.tasks = Shown("headstart_tasks", "Tasks, by the backbone of their active version", ["backbone"])
        self.refreshes = Shown("headstart_refreshes", "Refreshes by state", ["state"])
        self.store_bytes = Shown("headstart_store_bytes", "Size of the database and of its log", ["file"])
        self.unerased_objects = Shown("headstart_unerased_objects", "Objects that wait to be erased in the object store")
        self.disk_free_bytes = Shown("headstart_disk_free_bytes", "Free on the database's disk, beside what is kept for removing")
        build = Info("headstart_build", "Releases of what is running", registry=self._shown)
        build.info({"version": version("headstart-server"), "sqlite": sqlite3.sqlite_version, "onnxruntime": _onnxruntime()})
        for shown in (
            self.backbone_missing,
            self.backbone_open,
            self.tasks,
            self.refreshes,
            self.store_bytes,
            self.unerased_objects,
            self.disk_free_bytes,
        ):
            self._shown.register(shown)
        for collector in (PlatformCollector, GCCollector):
            collector(registry=self._shown)
        if folder:
            MultiProcessCollector(self._shown, folder)  # type: ignore[no-untyped-call]
            self._shown.register(Processes())
        else:
            ProcessCollector(registry=self._shown)

    def render(self) -> bytes:
        """Returns all metrics in the text exposition format. Of several processes, only the owner may be asked."""
        if self._folder is not None:
            fold_ended(self._folder)
        return generate_latest(self._shown)


def _onnxruntime() -> str:
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "none"


class Stopwatch:
    """The stages of one request: milliseconds for the reply, seconds for the metrics, and spans where it is traced."""

    def __init__(self, metrics: Metrics) -> None:
        self._of_stage = metrics.of_stage
        self._started = time.perf_counter()
        self._stages: dict[str, float] = {}
        span = current_span.get()
        self._span = span if span is not None and span.recording else None

    def stage(self, name: str, begun: float = 0.0) -> "_Stage":
        """Measures the block that it is entered for, after the seconds that the stage took elsewhere. Stages of a name add up."""
        return _Stage(self, name, begun, self._span)

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

    def __init__(self, watch: Stopwatch, name: str, begun: float, around: Traced | None) -> None:
        self._watch = watch
        self._name = name
        self._begun = begun
        self._around = around
        self._left_out = 0.0

    def leave_out(self, seconds: float) -> None:
        """Leaves out the last seconds of the block, which belong to the next stage."""
        self._left_out = seconds

    def __enter__(self) -> Self:
        self._started = time.perf_counter() - self._begun
        if self._around is not None:
            self._span = self._around.child(self._name, self._begun)
            self._token = current_span.set(self._span)
        return self

    def __exit__(self, error: type[BaseException] | None, *_about_it: object) -> None:
        self._watch.record(self._name, time.perf_counter() - self._started - self._left_out)
        if self._around is not None:
            current_span.reset(self._token)
            self._span.end(self._left_out, error)
