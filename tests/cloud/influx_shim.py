"""The v2 write contract in front of a REAL influxd 1.6.7: its line-protocol parser, storage and InfluxQL.

Debian's influxd has no /api/v2/write; InfluxDB 1.8 maps it to /write?db=<bucket>, and so does this shim, with v2's
status codes. The codes are from the documentation, not observed on a 2.x: what passes here is not "tested on
InfluxDB 2".
"""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from cloud.demo import debian
from cloud.demo.servers import Server, free_port

TOKEN = "token-of-the-test"
CONFIG = """\
bind-address = "127.0.0.1:{rpc}"
reporting-disabled = true
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
[monitor]
  store-enabled = false
"""


def program() -> str | None:
    """Debian's influxd, if it is installed."""
    return debian.find("influxd")


class Influxd(Server):
    """A real influxd of the 1.x line."""

    name = "influxd"

    def command(self) -> list[str]:
        """See Server."""
        config = self.directory / "influxdb.conf"
        config.write_text(CONFIG.format(folder=self.directory, port=self.port, rpc=free_port()))
        return [str(program()), "-config", str(config)]

    def query(self, influxql: str, db: str = "kangdock") -> list[dict[str, object]]:
        """Rows of the first result's series, tags and columns together."""
        answer = httpx.get(f"http://127.0.0.1:{self.port}/query", params={"q": influxql, "db": db, "epoch": "ns"})
        answer.raise_for_status()
        (result,) = answer.json()["results"]
        assert "error" not in result, result
        return [
            {**series.get("tags", {}), **dict(zip(series["columns"], row, strict=True))}
            for series in result.get("series", [])
            for row in series["values"]
        ]

    def create(self, db: str) -> None:
        """Makes a database, which is what a bucket is here."""
        httpx.post(
            f"http://127.0.0.1:{self.port}/query", params={"q": f'CREATE DATABASE "{db}"'}
        ).raise_for_status()


class Shim:
    """Listens like a v2 server; `away` answers 503 until told otherwise."""

    def __init__(self, influxd: Influxd) -> None:
        self.away = threading.Event()
        self.refused = threading.Event()  # set when `away` made it turn somebody down
        shim = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                if shim.away.is_set():
                    shim.refused.set()
                    self._answer(503, "unavailable")
                elif url.path != "/api/v2/write":
                    self._answer(404, "not found")
                elif self.headers.get("Authorization") != f"Token {TOKEN}":
                    self._answer(401, "unauthorized")
                else:
                    answer = httpx.post(
                        f"http://127.0.0.1:{influxd.port}/write",
                        params={"db": query["bucket"], "precision": query["precision"]},
                        content=body,
                    )
                    conflict = "field type conflict" in answer.text
                    self._answer(
                        422 if conflict else answer.status_code, answer.headers.get("X-Influxdb-Error", "")
                    )

            def _answer(self, status: int, message: str) -> None:
                body = b"" if status == 204 else json.dumps({"code": "invalid", "message": message}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()


def start(folder: Path) -> tuple[Influxd, Shim]:
    """A running influxd and the shim before it."""
    influxd = Influxd(folder).start()
    return influxd, Shim(influxd)
