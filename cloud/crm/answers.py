"""Errors as answers: pages get a page, htmx a notice in the page that asked, the API `application/problem+json`.

The words are `cloud.crm.errors`'. Nothing that was sent in is repeated back, and a stack never leaves the log.
"""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy.exc import DataError, OperationalError, TimeoutError
from starlette.exceptions import HTTPException

from cloud.crm import web
from cloud.crm.access import NotAllowed
from cloud.crm.errors import STORED, UNCHANGED, Problem, ProblemDetails, not_found, unusable
from cloud.i18n import N_

log = logging.getLogger(__name__)

_BY_STATUS = {
    400: (
        N_("The server could not read this request."),
        UNCHANGED,
        N_("Go back, check what was entered and try once more."),
    ),
    405: (N_("This address does not do that."), UNCHANGED, N_("Go back to the worklist and use its buttons.")),
}


def install(app: FastAPI) -> None:
    """Makes `app` answer every error this way."""

    @app.exception_handler(Problem)
    def _problem(request: Request, error: Problem) -> Response:
        return answer(request, error)

    @app.exception_handler(NotAllowed)
    def _not_allowed(request: Request, _error: NotAllowed) -> Response:
        return answer(
            request,
            Problem(
                403,
                N_("Your role does not include this page."),
                UNCHANGED,
                N_("Ask your manager if you need it for your work."),
            ),
        )

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            return answer(request, not_found())
        what, safe, then = _BY_STATUS.get(error.status_code, _BY_STATUS[400])
        return answer(request, Problem(error.status_code, what, safe, then, dict(error.headers or {})))

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> Response:
        problem = unusable(
            N_("Something in the form or the address is missing or not in the right form."),
            N_("Go back, check what was entered and try once more."),
        )
        # Field paths only: the input itself may be a name or a phone number.
        problem.fields = sorted({".".join(str(part) for part in item["loc"]) for item in error.errors()})
        return answer(request, problem)

    @app.exception_handler(DataError)
    def _data(request: Request, _error: DataError) -> Response:
        return answer(
            request,
            unusable(
                N_("A character or a number in the request cannot be stored."),
                N_("Go back, check what was entered and try once more."),
            ),
        )

    @app.exception_handler(OperationalError)
    @app.exception_handler(TimeoutError)
    def _database(request: Request, error: Exception) -> Response:
        log.warning("web.database error=%s", type(error).__name__)
        return answer(
            request,
            Problem(
                503,
                N_("The database does not answer."),
                N_("Gateways keep every reading on their own disk until it does."),
                N_("Wait a minute and try again. If it lasts, call the technical duty."),
                {"Retry-After": "30"},
            ),
        )

    @app.exception_handler(Exception)
    def _bug(request: Request, error: Exception) -> Response:
        # Starlette raises it again afterwards, so the stack is in the log and nowhere else.
        return answer(
            request,
            Problem(
                500,
                N_("The program made a mistake."),
                STORED,
                N_("Try once more. If it happens again, tell the technical duty what you were doing and when."),
            ),
        )


def answer(request: Request, problem: Problem) -> Response:
    """`problem` in the shape and the language of whoever asked."""
    t = web.translator(request)
    if request.url.path.startswith("/api/"):
        details = ProblemDetails(
            status=problem.status,
            title=t(problem.what),
            safe=t(problem.safe),
            next=t(problem.then),
            fields=problem.fields,
        )
        return JSONResponse(
            details.model_dump(), problem.status, problem.headers, media_type="application/problem+json"
        )
    if problem.status == 401:
        return _to_sign_in(request)
    values = {"what": t(problem.what), "safe": t(problem.safe), "then": t(problem.then), "number": problem.status}
    if web.is_htmx(request):
        headers = {**problem.headers, "HX-Retarget": "#notice", "HX-Reswap": "innerHTML", "HX-Reselect": ".notice"}
        return web.fragment(request, "error_notice.html", problem.status, headers, **values)
    before = web.page_before(request)
    return web.fragment(request, "error.html", problem.status, problem.headers, before=before, **values)


def _to_sign_in(request: Request) -> Response:
    if web.is_htmx(request):
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    return RedirectResponse("/login", status_code=303)
