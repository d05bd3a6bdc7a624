"""explain_prompt beside the requests that the proxy remembers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from langchain_kvproxy import Explanation, aexplain_prompt, explain_prompt

from .handbook_proxy import REFERENCE, HandbookProxy, codes, system

TOLD: dict[str, Any] = {
    "cause": "uuid",
    "do": "move it behind the document",
    "compared": {"kind": "request", "id": "chatcmpl-1", "at": 1.0, "common_tokens": 12},
    "difference": {
        "where": "messages[0]",
        "character": 9,
        "counted_from": "message",
        "before": "session: ",
        "sent": "a1b2",
        "other": "c3d4",
        "token": None,
    },
}


def explained(proxy: HandbookProxy, *, asynchronous: bool = False) -> Explanation:
    messages = system(REFERENCE)
    if asynchronous:
        return asyncio.run(aexplain_prompt(messages, client=proxy.client, remembered=True))
    return explain_prompt(messages, client=proxy.client, remembered=True)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_proxys_own_comparison_is_a_finding(asynchronous: bool) -> None:
    proxy = HandbookProxy()
    proxy.comparison = TOLD
    (finding,) = explained(proxy, asynchronous=asynchronous).findings
    assert (finding.level, finding.code, finding.message) == ("warning", "uuid", 0)
    assert finding.what == 'it parts from an earlier request at character 9: "a1b2", there "c3d4"'
    assert finding.do == "move it behind the document"
    assert proxy.compared == [
        {
            "endpoint": "chat/completions",
            "messages": [
                {"role": "system", "content": [REFERENCE]},
                {"role": "user", "content": "How many days?"},
            ],
        }
    ]


def test_what_could_not_be_shared_is_no_finding() -> None:
    proxy = HandbookProxy()
    for told in (
        {**TOLD, "cause": "too-short"},
        {**TOLD, "cause": None},
        {**TOLD, "difference": None},
    ):
        proxy.comparison = told
        assert codes(explained(proxy)) == []


def test_a_proxy_that_does_not_compare_is_a_note() -> None:
    explanation = explained(HandbookProxy())
    assert explanation.ok and codes(explanation) == ["proxy"]


def test_nothing_is_asked_unless_wished() -> None:
    proxy = HandbookProxy()
    explain_prompt([SystemMessage("Be brief."), HumanMessage("Why?")], client=proxy.client)
    assert "/kv/v1/explain" not in proxy.asked
