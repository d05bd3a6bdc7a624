"""Documents at the head of the system message: one order, once each, whatever is done around them."""

from __future__ import annotations

import itertools
import json
from typing import Any

import httpx
import pytest
from langchain_core.documents import Document
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage
from langchain_core.prompts import (
    ChatPromptTemplate,
    HumanMessagePromptTemplate,
    PromptTemplate,
    SystemMessagePromptTemplate,
)
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_openai import ChatOpenAI

from langchain_kvproxy import DocumentLayout, document_parts, document_prompt, place_documents, text_digest

MARK = {"prompt_cache_breakpoint": {"mode": "explicit"}}
LEAVE = Document("Every employee has 30 days of leave", id="leave")
TRAVEL = Document("Trains only, {never} planes.", id="travel", metadata={"kvproxy_document": "travel@2"})
CONVERSATION: list[BaseMessage] = [SystemMessage("Be brief.", id="s"), HumanMessage("How many days?")]


def contents(messages: list[BaseMessage]) -> Any:
    return messages[0].content


def test_documents_stand_before_the_instructions_and_the_last_is_marked() -> None:
    placed = place_documents(CONVERSATION, [TRAVEL, LEAVE])
    assert contents(placed) == [
        {"type": "text", "text": "Every employee has 30 days of leave\n"},
        {"type": "kv_document", "document": "travel@2", **MARK},
        {"type": "text", "text": "Be brief."},
    ]
    assert placed[0].id == "s" and placed[1:] == CONVERSATION[1:]
    assert CONVERSATION[0].content == "Be brief."


@pytest.mark.parametrize("by", ["text", "reference"])
def test_every_order_of_the_same_documents_gives_the_same_messages(by: Any) -> None:
    documents: list[Document | str] = [LEAVE, TRAVEL, "handbook", "A text that is no name", LEAVE]
    layouts = {
        json.dumps(contents(place_documents(CONVERSATION, order, by=by)))
        for order in itertools.permutations(documents)
    }
    assert len(layouts) == 1


@pytest.mark.parametrize("first", ["text", "reference"])
@pytest.mark.parametrize("then", ["text", "reference"])
def test_placing_again_changes_nothing_but_the_form(first: Any, then: Any) -> None:
    documents: list[Document | str] = [LEAVE, TRAVEL, "handbook"]
    once = place_documents(CONVERSATION, documents, by=first)
    assert place_documents(once, documents[::-1], by=then) == place_documents(
        CONVERSATION, documents, by=then
    )


def test_documents_given_later_stand_before_those_that_are_there() -> None:
    both = place_documents(place_documents(CONVERSATION, [LEAVE]), ["handbook"])
    assert [part.get("document", part.get("text")) for part in contents(both)] == [
        "handbook",
        "Every employee has 30 days of leave\n",
        "Be brief.",
    ]


def test_a_system_message_is_made_where_there_is_none() -> None:
    placed = place_documents([HumanMessage("Hi")], "handbook")
    assert placed == [
        SystemMessage([{"type": "kv_document", "document": "handbook", **MARK}]),
        HumanMessage("Hi"),
    ]
    assert place_documents([], ["handbook"]) == placed[:1]
    developer = ChatMessage(content="Be brief.", role="developer")
    assert len(place_documents([developer], ["handbook"])) == 1


def test_without_documents_nothing_happens() -> None:
    assert place_documents(CONVERSATION, []) == CONVERSATION


def test_marks_can_be_left_out_and_the_most_shared_text_goes_first() -> None:
    parts = document_parts([LEAVE, TRAVEL], shared={text_digest(TRAVEL.page_content): 9}, mark=False)
    assert parts == [
        {"type": "kv_document", "document": "travel@2"},
        {"type": "text", "text": parts[1]["text"]},
    ]


@pytest.mark.parametrize("by", ["text", "reference"])
def test_blank_pages_are_left_out(by: Any) -> None:
    pages = [Document(" "), LEAVE, "", Document("", metadata={"page": 3}), TRAVEL]
    assert place_documents(CONVERSATION, pages, by=by) == place_documents(
        CONVERSATION, [LEAVE, TRAVEL], by=by
    )
    assert place_documents(CONVERSATION, pages[:1], by=by) == CONVERSATION
    assert document_parts(pages[:1], by=by) == []


def test_braces_in_documents_are_no_template() -> None:
    prompt = document_prompt("Answer in {language}.", by="text")
    assert prompt.input_variables == ["documents", "language", "question"]
    value = prompt.invoke({"documents": [TRAVEL], "language": "English", "question": "{which}?"})
    system, user = value.to_messages()
    assert "{never} planes" in system.content[0]["text"]  # type: ignore[index]  # a list here
    assert system.content[-1] == {"type": "text", "text": "Answer in English."}
    assert user == HumanMessage("{which}?")


async def test_it_is_a_runnable_in_a_chain() -> None:
    retriever = RunnableLambda[str, list[Document]](lambda question: [TRAVEL, LEAVE])
    chain = {"documents": retriever, "question": RunnablePassthrough()} | document_prompt("Be brief.")
    value = chain.invoke("How many days?")
    assert value.to_messages()[1:] == [HumanMessage("How many days?")]
    assert await chain.ainvoke("How many days?") == value
    assert "Every employee" in value.to_string()


def test_it_stands_inside_a_chat_prompt_template() -> None:
    prompt = ChatPromptTemplate.from_messages(
        [
            document_prompt("Answer in {language}.", question=None, documents=["handbook"]),
            ("placeholder", "{history}"),
            ("human", "{question}"),
        ]
    )
    assert sorted(prompt.input_variables) == ["language", "question"]
    given = {"language": "English", "history": [AIMessage("Hello")], "question": "How many?"}
    system, said, user = prompt.invoke(given).to_messages()
    assert system.content[0] == {"type": "kv_document", "document": "handbook", **MARK}
    assert (said, user) == (AIMessage("Hello"), HumanMessage("How many?"))


def test_it_takes_a_whole_chat_prompt_template() -> None:
    inner = ChatPromptTemplate.from_messages([("system", "Be {how}."), ("human", "{question}")])
    prompt = document_prompt(inner, documents_key="context")
    messages = prompt.invoke({"context": ["handbook"], "how": "brief", "question": "Why?"}).to_messages()
    assert messages == place_documents([SystemMessage("Be brief."), HumanMessage("Why?")], ["handbook"])
    assert (
        prompt.partial(context="handbook").invoke({"how": "brief", "question": "Why?"}).to_messages()
        == messages
    )


def test_a_template_that_places_the_documents_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="another documents_key"):
        document_prompt("Use this: {documents}")


def test_a_missing_input_is_named() -> None:
    with pytest.raises(KeyError, match="documents"):
        document_prompt().invoke({"question": "Why?"})


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_it_can_be_stored_and_loaded() -> None:
    prompt = document_prompt("Be brief.", documents=[LEAVE, "handbook"], by="text", mark=False)
    stored = dumpd(prompt)
    assert stored["id"] == ["langchain_kvproxy", "prompts", "DocumentLayout"]
    parts: list[Any] = [DocumentLayout, Document, ChatPromptTemplate, PromptTemplate]
    allowed = [*parts, SystemMessagePromptTemplate, HumanMessagePromptTemplate]
    again = load(stored, valid_namespaces=["langchain_kvproxy"], allowed_objects=allowed)
    assert again.invoke({"question": "Why?"}) == prompt.invoke({"question": "Why?"})


def test_it_prints_where_the_documents_go() -> None:
    assert document_prompt("Be brief.").pretty_repr().startswith("{documents}\n\n")


def test_the_stock_client_sends_all_parts_as_they_are() -> None:
    sent: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "30"}}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        return httpx.Response(200, json={**body, "usage": usage})

    placed = place_documents(CONVERSATION, [TRAVEL, LEAVE])
    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        model = ChatOpenAI(model="m", api_key="none", base_url="http://proxy.test/v1", http_client=http)  # type: ignore[arg-type]  # a plain str is taken too
        assert model.invoke(placed).content == "30"
    assert sent[0]["messages"][0] == {"role": "system", "content": contents(placed)}
