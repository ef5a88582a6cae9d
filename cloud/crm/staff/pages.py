"""Signing in and out, and the language."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from cloud import db
from cloud.crm import errors, web
from cloud.crm.staff import service
from cloud.crm.staff.service import Refusal
from cloud.crm.web import COOKIE, LANGUAGE_COOKIE, Db, Desk, Words
from cloud.i18n import LANGUAGES, N_

router = APIRouter(include_in_schema=False)

LANGUAGE_KEPT_S = 365 * 24 * 3600
PASSWORD_MAX = 200
"""argon2 takes any length; a megabyte of password would be somebody keeping it busy."""

REFUSED = {
    Refusal.WRONG: N_("The name or the password is not right. Check capitals and try again."),
    Refusal.LOCKED: N_("Too many wrong passwords. Wait 15 minutes and try again; the account opens by itself."),
}


@router.get("/login")
def sign_in_page(request: Request) -> HTMLResponse:
    """The sign-in form."""
    return web.fragment(request, "login.html", 200, {}, refused=None, login="")


@router.post("/login")
def sign_in(
    request: Request,
    connection: Db,
    login: Annotated[Words, Form()] = "",
    password: Annotated[str, Form(max_length=PASSWORD_MAX)] = "",
) -> Response:
    """Starts a session, always with a new token. A refusal is committed too: it counts."""
    result = service.sign_in(connection, login, password, old_token=request.cookies.get(COOKIE), now=db.now())
    if isinstance(result, Refusal):
        status = 429 if result is Refusal.LOCKED else 401
        refused = web.translator(request)(REFUSED[result])
        return web.fragment(request, "login.html", status, {}, refused=refused, login=login)
    response = RedirectResponse("/", status_code=303)
    web.set_cookie(response, request, COOKIE, result, max_age_s=int(service.ABSOLUTE.total_seconds()))
    return response


@router.post("/logout")
def sign_out(desk: Desk) -> Response:
    """Ends the session, here and on the server."""
    service.sign_out(desk.connection, desk.request.cookies[COOKIE])
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(COOKIE, path="/")
    return response


@router.post("/language")
def choose_language(
    request: Request, desk: Desk, language: Annotated[Words, Form()] = "", back: Annotated[Words, Form()] = ""
) -> Response:
    """Switches the language for this person, on every desk."""
    service.choose_language(desk.connection, desk.reader, _known(language))
    response = desk.back(back, "/")
    web.set_cookie(response, request, LANGUAGE_COOKIE, language, max_age_s=LANGUAGE_KEPT_S)
    return response


@router.post("/login/language")
def choose_language_before(request: Request, language: Annotated[Words, Form()] = "") -> Response:
    """Switches the language of the sign-in page, in this browser."""
    response = RedirectResponse("/login", status_code=303)
    web.set_cookie(response, request, LANGUAGE_COOKIE, _known(language), max_age_s=LANGUAGE_KEPT_S)
    return response


def _known(language: str) -> str:
    if language not in LANGUAGES:
        raise errors.unusable(N_("There is no such language here."), N_("Choose Chinese or English."))
    return language
