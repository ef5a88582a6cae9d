"""The dock screen over HTTP: its pages, what they post, health and metrics.

It decides nothing: the board knows what happened, `gateway.counter` what is asked, `view` finds the words, and
`gateway.visits` keeps who stands where.
"""

from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from gateway.health import Word
from gateway.i18n import translator
from gateway.screen.desk import Desk
from gateway.screen.guard import OwnBrowserOnly
from gateway.screen.pages import Pages
from gateway.screen.site import HERE, PAGE_HEADERS, Dock, Site, wants_html
from gateway.screen.view import state

__all__ = ["Dock", "create_app"]


def create_app(dock: Dock) -> Starlette:
    """The dock screen's ASGI application."""
    site = Site(dock)
    pages, desk, programs = Pages(site), Desk(site), _Programs(site)
    return Starlette(
        routes=[
            Route("/", pages.home),
            Route("/dock", pages.page),
            Route("/meters", pages.page),
            Route("/slip", pages.page),
            Route("/events", pages.events),
            Route("/visits", desk.open_visit, methods=["POST"]),
            Route("/visits/nobody", desk.none_of_them, methods=["POST"]),
            Route("/visits/close", desk.close_visit, methods=["POST"]),
            Route("/answers", desk.answer, methods=["POST"]),
            Route("/meters/clock", desk.set_clock, methods=["POST"]),
            Route("/state", programs.state),
            Route("/healthz", programs.healthz),
            Route("/metrics", programs.metrics),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(OwnBrowserOnly, host=dock.host, translate=translator(dock.language))],
        exception_handlers={HTTPException: programs.refused},
    )


class _Programs:
    """What programs read, and every refusal."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def state(self, request: Request) -> Response:
        slot = self._site.slot(request, request.query_params)
        shown = state(self._site.dock.board.snapshot(slot.name))
        return JSONResponse(shown, headers={"Cache-Control": "no-store"})

    async def healthz(self, request: Request) -> Response:
        health = self._site.dock.health()
        failing = health.word is Word.FAILING
        return JSONResponse(health.as_json(), 503 if failing else 200, headers={"Cache-Control": "no-store"})

    async def metrics(self, request: Request) -> Response:
        dock = self._site.dock
        snapshot = dock.board.snapshot(dock.slots[0].name)
        body = dock.health().as_metrics(saved=snapshot.saved, received=snapshot.received)
        return PlainTextResponse(body, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def refused(self, request: Request, error: Exception) -> Response:
        """Every 4xx: for the page's own script and for programs JSON, else one plain sentence."""
        assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
        language, words = self._site.language(request), error.detail
        _ = translator(language)
        if words == HTTPStatus(error.status_code).phrase:  # the router's own: no such page, no such method
            words = _("There is nothing here. Go back to the dock.")
        if wants_html(request):
            page = self._site.render("refused.html", language, words=words)
            return HTMLResponse(page, error.status_code, {**PAGE_HEADERS, **(error.headers or {})})
        return JSONResponse({"message": words}, error.status_code, error.headers)
