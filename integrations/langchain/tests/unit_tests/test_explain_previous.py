"""explain_prompt beside an earlier prompt: the first difference, the order of documents, the tools."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.tools import tool

from langchain_kvproxy import explain_prompt

from .handbook_proxy import REFERENCE, codes, system, text


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
