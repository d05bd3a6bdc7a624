"""The client's calls about requests: why one would miss, and those that have ended, as they end."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from kvproxy.client import Client, RequestFailed
from kvproxy.explain.explaining_thread import ExplainingThread
from tests.fake_proxy import running
from tests.server.doubles import Proxy, ask, client_of, eventually, make_proxy
from tests.terminal.test_explanation_text import TOLD

CHAT = "/v1/chat/completions"
KEYS = (("ann", "key-of-ann-0123456789"),)
RULES = "You are a careful assistant. Answer in English, name your sources, and be brief.\n" * 5


def dated(day: str) -> dict[str, Any]:
    messages = [
        {"role": "system", "content": f"Today is {day}.\n{RULES}"},
        {"role": "user", "content": "Why?"},
    ]
    return {"model": "fake", "messages": messages}


def kept(proxy: Proxy) -> int:
    previous = proxy.components.reporters["fake"].explainer.previous
    assert previous is not None
    return len(previous)


def test_the_requests_own_fields_are_sent_and_the_question_beside_them() -> None:
    body = {"messages": [{"role": "user", "content": "q"}]}
    with running() as proxy, Client(proxy.url) as client:
        proxy.explanation = TOLD
        assert client.explain(body) == TOLD
        client.explain(body, against="handbook@3")
        client.explain(body, previous=True)
    assert proxy.explained == [body, {**body, "against": "handbook@3"}, {**body, "previous": True}]


async def test_a_miss_is_explained_by_an_earlier_request_or_a_named_document() -> None:
    proxy = make_proxy()
    with ExplainingThread(proxy.components.reporters["fake"].explainer) as thread:
        proxy.components.pipeline.explaining = thread
        async with client_of(proxy) as http:
            assert (await http.post(CHAT, json=dated("Nov 29"))).status == 200
            await eventually(lambda: kept(proxy) == 1)

            def work() -> None:
                request = dated("Nov 30")
                with Client(str(http.make_url("/"))) as client:
                    told = client.explain(request, previous=True)
                    assert (told["outcome"], told["cause"]) == ("miss", "timestamp")
                    assert told["compared"]["kind"] == "request"
                    with pytest.raises(RequestFailed) as caught:
                        client.explain(request, against="rules", previous=True)
                    assert (caught.value.http_status, caught.value.param) == (400, "against")
                    with pytest.raises(RequestFailed, match="No such document: 'rules'") as caught:
                        client.explain(request, against="rules")
                    assert caught.value.http_status == 404
                assert request == dated("Nov 30"), "the caller's object stays as it was"

            await asyncio.to_thread(work)
            assert len(proxy.backend.generations) == 1, "nothing was served"


async def test_requests_are_told_as_they_end() -> None:
    async with client_of(make_proxy()) as http:
        url = str(http.make_url("/"))
        for text in ("x" * 400, "y" * 300):
            assert (await http.post(CHAT, json=ask(text))).status == 200

        with Client(url) as client:
            entries = client.requests(last=1)
            first = await asyncio.to_thread(next, entries)
            assert first["outcome"] == "miss"
            assert (await http.post(CHAT, json=ask("y" * 300))).status == 200
            second = await asyncio.to_thread(next, entries)
            assert (second["outcome"], second["prompt_tokens"]) == ("hit", first["prompt_tokens"])
            assert isinstance(entries, Generator)
            await asyncio.to_thread(entries.close)


async def test_a_refusal_is_told_in_the_proxys_words() -> None:
    async with client_of(make_proxy(api_keys=KEYS)) as http:
        url = str(http.make_url("/"))

        def work() -> None:
            with Client(url) as client, pytest.raises(RequestFailed) as caught:
                next(client.requests(last=1))
            assert caught.value.http_status == 401
            with Client(url, KEYS[0][1]) as client, pytest.raises(RequestFailed) as caught:
                next(client.requests(last=-1))
            assert (caught.value.http_status, caught.value.param) == (400, "last")

        await asyncio.to_thread(work)


def test_a_proxy_that_is_not_there_is_told() -> None:
    with (
        Client("http://127.0.0.1:9") as client,
        pytest.raises(RequestFailed, match="no proxy answers") as caught,
    ):
        next(client.requests(last=1))
    assert caught.value.http_status == 502
