"""Headers of every answer below ``/ui``, which lets pages of this origin alone read it."""

from __future__ import annotations

import pytest

from kvproxy.server.dashboard.dashboard_headers import HEADERS
from tests.server.dashboard.browsing import ACCEPT, browsing
from tests.server.doubles import make_proxy

KEYS = (("alice", "key-0123456789abcdef"),)
PATHS = (
    "/ui",
    "/ui/overview",
    "/ui/playground",
    "/ui/nothing",
    "/ui/logout",
    "/ui/login",
    "/ui/events?live=requests-rows",
    "/ui/events?live=",
    "/ui/misses/nothing",
    "/ui/publishers/statement.json",
)


@pytest.mark.parametrize("accept", [ACCEPT["Accept"], "text/event-stream", "application/json"])
@pytest.mark.parametrize("keys", [KEYS, ()], ids=["keys", "open"])
async def test_every_answer_is_guarded(keys: tuple[tuple[str, str], ...], accept: str) -> None:
    async with browsing(make_proxy(api_keys=keys)) as browser:
        for logged_in in (False, True) if keys else (True,):
            if keys and logged_in:
                await browser.log_in(KEYS[0][1])
            for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS"):
                for path in PATHS:
                    if method == "GET" and "live=requests" in path:
                        continue  # it does not end
                    headers = {"Accept": accept}
                    async with browser.http.request(
                        method, path, headers=headers, allow_redirects=False
                    ) as answer:
                        for name, value in HEADERS.items():
                            assert answer.headers.get(name) == value, (method, path, answer.status, name)


@pytest.mark.parametrize("origins", [("loopback",), ("*",), ("http://trusted.example",)], ids=str)
async def test_no_other_origin_reads_a_view(origins: tuple[str, ...]) -> None:
    """Not even one that may use the API: a view has the token of its forms in it."""
    proxy = make_proxy(cors_origins=origins)
    async with browsing(proxy) as browser:
        for origin in ("http://localhost:3000", "http://trusted.example", "https://evil.example"):
            ask = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            for path in ("/ui/overview", "/ui/logout", "/ui/static/x/kvproxy.js"):
                for method, headers in (("GET", {"Origin": origin}), ("OPTIONS", ask)):
                    async with browser.http.request(method, path, headers=headers) as answer:
                        assert not [name for name in answer.headers if name.startswith("Access-Control-")]
        allowed = origins[0].replace("loopback", "http://localhost:3000").replace("*", "https://evil.example")
        models = await browser.http.get("/v1/models", headers={"Origin": allowed})
        assert "Access-Control-Allow-Origin" in models.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "rebound.evil.example"},
        {"Host": "rebound.evil.example:8321", "Origin": "http://rebound.evil.example:8321"},
        {"Host": "rebound.evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
    ids=str,
)
async def test_a_page_in_the_same_browser_gets_nothing_of_a_proxy_without_keys(
    headers: dict[str, str],
) -> None:
    """Also one whose name was pointed at this machine after it was loaded (DNS rebinding)."""
    proxy = make_proxy(max_context=10**6)
    async with browsing(proxy) as browser:
        token = (await browser.get("/ui/playground")).token
        refused = await browser.post("/ui/playground/example", {"csrf": token}, headers=headers)
        assert refused.status == 403 and not proxy.publisher._infos
        if "Host" in headers:
            view = await browser.get("/ui/overview", headers=headers)
            assert view.status == 403 and "csrf-token" not in view.text
        assert (await browser.post("/ui/playground/example", {"csrf": token})).status == 200
        assert proxy.publisher._infos, "and its own page may"
