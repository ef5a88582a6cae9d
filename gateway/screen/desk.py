"""What may be posted from the dock screen: a visit opened or closed, an answer, a meter's clock to be set.

Every form is parsed here, once. What is an answer to what is asked is `gateway.answering`'s, that it is on disk
before the screen says so `gateway.app`'s.
"""

import logging
from uuid import UUID

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.answering import BadAnswer, answer
from gateway.buffer.limits import OutboxFull
from gateway.screen.site import Site
from gateway.visits import LONGEST_NAME, BadCode, BadName, normalise_code, normalise_name
from gateway.wire.messages import Asked

log = logging.getLogger(__name__)

NONE = ""
"""What the button "none of these" carries."""


class Desk:
    """POST."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def open_visit(self, request: Request) -> Response:
        """A card was scanned, or a code typed."""
        _, dock = self._site.say(request), self._site.dock
        form = await self._site.form(request)
        slot = self._site.slot(request, form)
        try:
            code = normalise_code(_text(form, "code"))
        except BadCode:
            message = _("This is not a member code. Scan the card again, or type the digits under its bars.")
            raise HTTPException(422, message) from None
        try:
            staff = normalise_name(_text(form, "staff"))
        except BadName:
            message = _("This is not a name of staff. Type at most {} characters.").format(LONGEST_NAME)
            raise HTTPException(422, message) from None
        visit = dock.visits.open(slot.name, code, dock.clock(), id=dock.new_id(), staff=staff)
        log.info("visit.opened visit=%s slot=%s", visit.id, slot.name)
        dock.board.changed()
        return self._site.done(request, slot, {"visit": str(visit.id)})

    async def close_visit(self, request: Request) -> Response:
        """The customer leaves."""
        dock = self._site.dock
        form = await self._site.form(request)
        slot = self._site.slot(request, form)
        visit = dock.visits.close(slot.name, dock.clock())
        if visit is not None:
            log.info("visit.closed visit=%s slot=%s", visit.id, slot.name)
        dock.board.changed()
        return self._site.done(request, slot, {"visit": str(visit.id) if visit else None})

    async def answer(self, request: Request) -> Response:
        """Somebody said when a glucose was taken or what is felt, or has read a first-aid card."""
        _, dock = self._site.say(request), self._site.dock
        form = await self._site.form(request)
        slot = self._site.slot(request, form)
        visit = dock.visits.at(slot.name, dock.clock())
        try:
            said = answer(
                dock.counter(slot.name),
                UUID(_text(form, "reading")),
                Asked(_text(form, "what")),
                _values(form),
                id=dock.new_id(),
                at=dock.clock(),
                staff=visit.staff if visit else "",
            )
        except BadAnswer as error:
            if error.args == ("reading",):
                raise HTTPException(409, _("This question is over. Look at the screen again.")) from None
            raise HTTPException(422, _("This is not an answer. Touch one of the buttons.")) from None
        except ValueError:  # no id, or a question that nobody asks
            raise HTTPException(422, _("This is not an answer. Touch one of the buttons.")) from None
        try:
            await dock.answer(said)
        except OutboxFull:
            message = _("This gateway's disk is full: nothing was kept. Write it down and call the engineer.")
            raise HTTPException(507, message) from None
        log.info("answer.kept what=%s slot=%s", said.what, slot.name)
        dock.board.changed()
        return self._site.done(request, slot, {"answer": str(said.id)})

    async def set_clock(self, request: Request) -> Response:
        """A meter's clock is to be set when it is read next."""
        _, dock = self._site.say(request), self._site.dock
        form = await self._site.form(request)
        slot = self._site.slot(request, form)
        if not dock.meters.ask_clock(_text(form, "meter")):
            raise HTTPException(409, _("This meter's clock cannot be set from here. Set it on the meter."))
        log.info("clock.asked slot=%s", slot.name)
        dock.board.changed()
        return self._site.done(request, slot, {"asked": True}, page="/meters")


def _values(form: FormData) -> list[str]:
    """What was touched. "None of these" is an answer too, a form in which nothing was touched is not."""
    values = [str(value) for value in form.getlist("value")]
    if not values:
        raise BadAnswer("value")
    return [value for value in values if value != NONE]


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""
