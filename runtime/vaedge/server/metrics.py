"""Metrics in the text format of Prometheus."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from vaedge.server.responses import Response

# On import, prometheus_client reads this environment variable. Workers that share the folder report their sum.
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The metrics of one application."""

    def __init__(self, models: Iterable[str]) -> None:
        """Create the metrics. `models` are the names of the models."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "vaedge_requests", "Requests for inference.", ["model", "status"], registry=self._registry
        )
        seconds = Histogram(
            "vaedge_request_seconds",
            "Seconds from the start of a request to the end of its response.",
            ["model"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        batch_rows = Histogram(
            "vaedge_batch_rows",
            "Number of rows of each batch. Requests that run together form one batch.",
            buckets=_ROWS,
            registry=self._registry,
        )
        in_progress = Gauge(
            "vaedge_requests_in_progress",
            "Requests that have not been answered completely.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        # Finding a metric by its labels takes longer than counting, so each metric is found once.
        self._seconds = {model: seconds.labels(model) for model in models}
        self._counters: dict[tuple[str, int], Counter] = {}
        self.observe_batch = batch_rows.observe
        self.begin, self._end = in_progress.inc, in_progress.dec

    def end(self, model: str, status: int, seconds: float) -> None:
        """Count the end of a request. The status 499 means that the client went away."""
        self._end()
        counter = self._counters.get((model, status))
        if counter is None:
            counter = self._counters[model, status] = self._requests.labels(model, status)
        counter.inc()
        self._seconds[model].observe(seconds)

    def response(self) -> Response:
        """Return all metrics. If the server has several workers, the metrics are those of all workers together."""
        registry = self._registry
        folder = os.environ.get(FOLDER_VARIABLE)
        if folder is not None:
            _forget_dead_workers(Path(folder))
            registry = CollectorRegistry()
            _Workers(registry, folder)  # type: ignore[no-untyped-call]
        return Response(200, ((b"content-type", CONTENT_TYPE_LATEST.encode()),), generate_latest(registry))


class _Workers(MultiProcessCollector):
    """The metrics of all workers. Workers that are starting have empty files, and are left out."""

    def collect(self) -> Iterable[Metric]:
        """Return the metrics. The base class would raise an error for an empty file."""
        files = []
        for path in Path(self._path).glob("*.db"):
            with suppress(FileNotFoundError):  # another worker removed the file of a dead worker
                if path.stat().st_size:
                    files.append(str(path))
        return self.merge(files, accumulate=True)  # type: ignore[no-any-return, no-untyped-call]


def _forget_dead_workers(folder: Path) -> None:
    """Remove the gauges of workers that were killed."""
    for path in folder.glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
