"""`kvproxy publish` for granted documents, and the terms that it sets, against a proxy with a market."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kvproxy.client import Client
from tests.cli.test_app import call
from tests.server.routes.test_terms_route import BOB, KEYS, Stall, folder, parts, stall
from tests.test_publish import TEXT

__all__ = ["folder", "parts", "stall"]


async def run(stall: Stall, *arguments: str) -> tuple[int, str, str]:
    """Run a command as acme, beside the event loop of the proxy."""
    at = ("--url", str(stall.http.make_url("/")).rstrip("/"), "--api-key", KEYS[0][1])
    return await asyncio.to_thread(call, *arguments, *at)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "manual.txt"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


async def test_a_document_is_published_at_a_price_and_its_terms_are_shown(stall: Stall, file: str) -> None:
    publish = ("publish", file, "--id", "manual")
    status, out, _ = await run(
        stall, *publish, "--granted", "--price-per-1000", "0.02", "--text-readers", "full_price"
    )
    assert status == 0 and ", granted, in " in out
    status, out, _ = await run(
        stall, *publish, "--price-share", "25%", "--publisher-share", "80%", "--licence", "CC BY 4.0"
    )
    assert status == 0 and out.endswith("granted, already published\n")
    status, out, _ = await run(stall, "docs", "terms", "manual")
    assert status == 0
    first, second = (line for line in out.splitlines() if " UTC" in line)
    assert "0.02 USD for 1,000 tokens" in first and "full price" in first and "now" not in first
    assert all(part in second for part in ("25% of what a read saves", "80%", "discount", "CC BY 4.0", "now"))
    await run(stall, *publish, "--free")
    _, out, _ = await run(stall, "docs", "terms", "manual", "--json")
    assert '"kind": "free"' in out and out.count('"licence": "CC BY 4.0"') == 3, "current, and two of three"
    listed = await stall.http.get("/kv/v1/documents", headers=BOB)
    assert (await listed.json())["data"] == []


async def test_a_document_without_terms_says_so(stall: Stall, file: str) -> None:
    await run(stall, "publish", file, "--id", "manual", "--granted")
    _, out, _ = await run(stall, "docs", "terms", "manual")
    assert out == "acme has set no terms for manual: the host's count.\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--granted", "--private"), "exclude each other"),
        (("--price-share", "25%", "--free"), "exclude each other"),
        (("--text-readers", "full_price"), "name a price"),
        (("--licence", "CC0"), "--licence goes with a price"),
        (("--free", "--text-readers", "nobody"), "full_price"),
    ],
)
def test_options_that_do_not_go_together_send_nothing(file: str, options: Any, told: str) -> None:
    status, _, err = call("publish", file, "--id", "manual", *options)
    assert status == 2 and told in err


async def test_the_client_sets_terms(stall: Stall) -> None:
    def work() -> dict[str, Any]:
        with Client(str(stall.http.make_url("/")), KEYS[0][1]) as client:
            client.publish("manual", TEXT, visibility="granted", price={"kind": "free"}, licence="CC0")
            client.set_terms("manual", {"kind": "share", "share": "10%"})
            return client.terms("manual")

    told = await asyncio.to_thread(work)
    assert [(t["kind"], t["licence"]) for t in told["history"]] == [("free", "CC0"), ("share", "CC0")]
