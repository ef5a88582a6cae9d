"""`/events`: server-sent events that tell an open page to look again. They carry a word, never data."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from cloud import db
from cloud.crm import access, errors
from cloud.crm.staff import service as staff_service
from cloud.crm.web import COOKIE
from cloud.live import Hub, Listener

router = APIRouter(include_in_schema=False)

HEARTBEAT_S = 20.0
"""Shorter than any proxy's idle limit; each beat also asks whether the session still lives."""
SETTLE_S = 0.25
"""A gateway hands over a hundred readings at once: a page refreshes once for them, not a hundred times."""
MAX_LISTENERS = 500
"""Open pages per process; one more is told to come back later instead of slowing the others."""


@router.get("/events")
async def events(request: Request, since: str = "") -> StreamingResponse:
    """A stream of `reading`, `task` and `claim` for the stores in the reader's scope, until the session ends.

    `since` is the position of the news when the page was made: what came in between is told first.
    """
    hub: Hub = request.app.state.hub
    token = request.cookies.get(COOKIE, "")
    listener = await run_in_threadpool(_listener, request, token)
    if listener is None:
        raise errors.not_signed_in()
    if hub.listening >= MAX_LISTENERS:
        raise errors.busy()
    return StreamingResponse(
        _stream(request, hub, listener, token, since),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _listener(request: Request, token: str) -> Listener | None:
    with db.begin(request.app.state.engine) as connection:
        session = staff_service.session_of(connection, token, db.now(), passive=True)
        if session is None:
            return None
        stores = access.store_ids(connection, session.reader)
    return Listener(chain_id=session.reader.chain_id, store_ids=frozenset(stores))


async def _stream(request: Request, hub: Hub, listener: Listener, token: str, since: str) -> AsyncIterator[str]:
    hub.join(listener, since)
    try:
        yield "retry: 3000\n\n"
        while True:
            changed = await listener.changes(HEARTBEAT_S)
            if changed:
                await asyncio.sleep(SETTLE_S)
                changed |= await listener.changes(0)
                for what in sorted(changed):
                    yield f"event: {what}\ndata: 1\n\n"
            elif await run_in_threadpool(_listener, request, token) is None:
                yield "event: over\ndata: 1\n\n"
                return
            else:
                yield ": still here\n\n"
    finally:
        hub.leave(listener)
