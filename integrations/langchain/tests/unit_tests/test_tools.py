"""A retriever as a tool: its documents go to the head of the prompt, their names stay in its answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import RunnableLambda

from langchain_kvproxy import ChatKVProxy, KVDocumentsMiddleware, create_document_tool, place_documents
from langchain_kvproxy._tool_documents import MOVED, lifted

from .fake_chat import FakeChat, running
from .test_middleware import Recorder

LEAVE = Document(
    "Every employee has 30 days of leave", metadata={"source": "/home/ada/docs/leave.md", "title": "L"}
)
TRAVEL = Document(
    "Trains only, no planes.", metadata={"source": "docs/travel.md", "kvproxy_document": "travel@2"}
)
SICK = Document("Call before nine", id="sick")
FOUND = {"leave": [TRAVEL, LEAVE, Document(" "), LEAVE], "sick": [SICK, LEAVE], "nothing": []}


def tool(**options: Any) -> Any:
    retriever = RunnableLambda(lambda query: FOUND[query])
    return create_document_tool(retriever, "rules", "Looks up the rules.", **options)


def answer(query: str, id: str = "c1", **options: Any) -> ToolMessage:
    call = {"type": "tool_call", "id": id, "name": "rules", "args": {"query": query}}
    message = tool(**options).invoke(call)
    assert isinstance(message, ToolMessage)
    return message


def conversation(*answers: ToolMessage) -> list[BaseMessage]:
    said: list[BaseMessage] = [SystemMessage("Be brief."), HumanMessage("How many days?")]
    for message in answers:
        args = {"query": "x"}
        said += [
            AIMessage("", tool_calls=[{"name": "rules", "args": args, "id": message.tool_call_id}]),
            message,
        ]
    return said


def texts(message: BaseMessage) -> list[str]:
    assert isinstance(message.content, list)
    return [part.get("document") or part["text"] for part in message.content if isinstance(part, dict)]


async def test_each_document_is_a_part_in_canonical_order_and_names_stand_behind() -> None:
    message = answer("leave", metadata=["title"])
    assert texts(message) == [
        "Every employee has 30 days of leave\n",
        "Trains only, no planes.\nEnd of document\n",
        "2 documents were found:\n"
        '1. docs/leave.md (title: L), which begins "Every employee has 30 days of leave"\n'
        '2. travel, which begins "Trains only, no planes."',
    ]
    call = {"type": "tool_call", "id": "c1", "name": "rules", "args": {"query": "leave"}}
    again = await tool(metadata=["title"]).ainvoke(call)
    assert (again.content, again.artifact) == (message.content, message.artifact)
    assert [document.page_content for document in message.artifact] == [
        LEAVE.page_content,
        TRAVEL.page_content,
    ]
    assert "kvproxy_order" not in LEAVE.metadata, "what was found is not changed"


def test_nothing_found_is_said() -> None:
    message = answer("nothing")
    assert (message.content, message.artifact) == ("No document was found.", [])
    assert lifted(conversation(message)) == (conversation(message), [])


def test_a_later_calls_documents_go_behind_and_move_none() -> None:
    first, second = answer("leave", "c1"), answer("sick", "c2")
    messages, found = lifted(conversation(first, second))
    assert [d.page_content for d in found] == [LEAVE.page_content, TRAVEL.page_content, SICK.page_content]
    assert found[:2] == lifted(conversation(first))[1]
    for message in (messages[3], messages[5]):
        assert texts(message)[0] == MOVED and "found:\n1. " in texts(message)[1] and len(message.content) == 2
    assert lifted(messages) == (messages, []), "only once"
    assert first.content == answer("leave").content, "nothing given is modified"


@pytest.mark.filterwarnings("ignore:The function `load")
def test_after_a_checkpoint_they_are_found_again() -> None:
    kept = loads(dumps(conversation(answer("leave"))), allowed_objects="core")
    assert lifted(kept) == lifted(conversation(answer("leave")))


@pytest.mark.parametrize(
    "message",
    [
        answer("leave", place="answer"),
        ToolMessage("30 days", tool_call_id="c1", artifact=[LEAVE]),
        ToolMessage([{"type": "text", "text": "30"}], tool_call_id="c1", artifact=answer("leave").artifact),
        ToolMessage("30 days", tool_call_id="c1", artifact={"rows": 3}),
        answer("leave").model_copy(update={"artifact": None}),
    ],
)
def test_what_stays_in_the_answer(message: ToolMessage) -> None:
    """Messages that stay: by `place="answer"`; another tool's; a shortened one; one without its artifact."""
    assert lifted(conversation(message)) == (conversation(message), [])


@pytest.fixture
def fake() -> Iterator[FakeChat]:
    with running() as fake:
        yield fake


@pytest.mark.parametrize("by", ["reference", "text"])
def test_a_chat_model_sends_them_at_the_head(fake: FakeChat, by: Any) -> None:
    model = ChatKVProxy(model="m", base_url=fake.url, max_retries=0, documents=["handbook"], documents_by=by)
    model.invoke(conversation(answer("leave")))
    system, _, _, said = fake.bodies[0]["messages"]
    head = [part.get("document") or part["text"] for part in system["content"]]
    travel = "travel@2" if by == "reference" else "Trains only, no planes.\nEnd of document\n"
    assert head == ["handbook", "Every employee has 30 days of leave\n", travel, "Be brief."]
    told = [part["text"] for part in said["content"]]
    assert told[0] == MOVED and "Every employee has 30 days of leave\n" not in told


def test_the_middleware_does_so_for_any_model() -> None:
    model = Recorder(tool_name="rules", tool_args={"query": "leave"})
    middleware = KVDocumentsMiddleware(["handbook"], by="text")
    agent = create_agent(model, [tool()], system_prompt="Be brief.", middleware=[middleware])
    result = agent.invoke({"messages": [HumanMessage("How many?")]})
    first, second = model.sent
    assert first[0] == place_documents([SystemMessage("Be brief.")], ["handbook"])[0]
    assert texts(second[0])[:2] == ["handbook", "Every employee has 30 days of leave\n"]
    assert texts(second[-1])[0] == MOVED
    assert texts(result["messages"][2])[0] == "Every employee has 30 days of leave\n", (
        "the history keeps them"
    )


def test_the_middleware_brings_the_tool_along() -> None:
    model = Recorder(tool_name="rules", tool_args={"query": "sick"})
    agent = create_agent(model, middleware=[KVDocumentsMiddleware(tools=[tool()], by="text")])
    agent.invoke({"messages": [HumanMessage("How many?")]})
    first, second = model.sent
    assert [message.type for message in first] == ["human"], "nothing was found yet"
    assert texts(second[0]) == ["Every employee has 30 days of leave\n", "Call before nine\n"]


def test_a_place_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'head' or 'answer'"):
        tool(place="front")
