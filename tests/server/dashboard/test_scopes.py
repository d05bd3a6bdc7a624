"""No view, fragment or event shows a tenant another one's text, ids of private documents or money: every route of the
dashboard and every operation of figures is asked with every key, and no word is in an answer that is not meant for
it."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import pytest
from aiohttp import ClientResponse

from kvproxy.server.dashboard.dashboard_route import DashboardRoute
from kvproxy.server.dashboard.dashboard_routes import DASHBOARD_ROUTES, LIVE_FRAGMENTS
from kvproxy.server.openapi.operations import OPERATIONS
from kvproxy.server.openapi.operations.figure_operations import FIGURES
from tests.server.dashboard.browsing import ACCEPT, Browser
from tests.server.dashboard.canary_house import EVIL, TENANTS, CanaryHouse, Viewer, canary_house
from tests.server.dashboard.looked_at import LOOKS, NOWHERE, Look
from tests.server.markets import bearer

VIEWERS = (
    *TENANTS,
    "rita-second",
    "bob-ledger",
    "bob-metrics",
    "bob-publish",
    "ops",
    "boss",
)
DOCUMENT = "/ui/documents/{document:.+}"
WRITTEN = ("/ui/grants", "/ui/documents")
"""Their POSTs are last: the viewer's own words, ids of others among them, stay in views of its own."""
FIGURE_PATHS = (*(operation.path for operation in FIGURES), "/kv/v1/requests")


@dataclass(frozen=True)
class Told:
    """An answer in all its words, and what it was asked."""

    look: Look
    status: int
    text: str


@pytest.fixture
async def house(tiny_model: Path, tmp_path: Path) -> AsyncIterator[tuple[CanaryHouse, Browser]]:
    async with canary_house(tiny_model, tmp_path) as opened:
        yield opened


async def told(look: Look, answer: ClientResponse) -> Told:
    """Return an answer with its headers and cookies: a redirect is not followed."""
    heads = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
    text = (await answer.read()).decode("utf-8", "replace")
    return Told(look, answer.status, f"{heads}\n\n{text}\n{unsealed(text)}")


def unsealed(text: str) -> str:
    """Return what anybody reads in the signed parts of an answer; noise where a random token looks like one."""
    whole = (found + "A" * (-len(found) % 4) for found in re.findall(r"eyJ[A-Za-z0-9_-]+", text))
    return "\n".join(base64.urlsafe_b64decode(one).decode("utf-8", "replace") for one in whole)


def shows(text: str, word: str) -> bool:
    """Return whether a word is in a text; an amount not as a part of another number, which a time may be."""
    number = word[-1].isdigit() and word.lstrip("-").replace(".", "").isdigit()
    return word in text and (not number or bool(re.search(rf"(?<![\d.]){re.escape(word)}(?!\d)", text)))


@pytest.mark.parametrize("length", range(4, 12))
def test_signed_parts_are_read_and_random_tokens_do_no_harm(length: int) -> None:
    claims = '{"notice":"acme-private-plan is pinned"}'
    sealed = base64.urlsafe_b64encode(claims.encode()).decode().rstrip("=")
    assert claims in unsealed(f'csrf="{"_" * 7}eyJ{"-" * length}" notice={sealed}.signature')


async def looked(browser: Browser, look: Look) -> list[Told]:
    """Return the answer, and the view that it leads to, where a notice may be."""
    headers = ACCEPT | dict(look.headers)
    if look.fields is None:
        answers = [
            await told(look, await browser.http.get(look.path, headers=headers, allow_redirects=False))
        ]
    else:
        token = (await browser.get("/ui/login")).token
        fields = {**look.fields, "csrf": token}
        sent = await browser.http.post(look.path, data=fields, headers=headers, allow_redirects=False)
        answers = [await told(look, sent)]
    if answers[0].status == 303:
        view = await browser.get("/ui/login")
        answers.append(Told(look, view.status, view.text))
    return answers


async def walk(house: CanaryHouse, browser: Browser, viewer: Viewer) -> AsyncIterator[Told]:
    """Ask everything as one viewer."""
    for route in (route for route in DASHBOARD_ROUTES if not writes(route)):
        await browser.log_in(viewer.key)
        for look in LOOKS[route.method, route.path](house, viewer):
            for answer in await looked(browser, look):
                yield answer
    await browser.log_in(viewer.key)
    for fragment in LIVE_FRAGMENTS:
        path = f"/ui/events?live={fragment.name}"
        headers = {"Accept": "text/event-stream"}
        async with browser.http.get(path, headers=headers) as stream:
            text = "" if stream.status == 200 else await stream.text()
            while stream.status == 200 and not ("event: fragment" in text and text.endswith("\n\n")):
                text += (await stream.content.readline()).decode()
            yield Told(Look(path), stream.status, text)
    for path in figures():
        async with browser.http.get(path, headers=bearer(viewer.key)) as response:
            yield await told(Look(path), response)
    for route in filter(writes, DASHBOARD_ROUTES):
        for look in LOOKS[route.method, route.path](house, viewer):
            for answer in await looked(browser, look):
                yield answer


def writes(route: DashboardRoute) -> bool:
    return route.method == "POST" and route.path in WRITTEN


def figures() -> Iterator[str]:
    for path in FIGURE_PATHS:
        yield path
        for query in (
            *(f"tenant={tenant}" for tenant in (*TENANTS, "all", "nobody")),
            "most=200",
            "last=500",
        ):
            yield f"{path}?{query}"


def test_every_route_is_asked() -> None:
    """A new row of the table needs a row of its own in LOOKS."""
    assert set(LOOKS) == {(route.method, route.path) for route in DASHBOARD_ROUTES}
    assert {operation.path for operation in OPERATIONS} >= set(FIGURE_PATHS)


@pytest.mark.parametrize("name", VIEWERS)
async def test_no_word_of_others_is_in_any_answer(house: tuple[CanaryHouse, Browser], name: str) -> None:
    market, browser = house
    viewer = market.viewers[name]
    foreign = [canary for canary in market.canaries if not viewer.may_see(canary)]
    leaks, answers, written = set(), 0, ""
    async for answer in walk(market, browser, viewer):
        answers += 1
        assert answer.status < 500, (answer.look, answer.text[:2000])
        assert EVIL not in answer.text or "Content-Type: application/json" in answer.text, answer.look
        written += answer.look.sent if answer.look.path in WRITTEN else ""
        known = written + answer.look.sent
        found = [c.word for c in foreign if shows(answer.text, c.word) and c.word not in known]
        leaks |= {(answer.look.path, word) for word in found}
    assert not leaks, sorted(leaks)
    assert answers > 100


async def test_whose_the_words_are_sees_them(house: tuple[CanaryHouse, Browser]) -> None:
    """Without this a view that shows nothing would pass."""
    market, browser = house
    seen: set[str] = set()
    escaped: set[str] = set()
    for name in ("boss", *TENANTS):
        viewer = market.viewers[name]
        mine = [canary for canary in market.canaries if viewer.may_see(canary) and canary.word not in seen]
        async for answer in walk(market, browser, viewer):
            if escape(EVIL) in answer.text and escape(EVIL) not in escape(answer.look.sent):
                escaped.add(answer.look.path.partition("?")[0].split("@")[0])
            if answer.look.path not in WRITTEN:
                seen |= {
                    c.word for c in mine if shows(answer.text, c.word) and c.word not in answer.look.sent
                }
    assert {"/ui/keys", "/ui/requests", "/ui/documents/acme-private-plan"} <= escaped
    assert any(path.startswith("/ui/misses/") for path in escaped)
    unseen = {canary.word for canary in market.canaries} - seen
    # What is gone has no text; a deleted document that nobody has read is named nowhere.
    gone = ("text{}withdrawn", "text{}deleted", "{}-deleted-plan")
    assert unseen == {words.format(tenant) for tenant in TENANTS for words in gone}


_MADE = re.compile(r"[0-9a-f]{64}|req_[0-9a-f]{32}|playground-[0-9a-f]{32}|[A-Za-z0-9_-]{100,}")
"""Tokens, ids and cookies, which no two answers have in common."""


@pytest.mark.parametrize("name", VIEWERS)
async def test_what_another_one_keeps_private_is_as_if_it_were_not_there(
    house: tuple[CanaryHouse, Browser], name: str
) -> None:
    market, browser = house
    viewer = market.viewers[name]
    await browser.log_in(viewer.key)
    for _, id in ((t, id) for t, id in market.documents if t != viewer.tenant and "private" in id):
        for look in (*LOOKS["GET", DOCUMENT](market, viewer), *LOOKS["POST", DOCUMENT](market, viewer)):
            if NOWHERE not in look.path:
                continue
            there = replace(look, path=look.path.replace(NOWHERE, id))
            [missing, *_], [private, *_] = await looked(browser, look), await looked(browser, there)
            assert missing.status in (403, 404) or "sell" in look.sent, look
            assert private.status == missing.status
            assert plainly(private.text, id) == plainly(missing.text, NOWHERE), look


def plainly(text: str, id: str) -> str:
    """Return an answer without what differs in any two."""
    same = _MADE.sub("…", text).replace(id, NOWHERE)
    return re.sub(r"(?mi)^(content-length|date|server-timing): .*$", "", same)


async def test_a_grant_for_one_key_is_not_for_another_one_of_its_tenant(
    house: tuple[CanaryHouse, Browser],
) -> None:
    market, browser = house
    for name, sees in (("rita", True), ("rita-second", False)):
        await browser.log_in(market.viewers[name].key)
        for path in ("/ui/documents", "/ui/playground"):
            page = await browser.get(path)
            assert ("bob-granted-plan" in page.text) is sees and "acme-granted-plan" in page.text, path
        assert (await browser.get("/ui/documents/bob-granted-plan")).status == (200 if sees else 404)
        read = await browser.get("/ui/documents/acme-granted-plan")
        assert read.status == 200 and "textacmegranted" not in read.text, "read by name, not by its text"
