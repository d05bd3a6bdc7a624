from __future__ import annotations

import aiohttp

from kvproxy.bench.watched.open_views import cookie_of


async def test_every_view_of_the_navigation_has_something_to_show(
    watched_session: aiohttp.ClientSession,
) -> None:
    cookie = cookie_of("operator")
    for path in ("overview", "documents", "misses", "requests", "fleet", "store", "playground"):
        async with watched_session.get(f"/ui/{path}", cookies=cookie) as answer:
            assert answer.status == 200 and len(await answer.text()) > 2_000, path
