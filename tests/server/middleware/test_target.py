"""Raw paths: the server does not normalise them, and no client in between does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvproxy.core import DocumentRef
from tests.server.doubles import Http, Proxy, client_of, make_proxy
from tests.server.raw_http import exchange, request

PATH = "/kv/v1/documents"
CLOSE = "Connection: close"
"""Ends an exchange with its answer, where otherwise silence does."""
OTHERS = ("b", "team/b", "team/a", "team", "a")


async def library(http: Http, proxy: Proxy, *older: str) -> None:
    """Publish documents, and ``older`` ones with ids that are no longer allowed."""
    for id in OTHERS:
        assert (await http.post(PATH, json={"id": id, "text": f"the text of {id}"})).status == 201
    known = await proxy.publisher.get(DocumentRef("b"), None)  # type: ignore[arg-type]  # the double ignores it
    for id in older:
        proxy.publisher._infos[DocumentRef(id, 1)] = replace(known, id=id)


async def listed(http: Http) -> list[str]:
    return [d["id"] for d in (await (await http.get(PATH)).json())["data"]]


SPELLINGS = [
    "team/a/../b",
    "team/a/%2e%2e/b",
    "team/a/.%2E/b",
    "team%2Fa%2F..%2Fb",
    "team/a/%252e%252e/b",
    "team/./b",
    "team/%2e/b",
    "team//b",
    "team/%2Fb",
    "/team/b",
    "team/b/",
    "./team/b",
    "../documents/team/b",
    "%2e%2e/documents/team/b",
    "team/b/.",
    "team/b/..",
    "team/a/..;/b",
    "team\\b",
    "team/a/..\\b",
    "team%5Cb",
    "team%252Fb",
    "team%00/b",
    "team/b%00",
    "team/b%20",
    "team/b%0a",
    "team/b#x",
    "team/b%23x",
    "team/b%3Fx",
    "team/b;x",
    "team/B",
    "team/b@1@1",
    "team/b%2540",
    "%zz/team/b",
    "team/%ff/b",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_spelling_reaches_another_document(spelling: str) -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        await library(http, proxy)
        for line in (f"DELETE {PATH}/{spelling}", f"GET {PATH}/{spelling}", f"POST {PATH}/{spelling}/verify"):
            got = await exchange(http, request(line, CLOSE))
            assert got.status in (400, 404), line
            assert "error" in got.json() and "the text of" not in got.body.decode()
        assert await listed(http) == list(OTHERS)


@pytest.mark.parametrize("older", ["team/a/../b", "team//b", "team/./b", "team/b/", "team/b/.."])
async def test_a_document_of_an_older_store_is_reached_by_its_own_name_alone(older: str) -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        await library(http, proxy, older)
        got = await exchange(http, request(f"GET {PATH}/{older.replace('/', '%2F')}", CLOSE))
        assert (got.status, got.json()["id"]) == (200, older)
        got = await exchange(http, request(f"DELETE {PATH}/{older.replace('/', '%2F')}", CLOSE))
        assert (got.status, got.json()["id"]) == (200, older)
        assert await listed(http) == list(OTHERS)


async def test_the_spellings_of_one_name() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        await library(http, proxy)
        for spelling in (
            "team/b",
            "team%2Fb",
            "team%2fb@1",
            "%74eam/b%401",
            "team/b?text=true",
            "team/b?x=../a",
        ):
            got = await exchange(http, request(f"GET {PATH}/{spelling}", CLOSE))
            assert (got.status, got.json()["id"]) == (200, "team/b"), spelling


async def test_stored_responses_and_models_are_named_to_the_letter_too() -> None:
    async with client_of(make_proxy()) as http:
        made = await (await http.post("/v1/responses", json={"model": "fake", "input": "a"})).json()
        id = made["id"]
        for spelling in (
            f"x/../{id}",
            f"x%2F..%2F{id}",
            f"./{id}",
            f"{id}/",
            f"{id}%00",
            f"{id}#x",
            f"%2e%2e/{id}",
        ):
            for method in ("DELETE", "GET"):
                got = await exchange(http, request(f"{method} /v1/responses/{spelling}", CLOSE))
                assert got.status in (400, 404), spelling
        assert (await http.get(f"/v1/responses/{id}")).status == 200
        for spelling in ("../models/fake", "x/../fake", "fake/..", "/fake", "fake#x", "%2e%2e/fake"):
            got = await exchange(http, request(f"GET /v1/models/{spelling}", CLOSE))
            assert got.status in (400, 404), spelling


@pytest.mark.parametrize("host", ["a b", "x<y>", "localhost:port", "http://localhost", "[::1", "a,b"])
async def test_a_host_that_is_none(host: str) -> None:
    async with client_of(make_proxy()) as http:
        for path in ("/v1/models", "/", "/nowhere"):
            got = await exchange(http, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{CLOSE}\r\n\r\n".encode())
            assert got.status == 400 and host not in got.json()["error"]["message"]
        for good in ("localhost", "[::1]:80", "10.0.0.1:8321", ""):
            assert (
                await exchange(http, f"GET / HTTP/1.1\r\nHost: {good}\r\n{CLOSE}\r\n\r\n".encode())
            ).status == 200
