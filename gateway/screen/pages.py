"""The pages of the dock screen and their live events: the dock, the meters, the slip.

A page is a frame (layout.html) around one part, and the part is sent again whenever something changed. What is
in a part is `view`'s, `meters`' and `slip`'s.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from gateway.config import Slot
from gateway.counter import Counter
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


Counters: TypeAlias = Mapping[str, Counter]
"""What is asked at each slot, made once for each picture of the screen."""


class Pages:
    """GET."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._parts: dict[str, Callable[[Slot, Counters, Wording], dict[str, Any]]] = {
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
            **self._part(name, slot, wording),
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
                part = self._part(name, slot, wording)
                html = site.render(f"_{name}.html", language, slot=slot, wording=wording, **part)
                yield _event("clock", str(_ms(site.dock.clock()))) + _event("board", html)

        return StreamingResponse(
            stream(),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    def _part(self, name: str, slot: Slot, wording: Wording) -> dict[str, Any]:
        """What the template of a part needs. Every slot is looked at: an emergency at one must be seen at all."""
        dock = self._site.dock
        counters = {each.name: dock.counter(each.name) for each in dock.slots}
        tabs = tuple(
            Tab(slot=each, alarm=_in_danger(counters[each.name]), here=each == slot) for each in dock.slots
        )
        return {"tabs": tabs, **self._parts[name](slot, counters, wording)}

    def _dock(self, slot: Slot, counters: Counters, wording: Wording) -> dict[str, Any]:
        dock = self._site.dock
        snapshot = dock.board.snapshot(slot.name)
        known = meters(dock.meters.seen(), snapshot.now, wording)
        return {
            "view": view(snapshot, counters[slot.name], self._site.who, wording),
            "ailing": sum(meter.ailing for meter in known),
        }

    def _meters(self, slot: Slot, counters: Counters, wording: Wording) -> dict[str, Any]:
        dock = self._site.dock
        return {"meters": meters(dock.meters.seen(), dock.clock(), wording)}

    def _slip(self, slot: Slot, counters: Counters, wording: Wording) -> dict[str, Any]:
        made = slip(counters[slot.name], self._site.dock.clock(), wording)
        return {"slip": made, "qr": qr.svg(made.text) if made else ""}


def _in_danger(counter: Counter) -> bool:
    return counter.first_aid is not None and not counter.first_aid.put_away


def _event(name: str, text: str) -> str:
    return f"event: {name}\n" + "".join(f"data: {line}\n" for line in text.splitlines()) + "\n"


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
