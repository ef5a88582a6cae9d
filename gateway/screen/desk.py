"""What may be posted from the dock screen: a visit opened or closed, an answer, a meter's clock to be set.

Every form is parsed here, once. What is an answer to what is asked is `gateway.answering`'s, that it is on disk
before the screen says so `gateway.app`'s.
"""

import asyncio
import logging
from uuid import UUID

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.answering import BadAnswer, answer
from gateway.buffer.limits import OutboxFull
from gateway.config import Slot
from gateway.lookup import Away, tail_only
from gateway.screen.site import Site
from gateway.screen.who import CHOSEN_WITHIN, SHOWN_FOR
from gateway.visits import LONGEST_NAME, BadCode, BadName, normalise_code, normalise_name
from gateway.wire.codec import TAIL
from gateway.wire.messages import CANDIDATE, Asked, Found

log = logging.getLogger(__name__)

NONE = ""
"""What the button "none of these" carries."""


class Desk:
    """POST."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def open_visit(self, request: Request) -> Response:
        """A card was scanned, or a code or the end of a phone number typed."""
        _ = self._site.say(request)
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
        if TAIL.fullmatch(code):
            return await self._by_tail(request, slot, code, staff)
        if code.startswith(CANDIDATE):
            return await self._chosen(request, slot, code, staff)
        return await self._opened(request, slot, code, staff)

    async def none_of_them(self, request: Request) -> Response:
        """The customer is none of those who may be meant."""
        form = await self._site.form(request)
        slot = self._site.slot(request, form)
        self._site.who.dropped(slot.name)
        self._site.dock.board.changed()
        return self._site.done(request, slot, {})

    async def close_visit(self, request: Request) -> Response:
        """The customer leaves."""
        dock = self._site.dock
        form = await self._site.form(request)
        slot = self._site.slot(request, form)
        visit = dock.visits.close(slot.name, dock.clock())
        await dock.stands(slot.name)
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
            what = Asked(_text(form, "what"))
            if what is Asked.WHOSE and visit is not None and _text(form, "visit") != str(visit.id):
                raise BadAnswer("visit")  # asked about somebody else, who stood there a moment ago
            said = answer(
                dock.counter(slot.name),
                UUID(_text(form, "reading")),
                what,
                _values(form),
                id=dock.new_id(),
                at=dock.clock(),
                staff=visit.staff if visit else "",
            )
        except BadAnswer as error:
            if error.args in (("reading",), ("visit",)):
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

    async def _by_tail(self, request: Request, slot: Slot, tail: str, staff: str) -> Response:
        """Nobody's card, but the end of a phone number: the cloud says who may be meant, and staff confirm one."""
        _, dock = self._site.say(request), self._site.dock
        try:
            found, candidates = await dock.find(tail, slot=slot.name, staff=staff)
        except Away:
            # Kept as evidence: it links nobody, and the store claims the readings later.
            return await self._opened(request, slot, tail_only(tail), staff)
        match found:
            case Found.SOME if candidates:
                self._site.who.found(slot.name, tail, candidates, dock.clock())
                dock.board.changed()
                loop = asyncio.get_running_loop()
                loop.call_later(SHOWN_FOR.total_seconds(), dock.board.changed)
                loop.call_later(CHOSEN_WITHIN.total_seconds(), lambda: self._site.who.expire(dock.clock()))
                return self._site.done(request, slot, {"candidates": len(candidates)})
            case Found.TOO_MANY:
                raise HTTPException(409, _("Too many members have this phone tail. Type the member code."))
            case Found.TOO_OFTEN:
                raise HTTPException(
                    429, _("Too many phone tails were asked for. Wait a minute, or scan the card.")
                )
            case _:
                raise HTTPException(404, _("No member has this phone tail. Type the member code."))

    async def _chosen(self, request: Request, slot: Slot, code: str, staff: str) -> Response:
        """One of those who may be meant. The code was made for whoever stood there then: later it is nobody's."""
        _, dock = self._site.say(request), self._site.dock
        visit = dock.visits.at(slot.name, dock.clock())
        if visit is not None and visit.code == code:  # touched twice
            return self._site.done(request, slot, {"visit": str(visit.id)})
        if not self._site.who.may_choose(slot.name, code, dock.clock()):
            raise HTTPException(409, _("This choice is over. Type the end of the phone number once more."))
        return await self._opened(request, slot, code, staff)

    async def _opened(self, request: Request, slot: Slot, code: str, staff: str) -> Response:
        dock = self._site.dock
        visit = dock.visits.open(slot.name, code, dock.clock(), id=dock.new_id(), staff=staff)
        await dock.stands(slot.name)
        self._site.who.opened(visit)
        log.info("visit.opened visit=%s slot=%s", visit.id, slot.name)
        dock.board.changed()
        return self._site.done(request, slot, {"visit": str(visit.id)})


def _values(form: FormData) -> list[str]:
    """What was touched. "None of these" is an answer too, a form in which nothing was touched is not."""
    values = [str(value) for value in form.getlist("value")]
    if not values:
        raise BadAnswer("value")
    return [value for value in values if value != NONE]


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""
