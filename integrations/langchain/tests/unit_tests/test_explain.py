"""explain_prompt: what breaks a prefix, offline and with a proxy that knows documents."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool

from langchain_kvproxy import Explanation, aexplain_prompt, explain_prompt, place_documents
from langchain_kvproxy._client import KVProxyClient
from langchain_kvproxy._volatile import volatile

HANDBOOK = (
    "Leave handbook of Example Ltd\n\nEvery employee has 30 days of leave a year.\n"
    "It is asked for by 2024-01-01 at the latest, with form 7.\n"
)
OLD = "Leave handbook of Example Ltd, the first one, which knew 29 days of leave"
REFERENCE = {"type": "kv_document", "document": "handbook@2"}


class Proxy:
    """Two versions of a handbook; ``asked`` are the paths of the requests."""

    def __init__(
        self,
        resident: int = 40,
        texts: tuple[str, ...] = (OLD, HANDBOOK),
        spellings: tuple[str, ...] = (),
        counts: Callable[[str], str] | None = lambda text: text,
    ) -> None:
        """``counts``: what its template makes of a system message, of which each character is a token; None where it
        counts no tokens."""
        self.asked: list[str] = []
        self.spellings = spellings
        self.counts = counts
        self.texts = texts
        self.resident = resident
        self.client = KVProxyClient("http://proxy.test", transport=httpx.MockTransport(self._answer))

    def _info(self, version: int) -> dict[str, Any]:
        text = self.texts[version - 1]
        return {
            "id": "handbook",
            "version": version,
            "current": version == len(self.texts),
            "etag": hashlib.sha256(text.encode()).hexdigest(),
            "characters": len(text),
            "tokens": 45,
            "spellings": [{"name": name} for name in self.spellings],
            "framings": [{"name": "system", "tokens": 48, "resident_tokens": self.resident, "bytes": 1}],
        }

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if request.url.path == "/tokenize":
            if self.counts is None:
                return httpx.Response(404, json={"error": {"message": "no such model"}})
            parts = json.loads(request.content)["messages"][0]["content"]
            said = self.counts("\n".join(part["text"] for part in parts))
            return httpx.Response(200, json={"tokens": [0, *map(ord, said)]})
        if request.url.path.endswith("/documents"):
            return httpx.Response(200, json={"data": [self._info(v + 1) for v in range(len(self.texts))]})
        version = int(request.url.path.rpartition("@")[2])
        return httpx.Response(200, json={**self._info(version), "text": self.texts[version - 1]})


def codes(explanation: Explanation) -> list[str]:
    return [finding.code for finding in explanation.findings]


def system(*parts: Any) -> list[BaseMessage]:
    return [SystemMessage(list(parts)), HumanMessage("How many days?")]


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def test_the_layout_of_this_package_has_nothing_to_improve() -> None:
    explanation = explain_prompt(
        place_documents([SystemMessage("Be brief."), HumanMessage("Why?")], ["handbook"])
    )
    assert explanation.ok and codes(explanation) == []
    assert str(explanation) == (
        "nothing to improve; 1 document\n  message 0, part 0: handbook, by reference, no proxy was asked"
    )


@pytest.mark.parametrize(
    ("said", "code", "place"),
    [
        ("It is 2026-11-22T09:30:00Z.", "timestamp", "2026-11-22T09:30:00Z"),
        ("Now: 2026-11-22 09:30", "timestamp", "2026-11-22 09:30"),
        ("now=1795340000", "timestamp", "1795340000"),
        ("Today is November 22, 2026.", "date", "November 22, 2026"),
        ("Today is 22 Nov 2026.", "date", "22 Nov 2026"),
        ("Today is 11/22/2026.", "date", "11/22/2026"),
        ("The time is 9:30 pm", "time", "9:30 pm"),
        ("You serve 123E4567-e89b-42d3-a456-426614174000.", "uuid", "123E4567-e89b-42d3-a456-426614174000"),
        ("trace 4bf92f3577b34da6a3ce929d0e0e4736", "uuid", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("This is request #17", "counter", "request #17"),
        ("session id: 8123", "counter", "session id: 8123"),
        ("step 3 of 10", "counter", "step 3 of 10"),
    ],
)
def test_what_changes_with_every_prompt_is_found_before_a_document(said: str, code: str, place: str) -> None:
    explanation = explain_prompt(system(text(said), REFERENCE))
    assert codes(explanation) == ["text-first", code]
    assert f'"{place}"' in explanation.findings[1].what
    assert not explanation.ok


@pytest.mark.parametrize(
    "said",
    [
        "Section 3.4.5 of RFC 9211, pages 12-14",
        "Step 1: read. Step 2: answer in 3 sentences.",
        "30 days, 2026 or 1/2 of 100,000 at 127.0.0.1:8321",
        "deadbeefdeadbeefdeadbeefdeadbeef is no id, 12345678901234567890123456789012 neither",
        "a ratio of 16:9, verse 3:161, version 10.20.30",
    ],
)
def test_numbers_that_stay_are_left_alone(said: str) -> None:
    assert volatile(said) == []


def test_behind_the_documents_anything_may_change() -> None:
    now = text("It is 2026-11-22T09:30:00Z, request 17.")
    assert codes(explain_prompt([*system(REFERENCE, now), HumanMessage("And at 10:31?")])) == []


def test_in_a_document_a_timestamp_is_a_warning_and_a_date_a_note() -> None:
    long = "words of a document " * 60
    explanation = explain_prompt(system(text("Fetched 2026-11-22T09:30:00Z. Issued 2020-01-02. " + long)))
    assert [(f.level, f.code) for f in explanation.findings] == [("warning", "timestamp"), ("note", "date")]
    deep = explain_prompt(system(text(long + " 2026-11-22T09:30:00Z")))
    assert codes(deep) == []


def test_documents_behind_messages_and_between_texts() -> None:
    marked = text("A short text", prompt_cache_breakpoint={"mode": "explicit"})
    messages = [SystemMessage("Be brief."), HumanMessage([text("Read:"), REFERENCE, text("and"), REFERENCE])]
    found = explain_prompt(messages)
    assert codes(found) == ["messages-first", "text-first", "text-between", "not-at-head"]
    assert [f.message for f in found.findings] == [1, 1, 1, 1]
    assert found.findings[-1].level == "note"
    with_tools = explain_prompt(messages, tools=[{"name": "f", "description": "", "parameters": {}}])
    assert {f.level for f in with_tools.findings} == {"warning"}
    assert len(explain_prompt(system(text("Another"), marked, text("Be brief."))).documents) == 2


@pytest.mark.parametrize("prompt", ["Hello", [("system", "Be brief."), ("human", "Hello")]])
def test_a_prompt_without_documents_says_so(prompt: Any) -> None:
    explanation = explain_prompt(prompt)
    assert codes(explanation) == ["no-documents"] and explanation.ok
    assert explain_prompt(ChatPromptTemplate.from_messages(["Hello"]).invoke({})).ok


def test_a_published_document_is_known_by_its_text_without_fetching_it() -> None:
    proxy = Proxy()
    explanation = explain_prompt(
        [SystemMessage(HANDBOOK + "\nBe brief."), HumanMessage("Why?")], client=proxy.client
    )
    (document,) = explanation.documents
    assert codes(explanation) == [], "the date in a published text is the same in every prompt"
    assert (document.status, document.document, document.tokens, document.resident) == (
        "current",
        "handbook@2",
        45,
        40,
    )
    assert proxy.asked == ["/kv/v1/documents"]


def test_a_published_document_is_known_without_the_white_space_behind_it() -> None:
    proxy = Proxy()
    explanation = explain_prompt([SystemMessage(HANDBOOK.strip())], client=proxy.client)
    assert explanation.documents[0].status == "current"
    assert proxy.asked == ["/kv/v1/documents"]


FRONT, MARKED, WINDOWS = f"\n\n {HANDBOOK}\n", f"\ufeff{HANDBOOK}", HANDBOOK.replace("\n", "\r\n")
SPELLINGS = [
    (FRONT, HANDBOOK, "stripped", "the white space at its front"),
    (HANDBOOK, FRONT, "", "the white space at its front"),
    (MARKED, HANDBOOK, "no-bom", "a byte order mark at its front"),
    (HANDBOOK, MARKED, "", "a byte order mark at its front"),
    (WINDOWS, HANDBOOK, "lf", "its line ends"),
    (HANDBOOK, WINDOWS, "", "its line ends"),
    (f"\ufeff\n{WINDOWS}", HANDBOOK, "stripped+lf", "a byte order mark at its front"),
    (HANDBOOK, HANDBOOK.replace("Leave ", "Leave  "), "", "white space within it"),
]


@pytest.mark.parametrize(("published", "sent", "spelling", "cause"), SPELLINGS)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_another_spelling_is_found_only_where_the_proxy_says_so(
    published: str, sent: str, spelling: str, cause: str, asynchronous: bool
) -> None:
    def explained(proxy: Proxy) -> Explanation:
        prompt = system(text(sent))
        if asynchronous:
            return asyncio.run(aexplain_prompt(prompt, client=proxy.client))
        return explain_prompt(prompt, client=proxy.client)

    texts = (OLD, published)
    (document,) = (missed := explained(Proxy(texts=texts))).documents
    assert codes(missed) == ["whitespace"] and not missed.ok
    assert f"only in {cause}, first at character" in missed.findings[0].what
    assert document.found is not None and document.found < 45
    assert f"; {document.found} of its 45 tokens are found again" in missed.findings[0].what
    (uncounted,) = explained(Proxy(texts=texts, counts=None)).findings
    assert uncounted.code == "whitespace" and "found again" not in uncounted.what
    if spelling:
        assert explained(Proxy(texts=texts, spellings=("published", spelling))).ok
    told = explained(Proxy(texts=texts, counts=lambda said: "".join(said.replace("\ufeff", "").split())))
    assert told.ok and told.documents[0].status == "current", "a template for which it makes no difference"


def test_the_published_text_itself_has_nothing_to_improve() -> None:
    for published in (FRONT, MARKED, WINDOWS):
        for by in ("text", "reference"):
            document = Document(published, metadata={"kvproxy_document": "handbook@2"})
            prompt = place_documents([], [document], by=by)  # type: ignore[arg-type]  # one of the two
            assert explain_prompt(prompt, client=Proxy(texts=(OLD, published)).client).ok


def test_white_space_that_changed_is_told_from_a_text_that_changed() -> None:
    client = Proxy().client
    windows = explain_prompt(system(text(HANDBOOK.replace("\n", "\r\n"))), client=client)
    assert codes(windows) == ["whitespace"]
    assert r'first at character 29: "\r\n\r\nEvery' in windows.findings[0].what
    edited = explain_prompt(system(text(HANDBOOK.replace("form 7", "form 8"))), client=client)
    assert codes(edited)[0] == "changed"
    assert '"8." for "7."' in edited.findings[0].what and edited.documents[0].document == "handbook@2"


HEADER = "x-anthropic-billing-header: cc_version=2.1.197; cch=83af1;"


def test_a_clients_header_is_named_unless_the_proxy_keeps_it_out() -> None:
    said = system(text(HEADER), text("You are an agent."))
    explanation = explain_prompt(said)
    assert codes(explanation) == ["client-metadata", "no-documents"] and not explanation.ok
    assert (
        "a client-metadata" in explanation.findings[0].what
        and "near the start" in explanation.findings[0].what
    )
    before = explain_prompt(
        system(text(f"{HEADER}\nYou are an agent."), text(HANDBOOK)), client=Proxy().client
    )
    assert "client-metadata" in codes(before)
    kept_out = Proxy(counts=lambda said: said.replace(HEADER, "").lstrip())
    assert codes(explain_prompt(said, client=kept_out.client)) == ["no-documents"]


@pytest.mark.parametrize(
    "said",
    ["Today is Saturday, November 29.", "It is Saturday, the 29th of November 2026.", "Date: 2026-11-29"],
)
def test_a_date_in_the_first_line_is_named_where_there_is_no_document(said: str) -> None:
    explanation = explain_prompt(
        [SystemMessage(f"{said}\nBe brief."), HumanMessage("What was on 2024-05-01?")]
    )
    assert codes(explanation) == ["date", "no-documents"]
    assert "near the start of the prompt" in explanation.findings[0].what


def test_a_document_inside_other_text_is_not_found_there() -> None:
    inside = explain_prompt([SystemMessage(f"It is 09:30. Context: {HANDBOOK}")], client=Proxy().client)
    assert codes(inside) == ["time", "text-first"]
    assert (inside.documents[0].status, inside.documents[0].offset) == ("inside", 22)


def test_versions_that_are_old_unknown_or_not_kept() -> None:
    names = ("handbook@1", "handbook@9", "manual", "handbook")
    prompt = system(*({"type": "kv_document", "document": name} for name in names))
    explanation = explain_prompt(prompt, client=Proxy(resident=0).client)
    assert [(f.level, f.code) for f in explanation.findings] == [
        ("error", "unknown-document"),
        ("error", "unknown-document"),
        ("warning", "older-version"),
        ("note", "not-resident"),
    ]
    assert "handbook@2 is published" in explanation.findings[0].what
    assert "handbook@1 is not the current version: that is handbook@2" in str(explanation)


def test_a_long_text_that_is_not_published_is_a_note() -> None:
    explanation = explain_prompt(system(text("other words " * 100)), client=Proxy().client)
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
        client = Proxy().client
        assert asyncio.run(aexplain_prompt(prompt, client=client)) == explain_prompt(prompt, client=client)
    assert asyncio.run(aexplain_prompt(system(REFERENCE))) == explain_prompt(system(REFERENCE))


def test_where_a_prompt_departs_from_the_one_before() -> None:
    before = explain_prompt(system(text("Day one."), REFERENCE))
    assert codes(explain_prompt(system(text("Day two."), REFERENCE), previous=before)) == [
        "text-first",
        "diverged",
    ]
    assert codes(explain_prompt(system(text("Day one."), REFERENCE), previous=before)) == ["text-first"]
    grown = [*system(REFERENCE, text("Be brief.")), HumanMessage("And you?")]
    assert codes(explain_prompt(grown, previous=system(REFERENCE, text("Be rude.")))) == []
    assert codes(explain_prompt(system(REFERENCE), previous=[HumanMessage("Hi")])) == ["diverged"]


def test_the_same_documents_in_another_order() -> None:
    other = {"type": "kv_document", "document": "manual"}
    explanation = explain_prompt(system(REFERENCE, other), previous=system(other, REFERENCE))
    assert codes(explanation) == ["documents-order"]
    assert '"document handbook@2" for "document manual"' in explanation.findings[0].what


@tool
def days(employee: str) -> str:
    """Days of leave."""
    return "12"


def test_tools_that_change_from_prompt_to_prompt() -> None:
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    ask: dict[str, Any] = {
        "type": "function",
        "function": {"name": "ask", "description": "Ask.", "parameters": schema},
    }
    turned = {"function": dict(reversed(ask["function"].items())), "type": "function"}
    other = {"type": "function", "function": {**ask["function"], "description": "Ask!"}}
    before = explain_prompt(system(REFERENCE), tools=[ask, days])

    def now(*tools: Any, messages: list[BaseMessage] | None = None) -> list[tuple[str, str]]:
        explanation = explain_prompt(messages or system(REFERENCE), tools=tools, previous=before)
        return [(f.level, f.code) for f in explanation.findings if f.code.startswith("tools")]

    assert now(ask, days) == []
    assert now(days, ask) == [("warning", "tools-order")]
    assert now(turned, days) == [("note", "tools-shape")]
    assert now(other, days) == [("note", "tools-changed")]
    assert now(ask) == [("note", "tools-changed")]
    assert now(other, days, messages=[HumanMessage([REFERENCE])]) == [("warning", "tools-changed")]
