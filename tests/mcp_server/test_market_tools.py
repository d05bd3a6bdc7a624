"""The tools search the catalog of a proxy, and price a read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kvproxy.core import Caller
from tests.mcp_server.conftest import call, connected, refused
from tests.server.doubles import client_of, make_proxy
from tests.server.market_double import KEYS, market_proxy, offered

TEXT = "Everyone has 25 days of leave. " * 20
ALICE = dict(KEYS)["alice"]


async def test_a_text_is_found_and_priced(tmp_path: Path) -> None:
    with market_proxy(tmp_path) as made:
        info = (await made.proxy.publisher.publish("handbook", TEXT, "public", Caller("acme", "t"))).info
        document = offered("handbook", digests=frozenset({info.etag}))
        made.offers.documents = [document, *(replace(offered(f"x{n}"), publisher="zeta") for n in range(60))]
        async with client_of(made.proxy) as http, connected(str(http.make_url("")), api_key=ALICE) as client:
            found = await call(client, "search_catalog", sha256=info.etag)
            (offer,) = found["offers"]
            assert (offer["reference"], offer["price"], offer["cold_price"]) == (
                "handbook@1",
                "0.0005 USD",
                "0.005 USD",
            )
            assert found["more"] is False
            many = await call(client, "search_catalog", publisher="zeta")
            assert len(many["offers"]) == 50 and many["more"] is True
            quote = await call(client, "quote_read", document="handbook@1", max_tokens=10)
            assert quote["hit"] and quote["cached_tokens"] >= len(TEXT) and quote["price"].endswith(" USD")
            assert quote["jws"].count(".") == 2
            same = await call(client, "quote_read", sha256=info.etag, max_tokens=10)
            assert same["price"] == quote["price"]
            assert "give either" in await refused(client, "quote_read")
            assert "No such document" in await refused(client, "quote_read", document="nothing@1")


async def test_a_proxy_without_a_market_says_so() -> None:
    async with client_of(make_proxy()) as http, connected(str(http.make_url(""))) as client:
        assert "no market" in await refused(client, "search_catalog")
