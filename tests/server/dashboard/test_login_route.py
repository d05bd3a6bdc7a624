"""The login: which key, how often, and where to next."""

from __future__ import annotations

import pytest

from kvproxy.server.dashboard.dashboard_session import COOKIE
from kvproxy.server.dashboard.login_attempts import MOST_FAILED, WINDOW_S
from kvproxy.server.dashboard.login_route import local_path
from tests.server.dashboard.browsing import browsing
from tests.server.doubles import make_proxy

KEY = "key-0123456789abcdef"
KEYS = (("alice", KEY),)


@pytest.mark.parametrize(
    "path",
    ["/ui", "/ui/overview", "/ui/documents/a%20b/c@3", "/ui/requests?outcome=miss&sort=at", "/ui/misses"],
)
def test_a_view_of_this_dashboard_is_where_to_go_next(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            "/",
            "/docs",
            "//evil.example",
            "/ui//evil.example",
            "https://evil.example/ui/overview",
            "/uix",
        ),
        *("/ui/\\evil.example", "/ui/logout", "/ui/login?next=/ui", "/ui/events", "/ui/a\r\nX: y", "/ui/é"),
        *("javascript:alert(1)", "/ui/static/x/y", "\t/ui/overview", "/ui/overview#<b>"),
    ],
)
def test_anything_else_is_the_first_view(path: str) -> None:
    assert local_path(path) == "/ui"


async def test_a_wrong_key_is_told_without_a_word_of_it() -> None:
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        wrong = await browser.log_in("key-of-somebody-else")
        assert wrong.status == 401 and "no key of this proxy" in wrong.words
        assert "somebody" not in wrong.text and "alice" not in wrong.text
        assert (await browser.log_in("")).status == 401 and (await browser.log_in("k" * 4000)).status == 401


async def test_too_many_failures_are_refused_for_a_while() -> None:
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        for _ in range(MOST_FAILED):
            assert (await browser.log_in("key-of-somebody-else")).status == 401
        refused = await browser.log_in(KEY)
        wait = int(refused.answer.headers["Retry-After"])
        assert refused.status == 429 and 0 < wait <= WINDOW_S
        assert refused.answer.content_type == "text/html"
        assert f"Too many failed logins. Try again in {wait} s." in refused.words
        told = {"X-Forwarded-For": "192.0.2.9", "Forwarded": "for=192.0.2.9", "X-Real-IP": "192.0.2.9"}
        form = await browser.get("/ui/login")
        fields = {"key": KEY, "next": "/ui", "csrf": form.token}
        assert (await browser.post("/ui/login", fields, headers=told)).status == 429, "nobody's word is taken"
        script = {"Accept": "text/event-stream"}
        async with browser.http.post("/ui/login", data=fields, headers=script) as answer:
            assert (await answer.json())["error"]["code"] == "too_many_logins"


async def test_a_key_of_ones_own_gives_no_further_tries() -> None:
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        for _ in range(MOST_FAILED - 1):
            assert (await browser.log_in("key-of-somebody-else")).status == 401
        assert (await browser.log_in(KEY)).status == 200
        assert (await browser.log_in("key-of-somebody-else")).status == 401
        assert (await browser.log_in("key-of-somebody-else")).status == 429


async def test_a_login_begins_a_new_session_and_a_logout_ends_it() -> None:
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        before = await browser.get("/ui/login")
        assert COOKIE in before.answer.cookies
        page = await browser.log_in(KEY)
        assert page.token != before.token
        assert "You are logged in as alice" in (await browser.get("/ui/login")).words
        out = await browser.post("/ui/logout", {"csrf": page.token})
        assert out.path == "/ui/login" and "Logged out." in out.words and "alice" not in out.words
        assert "Logged out." not in (await browser.get("/ui/login")).words
        assert (await browser.get("/ui/overview")).path.startswith("/ui/login")


async def test_a_notice_is_of_its_session_alone() -> None:
    keys = (*KEYS, ("bob", "key-bbbbbbbbbbbbbbbb"))
    async with browsing(make_proxy(api_keys=keys, max_context=10**6)) as browser:
        page = await browser.log_in(KEY)
        fields = {"csrf": page.token}
        async with browser.http.post("/ui/playground/example", data=fields, allow_redirects=False) as done:
            assert done.status == 303 and "kvproxy_notice" in done.cookies
        first = await browser.post("/ui/login", {"key": keys[1][1], **fields})
        assert first.status == 200 and "bob" in first.words
        assert "Published" not in first.words, "it was said to alice"
        async with browser.http.post("/ui/playground/example", data=fields, allow_redirects=False) as done:
            assert done.status == 403, "the token is that of her session, too"


async def test_a_login_is_not_sent_by_another_site() -> None:
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        no_token = await browser.post("/ui/login", {"key": KEY, "next": "/ui"})
        assert no_token.status == 403
        form = await browser.get("/ui/login")
        fields = {"key": KEY, "next": "/ui", "csrf": form.token}
        assert (
            await browser.post("/ui/login", fields, headers={"Sec-Fetch-Site": "cross-site"})
        ).status == 403


async def test_before_a_key_is_shown_little_is_read() -> None:
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        form = await browser.get("/ui/login")
        large = await browser.post("/ui/login", {"key": "k" * 20_000, "csrf": form.token})
        assert large.status == 413
