"""What may be posted from the dock screen: a visit opened or closed, an answer, a meter's clock to be set.

Every form is checked here, once; what an answer means is `gateway.counter`'s, where it is kept the outbox's.
"""

import logging

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.clinical import words
from gateway.config import Slot
from gateway.counter import Judged
from gateway.screen.site import Site
from gateway.visits import LONGEST_NAME, BadCode, BadName, normalise_code, normalise_name
from gateway.wire.messages import Answer, Asked
from gateway.wire.vocabulary import Kind, Meal

log = logging.getLogger(__name__)

NONE = ""
"""What the button "none of these" carries: an answer too, unlike a form without any."""


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
        dock = self._site.dock
        form = await self._site.form(request)
        slot = self._site.slot(request, form)
        judged = self._about(request, slot, _text(form, "reading"))
        what, values = self._said(request, form, judged)
        visit = dock.visits.at(slot.name, dock.clock())
        answer = Answer(
            id=dock.new_id(),
            reading=judged.reading.id,
            what=what,
            values=values,
            at=dock.clock(),
            slot=slot.name,
            staff=visit.staff if visit else "",
            visit=visit.id if visit else None,
        )
        await dock.answer(answer)
        log.info("answer.kept what=%s slot=%s", what, slot.name)
        dock.board.changed()
        return self._site.done(request, slot, {"answer": str(answer.id)})

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

    def _about(self, request: Request, slot: Slot, id: str) -> Judged:
        """The reading that is spoken of: only what is being dealt with at this slot, never another customer's."""
        counter = self._site.dock.counter(slot.name)
        for judged in counter.readings:
            if str(judged.reading.id) == id:
                return judged
        _ = self._site.say(request)
        raise HTTPException(409, _("This question is over. Look at the screen again."))

    def _said(self, request: Request, form: FormData, judged: Judged) -> tuple[Asked, tuple[str, ...]]:
        values = tuple(sorted({str(value) for value in form.getlist("value")}))
        kind = judged.reading.kind
        match _text(form, "what"):
            case Asked.MEAL if kind is Kind.GLUCOSE and len(values) == 1 and set(values) <= set(Meal):
                return Asked.MEAL, values
            case Asked.SYMPTOMS if values and set(values) - {NONE} <= words().symptoms.keys():
                return Asked.SYMPTOMS, tuple(value for value in values if value != NONE)
            case Asked.FIRST_AID if len(values) == 1 and values[0] in _rules(judged):
                return Asked.FIRST_AID, values
        _ = self._site.say(request)
        raise HTTPException(422, _("This is not an answer to the question. Touch one of the buttons."))


def _rules(judged: Judged) -> frozenset[str]:
    return frozenset(finding.rule.id for finding in judged.findings)


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""
