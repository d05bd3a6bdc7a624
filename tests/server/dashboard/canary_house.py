"""Tenants of a market whose documents, texts, names and amounts are words that only some may be shown, and the keys of
those who look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kvproxy.core import DEFAULT_PERMISSIONS, DocumentRef, Permission, format_nano
from kvproxy.upkeep.store_faults import StoreFault, StorePart
from tests.server.dashboard.browsing import Browser
from tests.server.dashboard.priced_market import PricedMarket, priced_market
from tests.server.markets import bearer
from tests.server.upkeep_double import OneFault

Audience = Literal["tenant", "operator"]
"""``tenant``: its own tenant's keys alone. ``operator``: an admin's too."""

TENANTS = ("acme", "bob", "rita")
_LENGTH = {"acme": 3, "bob": 10, "rita": 21}
"""Sentences that texts and questions are longer by, so that no two tenants have an amount in common."""
EVIL = "<svg/onload=alert(1)>"
"""Stands in all that a tenant writes and others are shown, escaped."""
BODY = "".join(f"Rule {i}: whoever reads rule {i} goes on to rule {i + 1}.\n" for i in range(30))


@dataclass(frozen=True)
class Canary:
    """A word, and who may be shown it."""

    word: str
    tenant: str
    audience: Audience
    names: frozenset[str] = frozenset()
    """Viewers beside those of the audience."""


@dataclass(frozen=True)
class Viewer:
    """A key that looks at everything."""

    name: str
    tenant: str
    key: str
    scopes: frozenset[Permission]

    def may_see(self, canary: Canary) -> bool:
        """Return whether a word may be in any answer to this key."""
        own = canary.tenant == self.tenant
        operates = canary.audience == "operator" and "admin" in self.scopes
        return own or operates or self.name in canary.names


@dataclass
class CanaryHouse:
    """The market, its words, and what they are about."""

    market: PricedMarket
    viewers: dict[str, Viewer] = field(default_factory=dict)
    canaries: list[Canary] = field(default_factory=list)
    documents: list[tuple[str, str]] = field(default_factory=list)
    """Tenants and ids of all documents, withdrawn ones included."""
    grants: dict[str, list[str]] = field(default_factory=dict)
    key_ids: dict[str, str] = field(default_factory=dict)
    answers: dict[str, list[str]] = field(default_factory=dict)
    """Ids of answers by tenant."""
    upkeep: FaultsOfAll = field(default_factory=lambda: FaultsOfAll())

    def hide(
        self, word: str, tenant: str, audience: Audience = "tenant", names: frozenset[str] = frozenset()
    ) -> str:
        """Note a word and return it."""
        self.canaries.append(Canary(word, tenant, audience, names))
        return word


class FaultsOfAll(OneFault):
    """A check whose findings name documents of every tenant."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def look(self, names: list[str]) -> None:
        """Let the check find faults of these documents."""
        self.names = names
        self.faults = tuple(
            StoreFault(StorePart.PAGES, f"{name}: 2 pages are not on disk", "drop and recompute")
            for name in names
        )

    def damage_reports(self) -> list[str]:
        return [f"{name.partition('@')[0]} has lost its row" for name in self.names]


@asynccontextmanager
async def canary_house(model: Path, folder: Path) -> AsyncIterator[tuple[CanaryHouse, Browser]]:
    """Open the market, with three tenants that publish and read, and a browser of it."""
    upkeep = FaultsOfAll()
    async with priced_market(model, folder, upkeep=upkeep) as market, market.browser() as browser:
        house = CanaryHouse(market, upkeep=upkeep)
        await _make_keys(house)
        for tenant in TENANTS:
            await _publish_all(house, browser, tenant)
        await _grant(house, browser)
        for tenant in TENANTS:
            await _ask(house, browser, tenant)
        for tenant in TENANTS:
            await _withdraw(house, browser, tenant)
        await _note_amounts(house)
        upkeep.look([f"{id}@1" for _, id in house.documents])
        await _confine(house)
        await market.usage.write()
        yield house, browser


async def _make_keys(house: CanaryHouse) -> None:
    market, usual = house.market, DEFAULT_PERMISSIONS
    for at, tenant in enumerate((*TENANTS, "ops")):
        await market.tenant(tenant, 7_654_321_001 + at * 1_111_111)
    wanted: list[tuple[str, str, frozenset[Permission]]] = [
        *((tenant, tenant, usual) for tenant in TENANTS),
        ("rita-second", "rita", frozenset({"read"})),
        ("bob-ledger", "bob", frozenset({"ledger"})),
        ("bob-metrics", "bob", frozenset({"metrics"})),
        ("bob-publish", "bob", frozenset({"publish"})),
        ("ops", "ops", frozenset({"admin"})),
    ]
    for name, tenant, scopes in wanted:
        label = house.hide(f"label-of-{name}", tenant, "operator")
        new = await market.key(tenant, *scopes, label=f"{EVIL}{label}")
        house.viewers[name] = Viewer(name, tenant, new.text, scopes)
        house.key_ids[name] = new.stored.id
    house.viewers["boss"] = Viewer("boss", "boss", market.boss, usual | {"admin"})


async def call(
    house: CanaryHouse, browser: Browser, tenant: str, path: str, body: Any, **headers: str
) -> dict[str, Any]:
    """Send a request of a tenant's first key to the API."""
    sent = bearer(house.viewers[tenant].key) | headers
    async with browser.http.post(path, json=body, headers=sent) as answer:
        told = await answer.json()
        assert answer.status < 300, told
        return dict(told)


async def _publish_all(house: CanaryHouse, browser: Browser, tenant: str) -> None:
    prices = {"private": "0.0311", "granted": "0.0477", "public": "0.0003"}
    for visibility in ("private", "granted", "public", "withdrawn", "deleted"):
        id = f"{tenant}-{visibility}-plan"
        house.documents.append((tenant, id))
        text = f"{EVIL}The text{tenant}{visibility} of {tenant}. {BODY}" + "And so on. " * _LENGTH[tenant]
        if visibility != "public":
            # One is granted to a single key: what it reads is listed for its tenant, as all requests are.
            lent = visibility == "granted" and tenant != "rita"
            house.hide(id, tenant, names=frozenset({"rita", "rita-second"} if lent else ()))
            house.hide(f"text{tenant}{visibility}", tenant)
        price = {"kind": "fixed", "per_1000": prices.get(visibility, "0.0311"), "publisher_share": "80%"}
        kind = visibility if visibility in prices else "private"
        body = {"id": id, "text": text, "visibility": kind, "price": price}
        await call(house, browser, tenant, "/kv/v1/documents", body)


async def _grant(house: CanaryHouse, browser: Browser) -> None:
    """acme lets rita's tenant in at a price of its own; bob one of rita's keys."""
    by_tenant = {"document": "acme-granted-plan", "reader": "tenant", "id": "rita"}
    price = "0.0199"
    by_key = {"document": "bob-granted-plan", "reader": "key", "id": house.key_ids["rita"]}
    for tenant, body in (("acme", {**by_tenant, "price": price}), ("bob", by_key)):
        made = await call(house, browser, tenant, "/kv/v1/grants", body)
        house.grants[tenant] = [str(made["id"])]


def asked(question: str, *documents: str, **fields: Any) -> dict[str, Any]:
    """Return the body of a chat completion about documents, by their names."""
    named = [{"type": "kv_document", "document": name} for name in documents]
    system = [{"role": "system", "content": named}] if named else []
    messages = [*system, {"role": "user", "content": question}]
    return {"model": "fake", "messages": messages, "max_completion_tokens": 4, **fields}


async def _ask(house: CanaryHouse, browser: Browser, tenant: str) -> None:
    agent = house.hide(f"agent-of-{tenant}", tenant, "operator")
    word, path = house.hide(f"question{tenant}", tenant), "/v1/chat/completions"
    lent = ("acme-granted-plan", "bob-granted-plan") if tenant == "rita" else (f"{tenant}-granted-plan",)
    headers, more = {"User-Agent": f"{EVIL}{agent}/1"}, " Really?" * _LENGTH[tenant]
    for name in (f"{tenant}-private-plan", f"{tenant}-withdrawn-plan", "acme-public-plan", *lent):
        await call(house, browser, tenant, path, asked(f"{word}?{more}", name), **headers)
    begin = f"{word}: " + "the same long beginning of a conversation, " * 6
    for end in (f"which ends so {EVIL}", "which goes on in another way", "which goes on in a third way"):
        told = await call(house, browser, tenant, path, asked(begin + end + more), **headers)
        house.answers.setdefault(tenant, []).append(house.hide(told["id"], tenant))
    cold = asked(begin + more, f"{tenant}-private-plan", kv_reuse="none")
    await call(house, browser, tenant, path, cold, **headers)
    quiet = house.hide(f"quiet-agent-of-{tenant}", tenant)
    await call(
        house,
        browser,
        tenant,
        path,
        asked(begin + more),
        **{"User-Agent": quiet, "x-kvproxy-retention": "none"},
    )
    wrong = f"/v1/kv/v1/documents/{tenant}-private-plan@1/pin"
    key = bearer(house.viewers[tenant].key) | headers
    assert (await browser.http.post(wrong, headers=key)).status == 404


async def _withdraw(house: CanaryHouse, browser: Browser, tenant: str) -> None:
    reason = house.hide(f"reason-of-{tenant}", tenant)
    ref = f"/kv/v1/documents/{tenant}-withdrawn-plan@1/revoke"
    await call(house, browser, tenant, ref, {"reason": f"{EVIL}{reason}"})
    key = bearer(house.viewers[tenant].key)
    gone = await browser.http.delete(f"/kv/v1/documents/{tenant}-deleted-plan", headers=key)
    assert gone.status == 200


async def _note_amounts(house: CanaryHouse) -> None:
    """Hide the amounts of each tenant's requests from all others, and its sums from all but the operator."""
    feed, ledger = house.market.proxy.components.feed, house.market.ledger
    whose: dict[str, set[str]] = {}
    for entry in feed.everybodys("", 500):
        for amount in (entry.entry.get("cost"), entry.entry.get("saved")):
            if amount and len(amount) > 6:
                whose.setdefault(amount, set()).add(entry.tenant)
    # What several have saved by reading one document tells nobody anything.
    own = {amount: tenants.pop() for amount, tenants in whose.items() if len(tenants) == 1}
    assert all(list(own.values()).count(tenant) > 5 for tenant in TENANTS)
    for amount, tenant in own.items():
        house.hide(amount, tenant)
    for tenant in TENANTS:
        balance = await ledger.balance(tenant)
        for nano in (balance.nano, balance.earned):
            if nano:
                house.hide(format_nano(nano), tenant, "operator")


async def _confine(house: CanaryHouse) -> None:
    notes = {DocumentRef(f"{tenant}-private-plan", 1): "page 3 differs" for tenant in TENANTS}
    owned = {
        known.document.ref: notes[DocumentRef(known.document.id, 1)]
        for known in house.market.shop.library
        if DocumentRef(known.document.id, 1) in notes
    }
    await asyncio.shield(house.market.shop.publisher.quarantine.confine(owned))
