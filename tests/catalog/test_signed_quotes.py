from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select

from kvproxy.catalog.signed_quotes import QUOTE_TYP, Quotes
from kvproxy.core import Caller, Charge, DocumentTokens, QuoteBasis
from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.database.tables.receipt_tables import QUOTES_USED
from kvproxy.errors import AlreadyUsed, PaymentRequired, PermissionDenied, SignatureRefused
from kvproxy.receipts.host_keys import HostKeys

NOW = 1_800_000_000_000
ALICE, BOB = (Caller(name, f"tenant:{name}") for name in ("alice", "bob"))
READ = DocumentTokens("handbook@3", "e" * 64, "acme", 3584, "t" * 64, by_reference=True)
BASIS = QuoteBasis(
    "smollm2", 3800, 3584, 64, (READ,), Charge("USD", 2_000_000, 19_000_000, 2_000_000, (), "f" * 64), 20_000_000,
    "hit", "",
)  # fmt: skip


@pytest.fixture
def keys(tmp_path: Path) -> HostKeys:
    return HostKeys.open(tmp_path)


@pytest.fixture
def quotes(a_database: Database, keys: HostKeys) -> Quotes:
    METADATA.create_all(a_database.engine)
    return Quotes(a_database, keys, host="kv.example", ttl_s=300)


async def test_a_quote_fixes_tariff_and_terms(quotes: Quotes) -> None:
    quoted = quotes.make(BASIS, ALICE, NOW)
    assert quoted.body["hit"] == {"nano": 2_000_000, "amount": "0.002", "currency": "USD"}
    assert quoted.body["saved"]["amount"] == "0.017" and quoted.body["most"]["amount"] == "0.02"
    assert quoted.body["expires"] == NOW // 1000 + 300
    honoured = await quotes.honour(quoted.jws, ALICE, NOW + 299_000, "chatcmpl-1")
    assert (honoured.tariff, honoured.terms) == ("f" * 64, {"handbook@3": "t" * 64})
    assert (honoured.most_nano, honoured.model, honoured.jti) == (20_000_000, "smollm2", quoted.jti)


async def test_the_body_says_what_is_signed(quotes: Quotes, keys: HostKeys) -> None:
    quoted = quotes.make(BASIS, ALICE, NOW)
    claims = keys.verify(quoted.jws, QUOTE_TYP)
    assert (claims["sub"], claims["iss"], claims["jti"]) == ("alice", "kv.example", quoted.body["id"])
    for name in (
        "model",
        "prompt_tokens",
        "cached_tokens",
        "max_tokens",
        "decision",
        "reason",
        "documents",
        "tariff",
    ):
        assert claims[name] == dict(quoted.body)[name]
    assert claims["hit"] == quoted.body["hit"]["amount"] and claims["exp"] == quoted.body["expires"]


async def test_a_quote_is_honoured_once_until_it_is_given_back(quotes: Quotes, a_database: Database) -> None:
    quoted = quotes.make(BASIS, ALICE, NOW)
    tries = [quotes.honour(quoted.jws, ALICE, NOW, f"chatcmpl-{n}") for n in range(8)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(r).__name__ for r in results) == ["AlreadyUsed"] * 7 + ["HonouredQuote"]
    with pytest.raises(AlreadyUsed, match="POST /kv/v1/quote"):
        await quotes.honour(quoted.jws, ALICE, NOW)
    await quotes.give_back(quoted.jti)
    assert (await quotes.honour(quoted.jws, ALICE, NOW)).jti == quoted.jti
    with a_database.snapshot() as db:
        assert len(db.execute(select(QUOTES_USED)).all()) == 1


async def test_what_is_not_honoured(quotes: Quotes, keys: HostKeys, tmp_path: Path) -> None:
    jws = quotes.make(BASIS, ALICE, NOW).jws
    with pytest.raises(PermissionDenied, match="another reader"):
        await quotes.honour(jws, BOB, NOW)
    with pytest.raises(PaymentRequired, match=r"expired at 2027-01-15 08:05:00 UTC.*POST /kv/v1/quote"):
        await quotes.honour(jws, ALICE, NOW + 300_000)
    head, payload, signature = jws.split(".")
    for forged in (f"{head}.{payload[:-2]}AA.{signature}", "x", "", keys.sign({"sub": "alice"}, "receipt")):
        with pytest.raises(SignatureRefused, match="not this host's"):
            await quotes.honour(forged, ALICE, NOW)
    other = HostKeys.open(tmp_path / "other")
    with pytest.raises(SignatureRefused):
        await quotes.honour(other.sign(keys.verify(jws, QUOTE_TYP), QUOTE_TYP), ALICE, NOW)
    assert (await quotes.honour(jws, ALICE, NOW)).model == "smollm2"  # none of those has used it up


async def test_a_quote_outlives_a_rotation_and_its_record_does_not_outlive_it(
    quotes: Quotes, keys: HostKeys, a_database: Database
) -> None:
    jws = quotes.make(BASIS, ALICE, NOW).jws
    keys.rotate()
    await quotes.honour(jws, ALICE, NOW)
    later = quotes.make(BASIS, ALICE, NOW + 10**6)
    await quotes.honour(later.jws, ALICE, NOW + 10**6)
    with a_database.snapshot() as db:
        assert db.execute(select(QUOTES_USED.c.jti)).scalars().all() == [later.jti]
