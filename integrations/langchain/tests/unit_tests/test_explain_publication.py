"""explain_prompt with a proxy: old, unknown and unpublished documents, a proxy that is down, the async twin."""

from __future__ import annotations

import asyncio

import httpx

from langchain_kvproxy import aexplain_prompt, explain_prompt
from langchain_kvproxy._client import KVProxyClient

from .handbook_proxy import HANDBOOK, REFERENCE, HandbookProxy, codes, system, text


def test_versions_that_are_old_unknown_or_not_kept() -> None:
    names = ("handbook@1", "handbook@9", "manual", "handbook")
    prompt = system(*({"type": "kv_document", "document": name} for name in names))
    explanation = explain_prompt(prompt, client=HandbookProxy(resident=0).client)
    assert [(f.level, f.code) for f in explanation.findings] == [
        ("error", "unknown-document"),
        ("error", "unknown-document"),
        ("warning", "older-version"),
        ("note", "not-resident"),
    ]
    assert "handbook@2 is published" in explanation.findings[0].what
    assert "handbook@1 is not the current version: that is handbook@2" in str(explanation)


def test_a_long_text_that_is_not_published_is_a_note() -> None:
    explanation = explain_prompt(system(text("other words " * 100)), client=HandbookProxy().client)
    assert codes(explanation) == ["unpublished"] and explanation.ok


def test_a_proxy_that_is_down_is_a_finding() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    client = KVProxyClient("http://proxy.test", transport=httpx.MockTransport(refuse))
    explanation = explain_prompt(system(REFERENCE), client=client)
    assert codes(explanation) == ["proxy"] and "kvproxy serve" in str(explanation)
    assert explanation.documents[0].status == "unchecked"
    assert asyncio.run(aexplain_prompt(system(REFERENCE), client=client)) == explanation


def test_the_async_twin_says_the_same() -> None:
    for prompt in (system(text(HANDBOOK.replace("30", "31"))), system(REFERENCE)):
        client = HandbookProxy().client
        assert asyncio.run(aexplain_prompt(prompt, client=client)) == explain_prompt(prompt, client=client)
    assert asyncio.run(aexplain_prompt(system(REFERENCE))) == explain_prompt(system(REFERENCE))
