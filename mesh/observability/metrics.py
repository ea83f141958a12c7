"""Metrics: OpenTelemetry instruments, shown to Prometheus at /metrics on a port of their own.

A service makes its instruments from `Server.meter`. Without a port they do nothing, and neither the
metrics SDK nor the exporter is imported: a service has little memory to spare.
"""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

from opentelemetry.metrics import Meter, NoOpMeter

from mesh.settings import ServiceSettings

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

__all__ = [
    "NO_METRICS",
    "SECONDS",
    "Metrics",
]

SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bucket boundaries of durations, from one step of a work to the longest call."""
NO_METRICS: Meter = NoOpMeter("mediq")
"""A meter whose instruments do nothing."""


class Metrics:
    """Holds the meter of one process, and serves the page that shows it."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Prepares; nothing listens before `start`.

        Args:
            settings: Of the service. With `metrics_port` 0 the meter does nothing.
        """
        self._settings = settings
        self._listener: tuple[WSGIServer, Thread] | None = None
        self.meter = NO_METRICS
        if not settings.metrics_port:
            return
        from opentelemetry.exporter.prometheus import PrometheusMetricReader
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from prometheus_client import CollectorRegistry, ProcessCollector

        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._provider = MeterProvider(
            [PrometheusMetricReader(scope_info_enabled=False, registry=self._registry)],
            Resource.create({SERVICE_NAME: settings.service}),
            shutdown_on_exit=False,
        )
        self.meter = self._provider.get_meter("mediq")

    def start(self) -> None:
        """Serves the page, from a thread of its own.

        Raises:
            RuntimeError: The port is taken.
        """
        port = self._settings.metrics_port
        if not port:
            return
        from prometheus_client import start_http_server

        try:
            self._listener = start_http_server(port, self._settings.host, self._registry)
        except OSError as error:
            raise RuntimeError(
                f"port {port} is in use or not allowed: stop the other program, or set "
                f"MEDIQ_{self._settings.service.upper()}_METRICS_PORT"
            ) from error

    def close(self) -> None:
        """Ends the page. Blocks up to half a second."""
        if self._listener is None:
            return
        http, thread = self._listener
        http.shutdown()
        thread.join()
        http.server_close()
        self._provider.shutdown()
