"""The client's calls about versions, against a proxy over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kvproxy.client import Client, RequestFailed
from kvproxy.errors import DocumentNotFound
from tests.server.doubles import client_of, make_proxy
from tests.server.routes.test_documents_route import publish


async def using(work: Callable[[Client], None]) -> None:
    """Let a client work on a proxy with one published document, ``law/handbook``."""
    async with client_of(make_proxy()) as http:
        await publish(http)

        def called() -> None:
            with Client(str(http.make_url("/"))) as client:
                work(client)

        await asyncio.to_thread(called)


async def test_a_version_ends_when_it_is_told_to() -> None:
    def work(client: Client) -> None:
        assert client.touch("law/handbook@1", 60)["expires"] is not None
        assert client.document("law/handbook")["expires"] is not None
        assert client.touch("law/handbook", None)["expires"] is None
        assert client.document("law/handbook")["expires"] is None
        with pytest.raises(RequestFailed) as caught:
            client.touch("law/handbook", 0)
        assert (caught.value.http_status, caught.value.param) == (400, "ttl_s")

    await using(work)


async def test_a_revoked_version_is_named_and_gone() -> None:
    def work(client: Client) -> None:
        assert client.revoke("law/handbook", "it was wrong: § 3") == ["law/handbook@1"]
        with pytest.raises(RequestFailed) as caught:
            client.revoke("law/handbook", "again")
        assert caught.value.kind is DocumentNotFound

    await using(work)


async def test_an_alias_is_set_and_removed() -> None:
    def work(client: Client) -> None:
        for version in (None, 1):
            told = client.set_alias("law/handbook", "stable", version)
            assert (told["alias"], told["document"]) == ("law/handbook@stable", "law/handbook@1")
            assert told["etag"] == client.document("law/handbook")["etag"]
        with pytest.raises(RequestFailed) as caught:
            client.set_alias("law/handbook", "stable", 2)
        assert caught.value.kind is DocumentNotFound
        client.delete_alias("law/handbook", "stable")
        with pytest.raises(RequestFailed) as caught:
            client.delete_alias("law/handbook", "stable")
        assert caught.value.kind is DocumentNotFound

    await using(work)


@pytest.mark.parametrize("alias", ["a/b", "../..", "a?b", "a b", "ä"])
async def test_an_alias_cannot_lead_to_another_operation(alias: str) -> None:
    def work(client: Client) -> None:
        for call in (client.set_alias, client.delete_alias):
            with pytest.raises(RequestFailed) as caught:
                call("law/handbook", alias)
            assert caught.value.http_status in (400, 404)
        assert client.document("law/handbook")["version"] == 1

    await using(work)


async def test_the_own_usage_is_told_with_its_quota() -> None:
    def work(client: Client) -> None:
        usage = client.usage()
        assert usage["quota"]["versions"] == 100
        assert set(usage) >= {"versions", "bytes", "tokens", "quota", "withdrawn"}

    await using(work)
