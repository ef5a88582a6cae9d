"""The CRM as an ASGI application: features' routers, one engine, one listener for live news, and the headers.

`python -m cloud serve` runs it. What a page shows is the features'; who may see it is `access`'s.
"""

import argparse
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI, Request
from fastapi.staticfiles import StaticFiles
from prometheus_client import Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud import config, db
from cloud.config import Config
from cloud.crm import answers, errors, events, health
from cloud.crm.fleet import api as fleet_api
from cloud.crm.fleet import pages as fleet_pages
from cloud.crm.members import api as members_api
from cloud.crm.members import pages as members_pages
from cloud.crm.staff import api as staff_api
from cloud.crm.staff import pages as staff_pages
from cloud.crm.tasks import api as tasks_api
from cloud.crm.tasks import pages as tasks_pages
from cloud.crm.unclaimed import api as unclaimed_api
from cloud.crm.unclaimed import pages as unclaimed_pages
from cloud.crm.web import SAFE_METHODS
from cloud.live import Hub
from gateway import clinical

ROUTERS = (
    staff_pages.router,
    tasks_pages.router,
    members_pages.router,
    unclaimed_pages.router,
    fleet_pages.router,
    events.router,
    staff_api.router,
    tasks_api.router,
    members_api.router,
    unclaimed_api.router,
    fleet_api.router,
    health.router,
)
MAX_BODY_BYTES = 64 * 1024
"""The largest form is fifty reading ids and a note; more is no form of ours."""
SHUTDOWN_S = 3
"""Open event streams never end by themselves; a restart does not wait for them longer than this."""
HEADERS = {
    # Scripts only from our own files; style attributes are what ECharts positions its tooltips with.
    "content-security-policy": "default-src 'self'; script-src 'self'; style-src 'self'; "
    "style-src-attr 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


def create_app(settings: Config) -> FastAPI:
    """The application over `settings.database_url`; it opens its connections when it starts."""
    engine = db.engine(settings.database_url)
    hub = Hub(settings.database_url)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with hub:
            yield
        engine.dispose()

    app = FastAPI(
        title="Kangdock CRM",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    app.state.engine = engine
    app.state.hub = hub
    app.state.rules = {rule.id: rule for rule in clinical.library(settings.rules)}
    app.state.secure_cookies = settings.public_url.startswith("https://")
    app.state.vitals = health.Vitals(engine, hub)
    app.state.registry, seconds = health.registry(app.state.vitals)
    answers.install(app)
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    app.add_middleware(Gatekeeper, public_url=settings.public_url, seconds=seconds)
    return app


class Gatekeeper:
    """Around every request: same-origin for unsafe methods, a bounded body, security headers, and its time."""

    def __init__(self, app: ASGIApp, *, public_url: str, seconds: Histogram) -> None:
        self._app = app
        self._public = urlsplit(public_url).netloc
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def guarded_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                # Health data is not kept by browsers on shared counters; our own files are revalidated.
                cache = "no-cache" if scope["path"].startswith("/static/") else "no-store"
                headers.setdefault("cache-control", cache)
            await send(message)

        headers = Headers(scope=scope)
        if scope["method"] not in SAFE_METHODS and not self._same_origin(headers):
            await answers.answer(Request(scope), errors.forged())(scope, receive, guarded_send)
        elif _too_long(headers):
            await answers.answer(Request(scope), errors.too_much())(scope, receive, guarded_send)
        else:
            await self._app(scope, receive, guarded_send)
        route = getattr(scope.get("route"), "path", "other")
        if route != "/events":
            self._seconds.labels(scope["method"], route, str(status)).observe(time.perf_counter() - started)

    def _same_origin(self, headers: Headers) -> bool:
        # No Origin and no Referer is no browser: the session's CSRF token still has to be there.
        claimed = headers.get("origin") or headers.get("referer")
        return claimed is None or urlsplit(claimed).netloc in (headers.get("host"), self._public)


def _too_long(headers: Headers) -> bool:
    length = headers.get("content-length", "0")
    chunked = "chunked" in headers.get("transfer-encoding", "")
    return chunked or not length.isdecimal() or int(length) > MAX_BODY_BYTES


def commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `serve`."""
    serve = subparsers.add_parser("serve", help="the CRM: pages and API")
    serve.add_argument("--host", help="where to listen (default: HOST)")
    serve.add_argument("--port", type=config.port, help="where to listen (default: PORT)")
    serve.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    settings = config.load()
    # No access log: a member's id and what was looked at belong into member_views, not into a file.
    uvicorn.run(
        create_app(settings),
        host=arguments.host or settings.host,
        port=arguments.port or settings.port,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
        log_config=None,
    )
    return 0
