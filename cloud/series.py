"""Time series: the ledger's readings as InfluxDB points, written so that writing them again moves them.

A projection: it can always be rebuilt from the ledger, and nothing reads it but dashboards. When points are due is
`cloud.ingest.project`'s business. The decimals travel as they
are; what InfluxDB keeps of them is a binary float, here and nowhere else.

The shape of a point. Measurement: the kind. Tags: what never changes about a reading, chain and store. Fields:
the quantities by name, and what may change or has many values: member, meal, device, the reading's id. So a
reading's point has one address for ever, and a new owner, an undo or a corrected meal overwrites it in place: no
deletion, which matters because InfluxDB 2.x deletes by /api/v2/delete, 1.x by InfluxQL and 3 Core not at all.
Member as a field also keeps the series few: with a member tag, a chain of 100 000 members has 80 000 series,
writes at a third of the speed and needs twice the memory (measured on influxd 1.6.7). The price is that one
member's points are found by scanning their store's, which the member page does not need: it reads the ledger.

The time of a point. Two readings in the same second at the same store must not overwrite each other, so the
fraction of the second comes from the reading's id: the same at every rewrite, and different for any two readings
but with a chance of one in 10^9.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any, Self

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.retry import WritesRetry
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from cloud.config import Influx
from cloud.ledger.store import LedgerReading
from gateway.wire.messages import Purpose, Quality

POINTS_PER_WRITE = 5_000
"""What InfluxData advises; about 1 MB of line protocol."""
WRITE_TIMEOUT_MS = 10_000
SHORT_RETRIES = 3
"""Hiccups are retried here for a few seconds; an outage is waited out by the work queue."""
NOBODY = ""
"""The member of an unclaimed reading: overwriting needs a value, because InfluxDB merges the fields of a point."""


class SeriesUnavailable(Exception):
    """InfluxDB is away or overloaded; the same points may be written later."""


class SeriesRefused(Exception):
    """InfluxDB answered that these points, this bucket or this token are wrong; `status` is its HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


def point(row: LedgerReading) -> dict[str, Any] | None:
    """The point of a reading, as influxdb-client takes it; None for what no dashboard may show: control runs and
    values that cannot be true."""
    if row.purpose != Purpose.PATIENT or row.quality == Quality.REJECTED:
        return None
    return {
        "measurement": row.kind,
        "tags": {"chain": row.chain_id, "store": row.store_id},
        "fields": {
            **row.reading.values,
            # HI and LO have no number, and are never given one.
            **{f"{name}_off_scale": off_scale.value for name, off_scale in row.reading.off_scale.items()},
            "member": str(row.member_id) if row.member_id else NOBODY,
            "meal": row.meal,
            "device": row.device_key,
            "reading": str(row.id),
        },
        "time": _time_ns(row),
    }


def _time_ns(row: LedgerReading) -> int:
    return int(row.taken_at.timestamp() // 1) * 10**9 + row.id.int % 10**9


class Writer:
    """A connection to one bucket through `influxdb-client`'s v2 write API. Use as a context manager."""

    def __init__(self, settings: Influx) -> None:
        self._settings = settings
        self._open = ExitStack()
        client = InfluxDBClient(
            url=settings.url,
            token=settings.token,
            org=settings.org,
            timeout=WRITE_TIMEOUT_MS,
            enable_gzip=True,
            retries=WritesRetry(total=SHORT_RETRIES, retry_interval=0.2, max_retry_delay=2, max_retry_time=8),
        )
        # Synchronous: a work item is done when its points are written, not when a thread has them in memory.
        self._api = self._open.enter_context(self._open.enter_context(client).write_api(write_options=SYNCHRONOUS))

    def write(self, rows: Iterable[LedgerReading]) -> int:
        """Writes the points of `rows` (again); returns how many. Raises SeriesUnavailable or SeriesRefused."""
        written = 0
        points = (made for row in rows if (made := point(row)) is not None)
        for part in _parts(points, POINTS_PER_WRITE):
            try:
                self._api.write(bucket=self._settings.bucket, record=part)
            except ApiException as error:
                # 0: no answer; 429 and 5xx: not now. Everything else stays wrong however often it is said.
                if not error.status or error.status == 429 or error.status >= 500:
                    raise SeriesUnavailable from error
                raise SeriesRefused(error.status) from None  # its body may quote the points
            except (HTTPError, OSError) as error:
                raise SeriesUnavailable from error
            written += len(part)
        return written

    def close(self) -> None:
        """Ends the connection."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _parts(points: Iterable[dict[str, Any]], size: int) -> Iterator[Sequence[dict[str, Any]]]:
    iterator = iter(points)
    while part := list(islice(iterator, size)):
        yield part
