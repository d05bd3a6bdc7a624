"""Parts of the list of documents over HTTP: `limit` and `after`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from kvproxy.core import Caller
from kvproxy.server.app import build_app
from tests.documents.models import write_model
from tests.server.dashboard.document_shop import open_shop
from tests.server.doubles import Proxy, RealServer
from tests.test_publish import Shop

BOB = {"Authorization": "Bearer key-of-bob"}


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Shop, Proxy]]:
    shop, proxy = open_shop(write_model(tmp_path / "model", "qwen3"), tmp_path / "state")
    yield shop, proxy
    shop.close()


async def test_parts_have_every_version_once_and_say_whether_there_are_more(
    opened: tuple[Shop, Proxy],
) -> None:
    shop, proxy = opened
    [bob, alice] = [
        c for name in ("bob", "alice") for c in proxy.components.keyring.configured if c.name == name
    ]

    async def publish(id: str, text: str, caller: Caller) -> None:
        await shop.publisher.publish(id, text, "private" if caller is bob else "public", caller)

    for id, text, caller in (
        *(("a", "Rule one.", alice), ("a", "Rule two.", alice), ("b", "Rule three.", bob)),
        *(("c/d", "Rule four.", alice), ("e", "Rule five.", alice), ("b", "A public rule.", alice)),
    ):
        await publish(id, text, caller)
    async with TestClient(RealServer(build_app(proxy.components))) as client:

        async def listed(query: str) -> dict[str, Any]:
            async with client.get(f"/kv/v1/documents{query}", headers=BOB) as answer:
                body: dict[str, Any] = await answer.json()
                return body

        whole = await listed("")
        parts, query = [], "?limit=2"
        while True:
            part = await listed(query)
            parts.append(part)
            if not part["has_more"]:
                break
            query = f"?limit=2&after={part['next']}"
        assert [d for part in parts for d in part["data"]] == whole["data"]
        assert [len(part["data"]) for part in parts] == [4, 2] and parts[1]["next"] is None
        assert parts[0]["next"] == "b" and parts[0]["usage"] == whole["usage"]
        assert (await listed("?limit=9&after=bb"))["data"] == parts[1]["data"], "an id that is not there"
        assert (await listed("?limit=9&after=zz"))["data"] == []
        assert (await listed("?after=bb"))["data"] == parts[1]["data"], "without a limit the largest"
        assert (learned := await listed("?limit=2&learned=true"))["data"] == [] and learned["next"] == "b"
        for wrong in ("?limit=0", "?limit=1001", "?limit=x", "?after=a&limit="):
            assert (await listed(wrong))["error"]["param"] == "limit"
