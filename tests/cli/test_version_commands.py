"""`kvproxy docs alias|touch|revoke|usage` and `publish --ttl`, against a proxy with a real publisher."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_app import call
from tests.cli.test_publish_command import file, run
from tests.server.routes.test_terms_route import BOB, Stall, folder, parts, stall

__all__ = ["file", "folder", "parts", "stall"]


async def test_a_version_is_named_touched_and_revoked(stall: Stall, file: str) -> None:
    status, _, told = await run(stall, "publish", file, "--id", "manual", "--public", "--ttl", "3600")
    assert status == 0, told
    assert (await run(stall, "docs", "alias", "manual@stable", "1"))[:2] == (0, "manual@stable is manual@1\n")
    _, out, _ = await run(stall, "docs", "show", "manual@stable")
    shown = json.loads(out)
    assert shown["aliases"] == ["stable"] and shown["expires"] > shown["created"]
    assert "manual@1 @stable" in (await run(stall, "docs", "list"))[1]
    status, out, _ = await run(stall, "docs", "touch", "manual@stable", "--forever")
    assert (status, out) == (0, "manual@1 never ends\n")
    assert "manual@1 ends at 2" in (await run(stall, "docs", "touch", "manual", "--ttl", "60"))[1]
    status, out, _ = await run(stall, "docs", "revoke", "manual@1", "--reason", "it was wrong")
    assert (status, out) == (0, "revoked manual@1\n")
    gone = await stall.http.get("/kv/v1/documents/manual@1", headers=BOB)
    error = (await gone.json())["error"]
    assert gone.status == 410 and error["code"] == "document_revoked" and "it was wrong" in error["message"]
    status, _, told = await run(stall, "docs", "show", "manual@stable")
    assert status != 0 and "was revoked" in told
    _, out, _ = await run(stall, "docs", "usage")
    assert out == "0 versions\n0 bytes of KV\n0 tokens\nmanual@1 revoked: it was wrong\n"
    assert json.loads((await run(stall, "docs", "usage", "--json"))[1])["withdrawn"][0]["ending"] == "revoked"
    assert (await run(stall, "docs", "delete", "manual"))[0] == 0
    assert (await run(stall, "docs", "alias", "manual@stable", "--delete"))[0] != 0


async def test_an_alias_is_removed(stall: Stall, file: str) -> None:
    await run(stall, "publish", file, "--id", "manual", "--private")
    await run(stall, "docs", "alias", "manual@stable")
    status, out, _ = await run(stall, "docs", "alias", "manual@stable", "--delete")
    assert (status, out) == (0, "manual@stable means nothing any more\n")
    assert (await run(stall, "docs", "show", "manual@stable"))[0] != 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("touch", "manual"), "say either --ttl SECONDS or --forever"),
        (("touch", "manual", "--ttl", "5", "--forever"), "say either"),
        (("alias", "stable"), "write an alias as handbook@stable"),
        (("alias", "manual@stable", "1", "--delete"), "write an alias as"),
        (("revoke", "manual"), "--reason"),
    ],
)
def test_what_is_wrong_sends_nothing(arguments: tuple[str, ...], told: str) -> None:
    status, _, said = call("docs", *arguments)
    assert status == 2 and told in said
