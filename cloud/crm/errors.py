"""What a person reads when something did not work: what happened, what is safe, what to do next.

It holds the words and their status; `cloud.crm.answers` puts them into a page, a notice or an API problem.
"""

from pydantic import BaseModel

from cloud.i18n import N_
from cloud.ledger.changes import Refused
from cloud.ledger.words import ADVICE


class ProblemDetails(BaseModel):
    """An error of the API (RFC 9457), with the three sentences a page would show."""

    type: str = "about:blank"
    status: int
    title: str
    safe: str
    next: str
    fields: list[str] = []


class Problem(Exception):
    """Answered as `status` with three sentences, each a msgid. `headers` go out with it."""

    def __init__(
        self, status: int, what: str, safe: str, then: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(what)
        self.status = status
        self.what, self.safe, self.then = what, safe, then
        self.fields: list[str] = []
        self.headers = headers or {}


UNCHANGED = N_("Nothing was changed.")
STORED = N_("Readings and tasks that were saved are safe.")


def not_found() -> Problem:
    """For everything that is not there, or not in the reader's scope: the two are told alike."""
    return Problem(
        404,
        N_("There is nothing at this address for you."),
        STORED,
        N_("It may have been moved, or belong to another store. Go back to the worklist and open it from there."),
    )


def conflict(what: str) -> Problem:
    """Somebody else was faster, or the thing is not in the state this asks for; `what` is a msgid."""
    return Problem(409, what, UNCHANGED, N_("Look at the list again: it shows how things are now."))


def refused(error: Refused) -> Problem:
    """The ledger did not change a reading."""
    return conflict(ADVICE[error.reason])


def unusable(what: str, then: str) -> Problem:
    """The form or the message cannot be used as it is; both are msgids."""
    return Problem(422, what, UNCHANGED, then)


def not_signed_in() -> Problem:
    """No session, or one that has ended."""
    return Problem(
        401,
        N_("You are not signed in, or your session has ended."),
        STORED,
        N_("Sign in again. Nothing you had saved is lost."),
    )


def forged() -> Problem:
    """An unsafe request without the session's token, or from another site."""
    return Problem(
        403,
        N_("This request did not come from a page of your session."),
        UNCHANGED,
        N_("Reload the page and try once more. If it happens again, sign out and sign in."),
    )


def too_much() -> Problem:
    """A body longer than any form of ours, or one that does not say how long it is."""
    return Problem(413, N_("That was too much at once."), UNCHANGED, N_("Do it in smaller parts."))


def busy() -> Problem:
    """More open pages than this process serves."""
    return Problem(
        503,
        N_("Too many pages are open just now."),
        STORED,
        N_("Close some and reload. Lists still work, they only do not refresh by themselves."),
        {"Retry-After": "30"},
    )
