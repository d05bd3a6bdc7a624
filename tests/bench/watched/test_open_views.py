from __future__ import annotations

import aiohttp
import pytest

from kvproxy.bench.load import WrongAnswer
from kvproxy.bench.watched.open_views import FIVE, open_views


async def test_each_view_has_sent_all_its_fragments(watched_session: aiohttp.ClientSession) -> None:
    async with open_views(watched_session, FIVE) as held:
        assert [view.path for view in held] == [path for _, path in FIVE]
        assert held[0].fragments == ("overview-figures", "overview-charts")
        assert all(view.events >= len(view.fragments) and view.size > 100 for view in held)


async def test_a_view_that_the_key_may_not_see_is_an_error(watched_session: aiohttp.ClientSession) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        async with open_views(watched_session, [("reader", "/ui/store")]):
            pass
    assert raised.group_contains(WrongAnswer, match="/ui/store answered with 403")
