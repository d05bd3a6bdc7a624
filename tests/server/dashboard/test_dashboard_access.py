"""Access to the dashboard: by a session instead of headers, a token on every action, from this origin alone."""

from __future__ import annotations

import gzip
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from kvproxy.core import Permission
from kvproxy.server.dashboard.dashboard_headers import POLICY
from kvproxy.server.dashboard.dashboard_route import DASHBOARD
from kvproxy.server.dashboard.dashboard_session import COOKIE, LIFETIME_S, DashboardSession, SessionSeal
from tests.server.dashboard.browsing import ACCEPT, Browser, browsing
from tests.server.doubles import make_proxy
from tests.server.markets import BOSS, bearer, market_proxy

KEY = "key-0123456789abcdef"
KEYS = (("alice", KEY),)
FORBIDDEN = "The form is not of this session"


def use_cookie(browser: Browser, value: str) -> dict[str, str]:
    browser.http.session.cookie_jar.clear()
    return {"Cookie": f"{COOKIE}={value}"}


async def test_without_a_session_a_view_leads_to_the_login_and_back() -> None:
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        page = await browser.get("/ui/requests?outcome=miss")
        assert page.path == "/ui/login?next=/ui/requests?outcome%3Dmiss" and page.status == 200
        answer = await browser.post(
            "/ui/login", {"key": KEY, "next": "/ui/requests?outcome=miss", "csrf": page.token}
        )
        assert (answer.status, answer.path) == (200, "/ui/requests?outcome=miss") and "alice" in answer.words


@pytest.mark.parametrize(
    "headers",
    [{"Accept": "application/json"}, {"Accept": "text/event-stream"}, ACCEPT | {"HX-Request": "true"}],
)
async def test_scripts_and_streams_are_told_and_not_redirected(headers: dict[str, str]) -> None:
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        answer = await browser.http.get("/ui/overview", headers=headers, allow_redirects=False)
        assert answer.status == 401


async def test_a_key_in_a_header_is_no_session_and_a_session_no_key() -> None:
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        bearer = {"Authorization": f"Bearer {KEY}"}
        assert (await browser.get("/ui/overview", headers=bearer)).path.startswith("/ui/login")
        await browser.log_in(KEY)
        assert (await browser.get("/v1/models")).status == 401


async def test_a_cookie_of_another_secret_a_changed_and_an_expired_one_are_none() -> None:
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        seal = browser.http.app[DASHBOARD].seal
        good = seal.seal(DashboardSession.begin(KEY, time.time()))
        old = seal.seal(DashboardSession.begin(KEY, time.time() - LIFETIME_S - 1))
        foreign = SessionSeal(None).seal(DashboardSession.begin(KEY, time.time()))
        unknown = seal.seal(DashboardSession.begin("key-of-nobody-at-all", time.time()))
        assert (await browser.get("/ui/overview", headers=use_cookie(browser, good))).path == "/ui/overview"
        for cookie in (old, foreign, good[:-4] + "AAAA", "", unknown):
            page = await browser.get("/ui/overview", headers=use_cookie(browser, cookie))
            assert page.path.startswith("/ui/login")


async def test_a_revoked_key_ends_its_session_with_the_next_request(tmp_path: Path) -> None:
    async with market_proxy(tmp_path) as market, browsing(market.proxy) as browser:
        boss = bearer(BOSS[1])
        made = await (await browser.http.post("/kv/v1/keys", json={"tenant": "alice"}, headers=boss)).json()
        assert "alice" in (await browser.log_in(made["key"])).words
        assert (await browser.get("/ui/overview")).status == 200
        gone = await browser.http.delete(f"/kv/v1/keys/{made['id']}", headers=boss)
        assert gone.status == 200
        assert (await browser.get("/ui/overview")).path.startswith("/ui/login")


async def test_the_cookie_is_for_this_site_and_not_for_scripts() -> None:
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        for headers, secure in (({}, False), ({"X-Forwarded-Proto": "https"}, True)):
            fields = {"key": KEY, "next": "/ui", "csrf": (await browser.get("/ui/login")).token}
            answer = await browser.http.post("/ui/login", data=fields, headers=headers, allow_redirects=False)
            assert answer.status == 303
            flags = {flag.strip() for flag in answer.headers.getall("Set-Cookie")[0].split(";")[1:]}
            assert {"HttpOnly", "SameSite=Strict", "Path=/", f"Max-Age={LIFETIME_S}"} <= flags
            assert ("Secure" in flags) is secure


@pytest.mark.parametrize("keys", [KEYS, ()], ids=["with keys", "without"])
async def test_an_action_needs_the_token_of_its_session(keys: tuple[tuple[str, str], ...]) -> None:
    async with browsing(make_proxy(api_keys=keys)) as browser:
        if keys:
            await browser.log_in(KEY)
        await browser.get("/ui/overview")
        seal = browser.http.app[DASHBOARD].seal
        stranger = seal.token(DashboardSession.begin(KEY, time.time()))
        for fields in ({}, {"csrf": ""}, {"csrf": stranger}, {"csrf": "é" * 64}):
            refused = await browser.post("/ui/logout", fields)
            assert refused.status == 403 and FORBIDDEN in refused.words and "reload" in refused.words
        cookie = browser.http.session.cookie_jar.filter_cookies(browser.http.make_url("/"))[COOKIE].value
        session = seal.open(cookie, time.time())
        assert session is not None
        header = {"X-CSRF-Token": seal.token(session)}
        assert (await browser.post("/ui/logout", {}, headers=header)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
    ids=str,
)
async def test_another_sites_form_is_refused_with_the_right_token_too(headers: dict[str, str]) -> None:
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        await browser.log_in(KEY)
        token = (await browser.get("/ui/overview")).token
        refused = await browser.post("/ui/logout", {"csrf": token}, headers=headers)
        assert refused.status == 403 and "Another site" in refused.words
        own = {"Origin": str(browser.http.make_url("/")).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
        assert (await browser.post("/ui/logout", {"csrf": token}, headers=own)).path == "/ui/login"


async def test_a_proxy_without_keys_needs_no_login_and_keeps_its_session() -> None:
    async with browsing(make_proxy()) as browser:
        first = await browser.get("/ui/overview")
        assert first.path == "/ui/overview" and COOKIE in first.answer.cookies
        assert COOKIE not in (await browser.get("/ui/requests")).answer.cookies
        assert (await browser.get("/ui/login")).path == "/ui/playground", "nothing is published yet"


async def test_a_link_of_another_site_gets_in_by_way_of_this_one() -> None:
    """A browser keeps a SameSite=Strict cookie back there; its next request, from here, has it."""
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        led = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        page = await browser.get('/ui/requests?outcome="><b>', headers=led)
        assert page.status == 200 and COOKIE not in page.answer.cookies
        assert 'content="0;url=/ui/requests?outcome=' in page.text and "<b>" not in page.text
        assert page.answer.headers["Content-Security-Policy"] == POLICY


@pytest.mark.parametrize(
    ("scopes", "labels"),
    [({"read"}, ["Overview", "Requests"]), ({"metrics"}, []), ({"admin"}, ["Overview", "Requests"])],
)
async def test_a_key_sees_what_it_has_a_scope_for(scopes: set[Permission], labels: list[str]) -> None:
    proxy = make_proxy(api_keys=KEYS, permissions={"alice": frozenset(scopes)})
    async with browsing(proxy) as browser:
        await browser.log_in(KEY)
        page = await browser.get("/ui/requests")
        assert page.status == (200 if labels else 403)
        assert ["Overview", "Requests"] == labels or "scope" in page.words
        for label, path in (("Overview", "/ui/overview"), ("Requests", "/ui/requests")):
            assert (f'href="{path}"' in page.text) is (label in labels)


async def test_nothing_is_found_out_without_a_session() -> None:
    async with browsing(make_proxy(api_keys=KEYS)) as browser:
        assert (await browser.get("/ui/nothing")).path.startswith("/ui/login")
        await browser.log_in(KEY)
        missing = await browser.get("/ui/nothing")
        assert missing.status == 404 and missing.answer.content_type == "text/html"
        assert (await browser.get("/ui/logout")).status == 405


async def test_a_form_is_bounded_and_must_be_one() -> None:
    proxy = make_proxy(max_body=100_000)
    async with browsing(proxy) as browser:
        await browser.get("/ui/overview")
        big = await browser.post("/ui/logout", {"csrf": "x" * 200_000})
        assert big.status == 413 and "server.max_body" in big.words
        odd = {"Content-Type": "multipart/form-data; boundary=x"}
        broken = await browser.http.post("/ui/logout", data=b"--y", headers=ACCEPT | odd)
        assert broken.status in (400, 403) and broken.content_type == "text/html"


async def test_during_a_shutdown_views_are_refused_as_html() -> None:
    proxy = make_proxy()
    async with browsing(proxy) as browser:
        await browser.get("/ui/overview")
        proxy.drain.begin()
        refused = await browser.get("/ui/overview")
        assert (
            refused.status == 503 and "Retry-After" in refused.answer.headers and "Not now" in refused.words
        )


async def test_switched_off_there_is_no_dashboard() -> None:
    proxy = make_proxy()
    proxy.components = replace(proxy.components, dashboard=False)
    async with browsing(proxy) as browser:
        assert (await browser.get("/ui/overview")).answer.content_type == "application/json"


def part(name: str, value: bytes, *heads: str) -> bytes:
    """Return one part of a form, with further heads."""
    lines = "".join(f"{head}\r\n" for head in heads)
    return f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n{lines}\r\n'.encode() + value + b"\r\n"


BOMBS = {
    "many fields": b"".join(part(f"f{number}", b"") for number in range(1_100)),
    "compressed": part("text", gzip.compress(b"x" * 2**24), "Content-Encoding: gzip"),
    "encoded": part("text", b"=" * 1000, "Content-Transfer-Encoding: base64"),
    "another charset": part("text", b"\xff\xfe", "Content-Type: text/plain; charset=klingon"),
    "nested": part("text", b"--y\r\n\r\n--y--", "Content-Type: multipart/mixed; boundary=y"),
    "nameless": b"--x\r\nContent-Disposition: form-data\r\n\r\nv\r\n",
    "without heads": b"--x\r\n\r\nv\r\n",
    "long head": part("text", b"v", "X-Long: " + "y" * 20_000),
    "many heads": part("text", b"v", *(f"X-{number}: y" for number in range(500))),
    "unended": b"--x\r\nContent-Dispo",
}


@pytest.mark.parametrize("form", BOMBS)
async def test_a_hostile_form_is_refused_in_bounded_memory(form: str) -> None:
    proxy = make_proxy(max_body=200_000)
    async with browsing(proxy) as browser:
        token = (await browser.get("/ui/playground")).token
        for body in (BOMBS[form], part("csrf", token.encode()) + BOMBS[form]):
            headers = ACCEPT | {"Content-Type": "multipart/form-data; boundary=x"}
            tracemalloc.start()
            try:
                data = body if form == "unended" else body + b"--x--\r\n"
                async with browser.http.post("/ui/logout", data=data, headers=headers) as answer:
                    shown = await answer.text()
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert answer.status in (200, 400, 403, 413), (form, answer.status, shown)
            assert peak < 8 * 2**20, form
