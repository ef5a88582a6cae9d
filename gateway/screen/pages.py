"""The pages of the dock screen and their live events: the dock, the meters, the slip.

A page is a frame (layout.html) around one part, and the part is sent again whenever something changed. What is
in a part is `view`'s, `meters`' and `slip`'s.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from gateway.config import Slot
from gateway.screen import qr
from gateway.screen.meters import meters
from gateway.screen.site import PAGE_HEADERS, Site
from gateway.screen.slip import slip
from gateway.screen.view import view
from gateway.screen.wording import Wording

RECONNECT_MS = 2000
"""How soon a browser comes back after the gateway restarted."""
LANGUAGE_KEPT_S = 365 * 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Tab:
    """Another slot of this counter, and whether somebody is in danger there."""

    slot: Slot
    alarm: bool
    here: bool


class Pages:
    """GET."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._parts: dict[str, Callable[[Slot, Wording], dict[str, Any]]] = {
            "dock": self._dock,
            "meters": self._meters,
            "slip": self._slip,
        }

    async def home(self, request: Request) -> Response:
        """The dock is the first page."""
        return RedirectResponse("/dock")

    async def page(self, request: Request) -> Response:
        """One page, whole; its name is its path."""
        name, site = request.url.path.strip("/"), self._site
        slot, language = site.slot(request, request.query_params), site.language(request)
        wording = site.wording(language)
        html = site.render(
            "layout.html",
            language,
            page=name,
            slot=slot,
            wording=wording,
            now_ms=_ms(site.dock.clock()),
            **self._parts[name](slot, wording),
        )
        response = HTMLResponse(html, headers=PAGE_HEADERS)
        if "lang" in request.query_params:
            response.set_cookie("lang", language, max_age=LANGUAGE_KEPT_S, samesite="strict", httponly=True)
        return response

    async def events(self, request: Request) -> Response:
        """The part of a page, at once and after every change, and the gateway's clock with it."""
        site = self._site
        slot, language = site.slot(request, request.query_params), site.language(request)
        name, wording = request.query_params.get("page", "dock"), site.wording(language)
        if name not in self._parts:
            raise HTTPException(404)

        async def stream() -> AsyncIterator[str]:
            yield f"retry: {RECONNECT_MS}\n\n"
            async for _ in site.dock.board.subscribe():
                html = site.render(
                    f"_{name}.html", language, slot=slot, wording=wording, **self._parts[name](slot, wording)
                )
                yield _event("clock", str(_ms(site.dock.clock()))) + _event("board", html)

        return StreamingResponse(
            stream(),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    def _dock(self, slot: Slot, wording: Wording) -> dict[str, Any]:
        dock = self._site.dock
        snapshot = dock.board.snapshot(slot.name)
        known = meters(dock.meters.seen(), snapshot.now, wording)
        return {
            "view": view(snapshot, dock.counter(slot.name), self._site.who, wording),
            "tabs": self._tabs(slot),
            "ailing": sum(meter.ailing for meter in known),
        }

    def _meters(self, slot: Slot, wording: Wording) -> dict[str, Any]:
        dock = self._site.dock
        return {"meters": meters(dock.meters.seen(), dock.clock(), wording), "tabs": self._tabs(slot)}

    def _slip(self, slot: Slot, wording: Wording) -> dict[str, Any]:
        dock = self._site.dock
        made = slip(dock.counter(slot.name), dock.clock(), wording)
        return {"slip": made, "qr": qr.svg(made.text) if made else "", "tabs": self._tabs(slot)}

    def _tabs(self, here: Slot) -> tuple[Tab, ...]:
        """Every slot, so that an emergency at one is seen at all."""
        return tuple(
            Tab(slot=slot, alarm=self._in_danger(slot), here=slot == here) for slot in self._site.dock.slots
        )

    def _in_danger(self, slot: Slot) -> bool:
        first_aid = self._site.dock.counter(slot.name).first_aid
        return first_aid is not None and not first_aid.put_away


def _event(name: str, text: str) -> str:
    return f"event: {name}\n" + "".join(f"data: {line}\n" for line in text.splitlines()) + "\n"


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
