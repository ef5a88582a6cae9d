"""The dock screen over HTTP: the page, its live events, visits opened and closed, health and metrics.

It decides nothing: the board knows what happened, `view` finds the words, `gateway.visits` keeps who stands where.
"""

import ipaddress
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from uuid import UUID

import jinja2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.board import Board
from gateway.config import Slot
from gateway.health import Health, Word
from gateway.i18n import LANGUAGES, Translate, translator
from gateway.screen.view import View, state, view
from gateway.visits import LONGEST_NAME, BadCode, BadName, Visits, normalise_code, normalise_name

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
MAX_FORM_BYTES = 4096
"""A code, a slot and a name of staff; nothing honest is longer."""
RECONNECT_MS = 2000
"""How soon a browser comes back after the gateway restarted."""
PAGE_HEADERS = {
    "Cache-Control": "no-store",
    # Nothing from elsewhere, and inside nobody's frame: a hidden one could make staff click "close visit".
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dock:
    """What the screen is given."""

    board: Board
    visits: Visits
    slots: tuple[Slot, ...]
    health: Callable[[], Health]
    clock: Callable[[], datetime]
    new_id: Callable[[], UUID]
    language: str = "zh_CN"
    local_utc_offset_min: int = 480
    host: str = "127.0.0.1"


def create_app(dock: Dock) -> Starlette:
    """The dock screen's ASGI application."""
    pages = _Pages(dock)
    return Starlette(
        routes=[
            Route("/", pages.home),
            Route("/dock", pages.dock),
            Route("/events", pages.events),
            Route("/state", pages.state),
            Route("/visits", pages.open_visit, methods=["POST"]),
            Route("/visits/close", pages.close_visit, methods=["POST"]),
            Route("/healthz", pages.healthz),
            Route("/metrics", pages.metrics),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(_OwnBrowserOnly, host=dock.host, translate=translator(dock.language))],
        exception_handlers={HTTPException: pages.refused},
    )


class _Pages:
    def __init__(self, dock: Dock) -> None:
        self._dock = dock
        self._slots = {slot.name: slot for slot in dock.slots}
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    async def home(self, request: Request) -> Response:
        return RedirectResponse("/dock")

    async def dock(self, request: Request) -> Response:
        slot, language = self._slot(request, request.query_params), self._language(request)
        page = self._render(
            "dock.html",
            language,
            slot=slot,
            slots=self._dock.slots,
            gateway=self._dock.health().status.gateway,
            view=self._view(slot, language),
        )
        response = HTMLResponse(page, headers=PAGE_HEADERS)
        if "lang" in request.query_params:
            response.set_cookie("lang", language, max_age=365 * 86400, samesite="strict", httponly=True)
        return response

    async def events(self, request: Request) -> Response:
        slot, language = self._slot(request, request.query_params), self._language(request)

        async def stream() -> AsyncIterator[str]:
            yield f"retry: {RECONNECT_MS}\n\n"
            async for _ in self._dock.board.subscribe():
                html = self._render("_board.html", language, slot=slot, view=self._view(slot, language))
                yield "event: board\n" + "".join(f"data: {line}\n" for line in html.splitlines()) + "\n"

        return StreamingResponse(
            stream(),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def state(self, request: Request) -> Response:
        slot = self._slot(request, request.query_params)
        return JSONResponse(state(self._dock.board.snapshot(slot.name)), headers={"Cache-Control": "no-store"})

    async def open_visit(self, request: Request) -> Response:
        _ = translator(self._language(request))
        form = await self._form(request)
        slot = self._slot(request, form)
        try:
            code = normalise_code(form.get("code", ""))
        except BadCode:
            words = _("This is not a member code. Scan the card again, or type the digits under its bars.")
            raise HTTPException(422, words) from None
        try:
            staff = normalise_name(form.get("staff", ""))
        except BadName:
            words = _("This is not a name of staff. Type at most {} characters.").format(LONGEST_NAME)
            raise HTTPException(422, words) from None
        visit = self._dock.visits.open(slot.name, code, self._dock.clock(), id=self._dock.new_id(), staff=staff)
        log.info("visit.opened visit=%s slot=%s", visit.id, slot.name)
        self._dock.board.changed()
        return self._done(request, slot, {"visit": str(visit.id)})

    async def close_visit(self, request: Request) -> Response:
        form = await self._form(request)
        slot = self._slot(request, form)
        visit = self._dock.visits.close(slot.name, self._dock.clock())
        if visit is not None:
            log.info("visit.closed visit=%s slot=%s", visit.id, slot.name)
        self._dock.board.changed()
        return self._done(request, slot, {"visit": str(visit.id) if visit else None})

    async def healthz(self, request: Request) -> Response:
        health = self._dock.health()
        failing = health.word is Word.FAILING
        return JSONResponse(health.as_json(), 503 if failing else 200, headers={"Cache-Control": "no-store"})

    async def metrics(self, request: Request) -> Response:
        snapshot = self._dock.board.snapshot(self._dock.slots[0].name)
        body = self._dock.health().as_metrics(saved=snapshot.saved, received=snapshot.received)
        return PlainTextResponse(body, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def refused(self, request: Request, error: Exception) -> Response:
        """Every 4xx: for the page's own script and for programs JSON, else one plain sentence."""
        assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
        language, words = self._language(request), error.detail
        _ = translator(language)
        if words == HTTPStatus(error.status_code).phrase:  # the router's own: no such page, no such method
            words = _("There is nothing here. Go back to the dock.")
        if _wants_html(request):
            page = self._render("refused.html", language, words=words)
            return HTMLResponse(page, error.status_code, {**PAGE_HEADERS, **(error.headers or {})})
        return JSONResponse({"message": words}, error.status_code, error.headers)

    # --- within ----------------------------------------------------------------------------------------

    def _slot(self, request: Request, asked: Mapping[str, str]) -> Slot:
        name = asked.get("slot", "") or self._dock.slots[0].name
        if name not in self._slots:
            _ = translator(self._language(request))
            raise HTTPException(
                404, _("There is no such slot. This counter has: {}").format(", ".join(self._slots))
            )
        return self._slots[name]

    def _language(self, request: Request) -> str:
        for wanted in (request.query_params.get("lang"), request.cookies.get("lang")):
            if wanted in LANGUAGES:
                return str(wanted)
        return self._dock.language

    def _view(self, slot: Slot, language: str) -> View:
        return view(
            self._dock.board.snapshot(slot.name),
            translator(language),
            chinese=language == "zh_CN",
            local_utc_offset_min=self._dock.local_utc_offset_min,
        )

    def _render(self, template: str, language: str, **values: object) -> str:
        translate: Translate = translator(language)
        return self._templates.get_template(template).render(_=translate, language=language, **values)

    async def _form(self, request: Request) -> dict[str, str]:
        _ = translator(self._language(request))
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            raise HTTPException(411, _("The request does not say how long it is."))
        if int(length) > MAX_FORM_BYTES:
            raise HTTPException(413, _("That is far longer than a member code."))
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise HTTPException(415, _("Send a form: code=...&slot=..."))
        form = await request.form(max_fields=8)
        return {key: value for key, value in form.items() if isinstance(value, str)}

    def _done(self, request: Request, slot: Slot, answer: dict[str, str | None]) -> Response:
        if _wants_html(request):  # a browser without scripts
            return RedirectResponse(f"/dock?slot={slot.name}", status_code=303)
        return JSONResponse(answer)


def _wants_html(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


class _OwnBrowserOnly:
    """Only the store's own pages may post here, and only under a name that is really this machine.

    A page from elsewhere, open in the same browser, can send a form to 127.0.0.1; browsers mark it. A foreign name
    that resolves to this machine (DNS rebinding) would look like our own origin, so names are limited too.
    """

    def __init__(self, app: ASGIApp, host: str, translate: Translate) -> None:
        self._app = app
        self._host = host
        self._translate = translate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(Request(scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        _ = self._translate
        if not self._is_ours(request.url.hostname or ""):
            words = _("Open this screen by its address, not by another name.")
            return JSONResponse({"message": words}, 421)
        if request.method not in ("GET", "HEAD") and _from_elsewhere(request):
            words = _("Another page tried to send this. Nothing was changed; use the dock screen itself.")
            return JSONResponse({"message": words}, 403)
        return None

    def _is_ours(self, name: str) -> bool:
        if name in ("localhost", self._host):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _from_elsewhere(request: Request) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    return origin is not None and origin != f"{request.url.scheme}://{request.headers.get('host', '')}"
