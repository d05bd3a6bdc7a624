from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from kvproxy.database.announcements import Change, ChangeTopic
from kvproxy.database.database import Database
from kvproxy.publishing import pending_names
from kvproxy.publishing.pending_names import ChangedNames, PendingNames


def changed(*names: str, all: bool = False) -> ChangedNames:
    return ChangedNames(frozenset(names), all)


async def test_names_are_taken_together_and_once(a_database: Database) -> None:
    feed = a_database.changes
    with closing(PendingNames(feed)) as pending:
        for name in ("a", "b", "a"):
            await asyncio.to_thread(feed.tell, Change(ChangeTopic.DOCUMENTS, name))
        feed.tell(Change(ChangeTopic.DOCUMENTS, "own", own=True))
        feed.tell(Change(ChangeTopic.ACCOUNTS))
        await asyncio.sleep(0)
        assert await pending.take() == changed("a", "b", "own")
        waiting = asyncio.create_task(pending.take())
        await asyncio.wait([waiting], timeout=0.02)
        assert not waiting.done()
        pending.add("a")
        assert await waiting == changed("a")
    feed.tell(Change(ChangeTopic.DOCUMENTS, "later"))


async def test_an_empty_name_and_too_many_stand_for_all(
    a_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending_names, "MOST", 3)
    with closing(PendingNames(a_database.changes)) as pending:
        for name in ("a", "", "b"):
            pending.add(name)
        assert await pending.take() == changed(all=True)
        for name in ("a", "b", "c", "d", "e"):
            pending.add(name)
        assert await pending.take() == changed(all=True)
        pending.add("a")
        assert await pending.take() == changed("a")


def test_a_loop_that_has_ended_is_told_of_nothing(a_database: Database) -> None:
    async def subscribe() -> PendingNames:
        return PendingNames(a_database.changes)

    pending = asyncio.run(subscribe())
    for _ in range(2):
        a_database.changes.tell(Change(ChangeTopic.DOCUMENTS, "handbook"))
    pending.close()
