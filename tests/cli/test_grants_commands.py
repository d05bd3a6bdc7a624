from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from kvproxy.cli.app import app
from tests.server.doubles import client_of
from tests.server.markets import ACME, market_proxy


async def grants(http: object, *arguments: str) -> Result:
    url = f"http://{http.host}:{http.port}"  # type: ignore[attr-defined]  # aiohttp's test client
    asked = ["grants", *arguments, "--url", url, "--api-key", ACME[1]]
    return await asyncio.to_thread(CliRunner().invoke, app, asked)


async def test_a_grant_is_made_listed_and_revoked(tmp_path: Path) -> None:
    async with market_proxy(tmp_path) as market, client_of(market.proxy) as http:
        assert "no grants" in (await grants(http, "list")).stdout
        made = await grants(
            http,
            *("create", "handbook@3", "--tenant", "alice", "--max-reads", "5", "--max-amount", "1.50"),
            *("--expires", "30d"),
        )
        assert made.exit_code == 0, made.output
        id = made.stdout.partition(":")[0]
        found = market.grants.get(id)
        assert (found.publisher, found.document, found.version, found.reader) == (
            "acme",
            "handbook",
            3,
            "alice",
        )
        assert (found.max_reads, found.max_nano) == (5, 1_500_000_000)
        assert found.expires_ms is not None
        await grants(http, "create", "other", "--everybody")
        table = (await grants(http, "list")).stdout
        assert "handbook@3" in table and "tenant alice" in table and "1.5 USD, 5 reads" in table
        assert "everybody" in table
        assert (await grants(http, "revoke", id)).exit_code == 0
        rows = json.loads((await grants(http, "list", "--json")).stdout)
        assert [row["revoked"] is not None for row in rows if row["id"] == id] == [True]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", "handbook"), "name one reader"),
        (("create", "handbook", "--tenant", "a", "--everybody"), "name one reader"),
        (("create", "../x", "--everybody"), "a document is named like"),
        (("create", "handbook", "--everybody", "--price", "free"), "no tariff"),
        (("revoke", "grant_0"), "no grant with the id 'grant_0'"),
    ],
)
async def test_what_is_wrong_is_one_line(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    async with market_proxy(tmp_path) as market, client_of(market.proxy) as http:
        done = await grants(http, *arguments)
        assert done.exit_code in (1, 2)
        assert told in done.stderr and done.stderr.count("\n") == 1
        assert market.grants.list() == []
