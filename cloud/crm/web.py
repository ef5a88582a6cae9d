"""What every page and endpoint stands on: one transaction, one signed-in reader, one language, one clock reading.

`Desk` is the dependency a route takes; it refuses whoever is not signed in and every unsafe request without the
session's CSRF token. Routes stay short: a service, then `desk.page(...)`.
"""

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import msgspec
from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import AfterValidator, StringConstraints
from sqlalchemy import Connection

from cloud import db
from cloud.crm import errors
from cloud.crm.access import Action, Reader, Role
from cloud.crm.errors import ProblemDetails
from cloud.crm.readings import MEALS_ASKED
from cloud.crm.staff import service as staff_service
from cloud.i18n import LANGUAGES, N_, Translator, is_known
from gateway.clinical import Rule
from gateway.wire.vocabulary import MEAL_LABELS

COOKIE = "kangdock_session"
LANGUAGE_COOKIE = "kangdock_language"
SAID_COOKIE = "kangdock_said"
SAID_S = 60
"""What was done is told on the next page, if that comes at once."""
CSRF_HEADER = "X-CSRF-Token"
PASSIVE_HEADER = "X-Kangdock-Passive"
"""Sent by a page that refreshes itself: such a request shows, but does not keep a session alive."""
ROLE_WORDS = {
    Role.CLERK: N_("Clerk"),
    Role.SPECIALIST: N_("Chronic-care specialist"),
    Role.STORE_MANAGER: N_("Store manager"),
    Role.AREA_MANAGER: N_("Area manager"),
    Role.HEAD_OFFICE: N_("Head office"),
    Role.FIELD_ENGINEER: N_("Field engineer"),
}
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def _no_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("NUL has no place in a text")
    return value


Words = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(_no_nul)]
"""Text somebody typed: bounded, and without the one character PostgreSQL cannot keep."""
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemDetails, "content": {"application/problem+json": {}}, "description": words}
    for status, words in (
        (400, "Unreadable"),
        (401, "Not signed in"),
        (403, "Not allowed, or without the session's token"),
        (404, "Not there, or not in your scope"),
        (409, "Somebody was faster, or the state does not allow it"),
        (422, "Unusable input"),
        (503, "The database does not answer"),
    )
}
"""What every endpoint of the API may answer besides its own model."""
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000), AfterValidator(_no_nul)]


def _connection(request: Request) -> Iterator[Connection]:
    # Committed before the response is sent (scope="function"): "saved" on a screen means saved.
    with db.begin(request.app.state.engine) as connection:
        yield connection


Db = Annotated[Connection, Depends(_connection, scope="function")]


async def _csrf_given(request: Request) -> str:
    given = request.headers.get(CSRF_HEADER, "")
    kind = request.headers.get("content-type", "")
    if given or request.method in SAFE_METHODS or "form" not in kind:
        return given
    return str((await request.form()).get("csrf", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskOf:
    """One request of somebody signed in."""

    request: Request
    connection: Connection
    reader: Reader
    csrf: str
    t: Translator
    now: datetime
    position: str  # of the news, before anything was read

    @property
    def passive(self) -> bool:
        """Whether a page asked by itself."""
        return is_passive(self.request)

    @property
    def rules(self) -> Mapping[str, Rule]:
        """The rules that raise this chain's tasks, by id."""
        rules: Mapping[str, Rule] = self.request.app.state.rules
        return rules

    def page(self, template: str, **values: Any) -> HTMLResponse:
        """`template` rendered for this reader."""
        shared = {
            "reader": self.reader,
            "csrf": self.csrf,
            "now": self.now,
            "position": self.position,
            "Action": Action,
        }
        told = not self.passive and not is_htmx(self.request)
        said = _known_words(unquote(self.request.cookies.get(SAID_COOKIE, ""))) if told else ""
        response = fragment(self.request, template, 200, {}, said=said and self.t(said), **shared, **values)
        if said:
            response.delete_cookie(SAID_COOKIE, path="/")
        return response

    def back(self, to: str, default: str, *, said: str = "") -> RedirectResponse:
        """Sends the browser to `to`, when that is a page of ours, which tells `said` (a msgid): what was done."""
        response = RedirectResponse(local_path(to, default), status_code=303)
        if said:
            set_cookie(response, self.request, SAID_COOKIE, quote(said), max_age_s=SAID_S)
        return response


def _desk(request: Request, connection: Db, csrf_given: Annotated[str, Depends(_csrf_given)]) -> DeskOf:
    now, position = db.now(), request.app.state.hub.position
    token = request.cookies.get(COOKIE)
    session = token and staff_service.session_of(connection, token, now, passive=is_passive(request))
    if not session:
        raise errors.not_signed_in()
    t = Translator(session.reader.language)
    request.state.translator = t
    request.state.session = session
    if request.method not in SAFE_METHODS and not _same(csrf_given, session.csrf):
        raise errors.forged()
    return DeskOf(
        request=request,
        connection=connection,
        reader=session.reader,
        csrf=session.csrf,
        t=t,
        now=now,
        position=position,
    )


Desk = Annotated[DeskOf, Depends(_desk, scope="function")]


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def is_htmx(request: Request) -> bool:
    """Whether htmx asked, to swap the answer into a page."""
    return request.headers.get("HX-Request") == "true"


def is_passive(request: Request) -> bool:
    """Whether a page asked by itself, without a person."""
    return PASSIVE_HEADER in request.headers


def local_path(to: str, default: str) -> str:
    """`to` when it is a path on this site, else `default`: an address given in a form leads nowhere else."""
    parts = urlsplit(to)
    plain = to.startswith("/") and not to.startswith(("//", "/\\")) and not parts.netloc and to.isprintable()
    return to if plain else default


def _known_words(given: str) -> str:
    # A cookie is the browser's word: nothing is shown but a text of ours.
    return given if is_known(given) else ""


def page_before(request: Request) -> str:
    """The page of ours that `request` was sent from; "" when that cannot be told."""
    referer = urlsplit(request.headers.get("referer", ""))
    path = referer.path + (f"?{referer.query}" if referer.query else "")
    ours = referer.netloc == request.headers.get("host") and referer.path != request.url.path
    return local_path(path, "") if ours else ""


def translator(request: Request) -> Translator:
    """The language of whoever asks: their own, else what this browser chose, else what it prefers."""
    known: Translator | None = getattr(request.state, "translator", None)
    if known is not None:
        return known
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    if chosen in LANGUAGES:
        return Translator(chosen)
    preferred = request.headers.get("accept-language", "zh").lower()
    return Translator("en" if preferred.startswith("en") else "zh")


def fragment(
    request: Request, template: str, status: int, headers: Mapping[str, str], **values: Any
) -> HTMLResponse:
    """`template` rendered without a desk: the sign-in page and error pages."""
    t = translator(request)
    session = getattr(request.state, "session", None)
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    shared = {
        "_": t,
        "t": t,
        "request": request,
        "here": here,
        "reader": session.reader if session else None,
        "csrf": session.csrf if session else "",
        "back_here": here if request.method == "GET" else "/",
        "role_words": ROLE_WORDS,
        "Action": Action,
    }
    html = _templates.get_template(template).render({**shared, **values})
    return HTMLResponse(html, status, {**headers, "Vary": "HX-Request, Cookie"})


def set_cookie(response: Response, request: Request, name: str, value: str, *, max_age_s: int | None) -> None:
    """A cookie scripts cannot read and other sites cannot send; Secure wherever people type https."""
    response.set_cookie(
        name,
        value,
        max_age=max_age_s,
        httponly=True,
        samesite="lax",
        secure=request.app.state.secure_cookies,
        path="/",
    )


def _query(current: Mapping[str, Any], **changes: Any) -> str:
    merged = {**current, **changes}
    return urlencode({key: value for key, value in merged.items() if value not in (None, "", [])}, doseq=True)


def _embedded(value: Any) -> str:
    # Inside <script type="application/json"> only "</" could end the element early.
    return msgspec.json.Encoder(decimal_format="number").encode(value).decode().replace("<", "\\u003c")


_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals["query"] = _query
_templates.globals["meals_asked"] = [(meal.value, MEAL_LABELS[meal]) for meal in MEALS_ASKED]
_templates.filters["embedded"] = _embedded
