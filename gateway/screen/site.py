"""What every request of the dock screen needs: the slot it is about, the reader's language, templates, forms.

Which pages there are is `pages`', what may be posted `desk`'s.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

import jinja2
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from gateway.board import Board
from gateway.config import Slot
from gateway.counter import Counter
from gateway.health import Health
from gateway.i18n import LANGUAGES, Translate, translator
from gateway.lookup import Away
from gateway.meters import Meters
from gateway.screen.who import Who
from gateway.screen.wording import Wording
from gateway.visits import Visits
from gateway.wire.messages import Answer, Candidate, Found

HERE = Path(__file__).parent
MAX_FORM_BYTES = 4096
"""A code, a slot and a name of staff, or the symptoms of a questionnaire; nothing honest is longer."""
MAX_FIELDS = 48
"""More than there are symptoms."""
PAGE_HEADERS = {
    "Cache-Control": "no-store",
    # Nothing from elsewhere, and inside nobody's frame: a hidden one could make staff click "close visit".
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


async def _kept_nowhere(answer: Answer) -> None:
    raise RuntimeError("this dock was given no place to keep answers")


async def _remembered_nowhere(slot: str) -> None:
    """A dock that is not told to keeps its visits in memory."""


class Finder(Protocol):
    """Who may be meant by the end of a phone number; see `gateway.lookup.LookUps.find`."""

    async def __call__(self, tail: str, *, slot: str, staff: str = "") -> tuple[Found, tuple[Candidate, ...]]:
        """Raises Away."""


async def _nobody_to_ask(tail: str, *, slot: str, staff: str = "") -> tuple[Found, tuple[Candidate, ...]]:
    raise Away


@dataclass(frozen=True, slots=True, kw_only=True)
class Dock:
    """What the screen is given. `counter` is asked for a slot's open question at every look; `answer` keeps what
    somebody said and returns when it is on disk; `stands` keeps who stands at a slot, for a restart; `find` asks
    the cloud for a phone tail."""

    board: Board
    visits: Visits
    slots: tuple[Slot, ...]
    health: Callable[[], Health]
    clock: Callable[[], datetime]
    new_id: Callable[[], UUID]
    counter: Callable[[str], Counter] = lambda slot: Counter(slot=slot, visit=None)
    answer: Callable[[Answer], Awaitable[None]] = _kept_nowhere
    stands: Callable[[str], Awaitable[None]] = _remembered_nowhere
    find: Finder = _nobody_to_ask
    meters: Meters = field(default_factory=Meters)
    language: str = "zh_CN"
    local_utc_offset_min: int = 480
    host: str = "127.0.0.1"


class Site:
    """The dock and its templates, as one request sees them."""

    def __init__(self, dock: Dock) -> None:
        self.dock = dock
        self.who = Who()
        self.slots = {slot.name: slot for slot in dock.slots}
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def slot(self, request: Request, asked: Mapping[str, object]) -> Slot:
        """The slot that was asked for, or the first; raises 404."""
        name = str(asked.get("slot", "") or self.dock.slots[0].name)
        if name not in self.slots:
            _ = self.say(request)
            raise HTTPException(
                404, _("There is no such slot. This counter has: {}").format(", ".join(self.slots))
            )
        return self.slots[name]

    def language(self, request: Request) -> str:
        """The reader's: as asked for, as chosen before, or the store's."""
        for wanted in (request.query_params.get("lang"), request.cookies.get("lang")):
            if wanted in LANGUAGES:
                return str(wanted)
        return self.dock.language

    def say(self, request: Request) -> Translate:
        """Turns English into the reader's language."""
        return translator(self.language(request))

    def wording(self, language: str) -> Wording:
        """How things are said to readers of `language` here."""
        return Wording.of(language, self.dock.local_utc_offset_min)

    def render(self, template: str, language: str, **values: object) -> str:
        """A template in `language`."""
        return self._templates.get_template(template).render(_=translator(language), language=language, **values)

    async def form(self, request: Request) -> FormData:
        """The form that was posted; raises 411, 413 or 415."""
        _ = self.say(request)
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            raise HTTPException(411, _("The request does not say how long it is."))
        if int(length) > MAX_FORM_BYTES:
            raise HTTPException(413, _("That is far longer than a member code."))
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise HTTPException(415, _("Send a form: code=...&slot=..."))
        return await request.form(max_fields=MAX_FIELDS)

    def done(self, request: Request, slot: Slot, answer: Mapping[str, object], page: str = "/dock") -> Response:
        """JSON for the page's own script and for programs; a browser without scripts is led back to `page`."""
        if wants_html(request):
            return RedirectResponse(f"{page}?slot={slot.name}", status_code=303)
        return JSONResponse(answer)


def wants_html(request: Request) -> bool:
    """Whether this is a browser that shows what it gets."""
    return "text/html" in request.headers.get("accept", "")
