from __future__ import annotations

import asyncio
from contextlib import closing

from kvproxy.database.announcements import Change, ChangeTopic
from kvproxy.database.database import Database
from kvproxy.database.topic_changes import TopicChanges


async def test_it_wakes_for_others_changes_of_its_topic(a_database: Database) -> None:
    feed = a_database.changes
    with closing(TopicChanges(feed, ChangeTopic.ACCOUNTS, 3600)) as changes:
        waiting = asyncio.create_task(changes.next())
        for other in (Change(ChangeTopic.PRICES), Change(ChangeTopic.ACCOUNTS, own=True)):
            feed.tell(other)
        await asyncio.wait([waiting], timeout=0.05)
        assert not waiting.done()
        await asyncio.to_thread(feed.tell, Change(ChangeTopic.ACCOUNTS))
        assert await waiting
        waiting = asyncio.create_task(changes.next())
        await asyncio.sleep(0)
        changes.close()
        assert not await waiting


async def test_a_look_is_due_in_any_case(a_database: Database) -> None:
    with closing(TopicChanges(a_database.changes, ChangeTopic.ACCOUNTS, 0.01)) as changes:
        assert await changes.next() and await changes.next()
