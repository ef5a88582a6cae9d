"""How the ingest is doing, for people and for Prometheus: its counters, and the small server that shows them.

The CRM's own /healthz and /metrics are `cloud.crm.health`'s. A label never holds anything about a person.
"""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gateway.wire.messages import Receipt

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 10.0
"""A scraper that stalls must not hold a thread for ever."""


class IngestMetrics:
    """The ingest's counters, in a registry of their own so that tests and benches can have several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.messages = Counter("kangdock_ingest_messages", "Messages taken from the broker", registry=r)
        self.readings = Counter(
            "kangdock_ingest_readings", "Readings by outcome: stored, known, set_aside", ["outcome"], registry=r
        )
        self.dead_letters = Counter("kangdock_ingest_dead_letters", "Batches with letters", ["error"], registry=r)
        self.transaction_s = Histogram(
            "kangdock_ingest_transaction_seconds",
            "One group of messages, from begin to commit",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=r,
        )
        self.inbox_bytes = Gauge("kangdock_ingest_inbox_bytes", "Taken but not committed yet", registry=r)
        self.stale_acknowledgements = Counter(
            "kangdock_ingest_stale_acknowledgements", "Committed after their connection was gone", registry=r
        )
        self.receipts_refused = Counter(
            "kangdock_ingest_receipts_refused", "Receipts the broker would not take", registry=r
        )
        self.work_done = Counter("kangdock_work_done", "Work items finished", ["reader"], registry=r)
        self.work_failed = Counter("kangdock_work_failed", "Attempts that failed", ["reader"], registry=r)
        self.work_lag_s = Gauge("kangdock_work_lag_seconds", "Age of the oldest item", ["reader"], registry=r)
        self.work_parked = Gauge("kangdock_work_parked", "Items given up on", ["reader"], registry=r)
        self.rules = Gauge(
            "kangdock_rules", "Clinical rules by state: loaded, signed, usable", ["state"], registry=r
        )

    def count(self, receipt: Receipt) -> None:
        """Adds what became of one batch."""
        for outcome in ("stored", "known", "set_aside"):
            if number := getattr(receipt, outcome):
                self.readings.labels(outcome).inc(number)
        if receipt.reason:
            self.dead_letters.labels(receipt.reason).inc()


class HealthServer:
    """Answers GET /healthz (503 when `status` is not "ok") and GET /metrics on its own threads."""

    def __init__(
        self, host: str, port: int, metrics: IngestMetrics, health: Callable[[], Mapping[str, Any]]
    ) -> None:
        """`health` is asked at every request, also before metrics are shown; port 0 takes any free one."""

        class Handler(BaseHTTPRequestHandler):
            timeout = REQUEST_TIMEOUT_S

            def do_GET(self) -> None:
                state = health()
                match self.path:
                    case "/healthz":
                        status = 200 if state["status"] == "ok" else 503
                        self._answer(status, "application/json", json.dumps(state).encode())
                    case "/metrics":
                        self._answer(200, CONTENT_TYPE_LATEST, generate_latest(metrics.registry))
                    case _:
                        self._answer(404, "text/plain", b"there is /healthz and /metrics\n")

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                log.debug("health.request")

        self._server = _Server((host, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """See socketserver; its own prints what the error says."""
        log.exception("health.request_failed")
