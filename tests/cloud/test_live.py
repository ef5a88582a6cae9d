"""News travels from a committed transaction to the pages of the stores it concerns, and to nobody else."""

import asyncio

import psycopg
import pytest
from sqlalchemy import Engine

from cloud import live
from cloud.live import Hub, Listener


async def started(hub: Hub, *listeners: Listener) -> None:
    """Waits until `hub` hears, and forgets the first call to look again."""
    for listener in listeners:
        hub.join(listener)
    async with asyncio.timeout(20):
        await hub.connected.wait()
    for listener in listeners:
        await listener.changes(20)


def test_only_pages_of_the_store_hear_and_only_after_the_commit(database: str, engine: Engine):
    async def play() -> None:
        north = Listener(chain_id="kang", store_ids=frozenset({"n01"}))
        south = Listener(chain_id="kang", store_ids=frozenset({"s01"}))
        other = Listener(chain_id="yi", store_ids=frozenset({"n01"}))
        async with Hub(database) as hub:
            await started(hub, north, south, other)
            with engine.begin() as connection:
                live.announce(connection, chain_id="kang", store_ids=["n01"], what="task")
                assert await north.changes(0.1) == frozenset()
            assert await north.changes(20) == {"task"}
            assert await south.changes(0) == frozenset()
            assert await other.changes(0) == frozenset()

    asyncio.run(play())


def test_a_page_hears_what_happened_between_its_making_and_its_listening(database: str, engine: Engine):
    async def play() -> None:
        first = Listener(chain_id="kang", store_ids=frozenset({"n01"}))
        async with Hub(database) as hub:
            await started(hub, first)
            made_at = hub.position
            with engine.begin() as connection:
                live.announce(connection, chain_id="kang", store_ids=["n01"], what="task")
                live.announce(connection, chain_id="kang", store_ids=["s01"], what="reading")
            assert await first.changes(20) == {"task"}
            north, up_to_date, elsewhere = (
                Listener(chain_id="kang", store_ids=frozenset({"n01"})) for _ in range(3)
            )
            hub.join(north, made_at)
            hub.join(up_to_date, hub.position)
            hub.join(elsewhere, "another-process.7")
            assert await north.changes(0) == {"task"}
            assert await up_to_date.changes(0) == frozenset()
            assert await elsewhere.changes(0) == live.KINDS

    asyncio.run(play())


def test_a_page_older_than_the_news_that_are_kept_looks_again(database: str, engine: Engine):
    async def play() -> None:
        page = Listener(chain_id="kang", store_ids=frozenset({"n01"}))
        async with Hub(database) as hub:
            await started(hub, page)
            made_at = hub.position
            with engine.begin() as connection:
                for number in range(live.NEWS_KEPT + 1):
                    live.announce(connection, chain_id="kang", store_ids=[f"s{number}"], what="task")
                live.announce(connection, chain_id="kang", store_ids=["n01"], what="claim")
            assert await page.changes(20) == {"claim"}
            late = Listener(chain_id="kang", store_ids=frozenset({"n01"}))
            hub.join(late, made_at)
            assert await late.changes(0) == live.KINDS

    asyncio.run(play())


def test_a_slow_page_costs_three_words_at_most(database: str, engine: Engine):
    async def play() -> None:
        page = Listener(chain_id="kang", store_ids=frozenset({"n01", "last"}))
        async with Hub(database) as hub:
            await started(hub, page)
            with engine.begin() as connection:
                for _ in range(500):
                    live.announce(connection, chain_id="kang", store_ids=["n01"], what="reading")
                live.announce(connection, chain_id="kang", store_ids=["last"], what="claim")
            heard: set[str] = set()
            while "claim" not in heard:
                heard |= await page.changes(20)
            assert heard == {"reading", "claim"}

    asyncio.run(play())


def test_more_stores_than_a_notification_holds_is_the_whole_chain(database: str, engine: Engine):
    async def play() -> None:
        page = Listener(chain_id="kang", store_ids=frozenset({"n01"}))
        async with Hub(database) as hub:
            await started(hub, page)
            with engine.begin() as connection:
                stores = [f"store-{number}" for number in range(2000)]
                live.announce(connection, chain_id="kang", store_ids=stores, what="task")
            assert await page.changes(20) == {"task"}

    asyncio.run(play())


def test_after_a_lost_connection_every_page_looks_again(database: str):
    async def play() -> None:
        page = Listener(chain_id="kang", store_ids=frozenset({"n01"}))
        async with Hub(database) as hub:
            await started(hub, page)
            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'kangdock live'"
                )
            assert await page.changes(20) == live.KINDS

    asyncio.run(play())


def test_a_word_nobody_listens_for_is_refused(engine: Engine):
    with engine.begin() as connection, pytest.raises(ValueError, match="nobody listens"):
        live.announce(connection, chain_id="kang", store_ids=["n01"], what="tasks")
