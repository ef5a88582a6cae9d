"""What a meter said, played again out of the journal, is what it was: by every driver, in every transcript."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from gateway.conversation import Arrived, ConversationError, Done, Silence, Subscribe, Wait
from gateway.docking import HEADER, header
from gateway.drivers import DRIVERS
from gateway.rejournal import replay_journal
from gateway.transcript import Played, play
from gateway.transcript_text import parse
from gateway.wire.messages import Reading, TimeQuality
from tests.gateway.drivers.test_transcripts import BY_NAME, TRANSCRIPTS

CONVERSATION = UUID(int=1)
BETWEEN_ARRIVALS = timedelta(milliseconds=1)


def journalled(played: Played, began: datetime) -> Iterator[tuple[datetime, str, bytes]]:
    """The rows such a conversation leaves. What is told on a channel nobody listens to never reaches a radio."""
    now, heard = began, {""}
    for action, answer in played.exchanges:
        match action, answer:
            case Subscribe(channel), Done():
                heard.add(channel)
            case Wait(timeout_s), Silence():
                now += timedelta(seconds=timeout_s)
            case Wait(), Arrived(channel, _) if channel not in heard:
                pass
            case _, Arrived(channel, data):
                now += BETWEEN_ARRIVALS
                yield now, channel, data


class Journal:
    """An outbox of which the journal is left."""

    def __init__(self, rows: Sequence[tuple[datetime, str, bytes]]) -> None:
        self.rows = rows
        self.readings: dict[UUID, Reading] = {}

    async def journal_of(self, conversation: UUID) -> Sequence[tuple[datetime, str, bytes]]:
        return self.rows

    async def put(self, readings: Sequence[Reading]) -> int:
        new = {each.id: each for each in readings if each.id not in self.readings}
        self.readings |= new
        return len(new)

    async def mark(self, driver: str, device_key: str) -> str | None:
        return None

    async def set_mark(self, driver: str, device_key: str, value: str) -> None:
        pass


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_conversation_out_of_the_journal_gives_the_readings_it_had(path: Path) -> None:
    transcript = parse(path.read_text("utf-8"))
    context = transcript.context
    played = play(transcript, BY_NAME[transcript.driver])
    head = header(transcript.driver, context, None, clock_trusted=True)
    journal = Journal([(context.now, HEADER, head), *journalled(played, context.now)])
    with suppress(ConversationError):
        asyncio.run(replay_journal(journal, CONVERSATION, drivers={each.name: each for each in DRIVERS}))
    named = {(record.kind, record.key) for record in played.records if record.key}
    nameless = Counter(record.kind for record in played.records if not record.key)
    again = journal.readings.values()
    assert {(each.kind, each.record_key) for each in again if (each.kind, each.record_key) in named} == named
    assert Counter(each.kind for each in again if (each.kind, each.record_key) not in named) == nameless


def test_the_journal_tells_that_a_result_had_waited_before_anybody_listened() -> None:
    path = next(each for each in TRANSCRIPTS if parse(each.read_text("utf-8")).context.sighting.waited)
    transcript = parse(path.read_text("utf-8"))
    assert msgspec.json.decode(header(transcript.driver, transcript.context, None, clock_trusted=True))["waited"]
    played = play(transcript, BY_NAME[transcript.driver])
    head = header(transcript.driver, transcript.context, None, clock_trusted=True)
    journal = Journal([(transcript.context.now, HEADER, head), *journalled(played, transcript.context.now)])
    asyncio.run(replay_journal(journal, CONVERSATION, drivers=BY_NAME))
    (reading,) = journal.readings.values()
    assert reading.time.quality is not TimeQuality.GATEWAY  # it is not of when it came
