"""explain_prompt without a proxy: the place of documents, and texts that change with every prompt."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate

from langchain_kvproxy import explain_prompt, place_documents
from langchain_kvproxy._volatile import volatile

from .handbook_proxy import HANDBOOK, REFERENCE, HandbookProxy, codes, system, text


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
        system(text(f"{HEADER}\nYou are an agent."), text(HANDBOOK)), client=HandbookProxy().client
    )
    assert "client-metadata" in codes(before)
    kept_out = HandbookProxy(counts=lambda said: said.replace(HEADER, "").lstrip())
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
