"""The package against the real proxy, which has published ``handbook``.

No postponed annotations here: LlamaIndex reads a tool's annotations as they are.
"""

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from llama_index.core import ChatPromptTemplate
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import ContextChatEngine
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import Document, NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import FunctionTool
from llama_index.llms.kvproxy import (
    CanonicalOrder,
    KVProxy,
    KVProxyClient,
    KVProxyUsage,
    context_template,
    document_id,
    document_messages,
    publish_nodes,
    published_documents,
    qa_template,
)
from pydantic import BaseModel, Field

SETTINGS: dict[str, Any] = {"max_tokens": 12, "temperature": 0.0, "max_retries": 0}


class Ranked(BaseRetriever):
    """Each question in another ranking."""

    def __init__(self, nodes: list[TextNode]) -> None:
        self.nodes = nodes
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        self.nodes = [*self.nodes[1:], self.nodes[0]]
        return [NodeWithScore(node=node, score=1 / (i + 1)) for i, node in enumerate(self.nodes)]


class Verdict(BaseModel):
    """A verdict on the kind of a text."""

    kind: Literal["license", "novel", "recipe"]
    grade: int = Field(ge=1, le=5)


@pytest.fixture
def usage() -> Iterator[KVProxyUsage]:
    usage, dispatcher = KVProxyUsage(), get_dispatcher()
    dispatcher.add_event_handler(usage)
    yield usage
    dispatcher.event_handlers.remove(usage)


@pytest.fixture(scope="module")
def handbook() -> Document:
    return published_documents(["handbook"])[0]


def parts(handbook: Document, name: str) -> list[TextNode]:
    """Two nodes as a splitter makes them, with metadata that LlamaIndex would put before the text."""
    text = handbook.text
    places = ((0, 1_500), (1_500, 3_000))
    return [
        TextNode(text=f"{name} {text[a:b]}", start_char_idx=a, metadata={"file_path": f"/srv/{name}.md"})
        for a, b in places
    ]


def test_the_model_knows_its_own_room(client: KVProxyClient) -> None:
    llm = KVProxy()
    assert llm.model == client.served_model()
    assert llm.metadata.context_window == client.context_window() >= 2048


def test_a_published_document_hits(handbook: Document) -> None:
    llm = KVProxy(**SETTINGS)
    messages = document_messages([handbook], "What is this about?")
    whole, last = llm.chat(messages), list(llm.stream_chat(messages))[-1]
    for answer in (whole, last):
        assert 1_000 < answer.additional_kwargs["cached_tokens"] < answer.additional_kwargs["prompt_tokens"]
        assert (
            answer.raw.usage.prompt_tokens_details.cached_tokens == answer.additional_kwargs["cached_tokens"]
        )
    assert whole.message.content == last.message.content


async def test_a_published_document_hits_in_a_loop(handbook: Document) -> None:
    llm = KVProxy(**SETTINGS)
    messages = document_messages([handbook], "What is this about?")
    chunks = [chunk async for chunk in await llm.astream_chat(messages)]
    assert chunks[-1].additional_kwargs["cached_tokens"] > 1_000
    assert (await llm.achat(messages)).message.content == chunks[-1].message.content


def test_a_query_engine_hits_whatever_the_ranking(
    client: KVProxyClient, name: str, handbook: Document, usage: KVProxyUsage
) -> None:
    nodes = parts(handbook, name)
    engine = RetrieverQueryEngine.from_args(
        Ranked(nodes),
        llm=KVProxy(**SETTINGS),
        node_postprocessors=[CanonicalOrder()],
        text_qa_template=qa_template(),
    )
    answer = engine.query("What is this about?")
    assert [n.node.start_char_idx for n in answer.source_nodes] == [0, 1_500]
    first = usage.model_copy()
    assert (first.requests, first.cached_tokens < 100) == (1, True), first
    engine.query("Who wrote it?")
    assert usage.requests == 2
    cached, prompt = usage.cached_tokens - first.cached_tokens, usage.prompt_tokens - first.prompt_tokens
    assert cached > 0.9 * prompt, (cached, prompt)


def test_published_nodes_hit_at_once(
    client: KVProxyClient, name: str, handbook: Document, usage: KVProxyUsage
) -> None:
    nodes = parts(handbook, name)
    try:
        published = publish_nodes(nodes, client, visibility="private")
        assert [p.reference for p in published] == [f"{document_id(n)}@1" for n in nodes]
        engine = RetrieverQueryEngine.from_args(
            Ranked(nodes[:1]),
            llm=KVProxy(**SETTINGS),
            node_postprocessors=[CanonicalOrder()],
            text_qa_template=qa_template(),
        )
        engine.query("What is this about?")
        assert usage.cached_tokens > 0.95 * published[0].tokens > 300, (usage, published)
    finally:
        for node in nodes:
            client.delete(document_id(node))


def test_a_chat_engine_hits_turn_by_turn(name: str, handbook: Document, usage: KVProxyUsage) -> None:
    engine = ContextChatEngine.from_defaults(
        Ranked(parts(handbook, name)),
        llm=KVProxy(**SETTINGS),
        system_prompt="Be brief.",
        context_template=context_template(),
        node_postprocessors=[CanonicalOrder()],
    )
    engine.chat("What is this about?")
    first = usage.model_copy()
    engine.chat("Who wrote it?")
    cached, prompt = usage.cached_tokens - first.cached_tokens, usage.prompt_tokens - first.prompt_tokens
    assert cached > 0.9 * prompt, (first, usage)


def test_tools_and_structured_answers(handbook: Document) -> None:
    def weather(city: Literal["Oslo", "Lima"]) -> str:
        """The weather in a city."""
        return f"rain in {city}"

    llm = KVProxy(**(SETTINGS | {"max_tokens": 80}))
    history = [*document_messages([handbook], "How is the weather in Oslo?")]
    call = llm.chat_with_tools(
        [FunctionTool.from_defaults(weather)], chat_history=history, tool_required=True
    )
    (selected,) = llm.get_tool_calls_from_response(call)
    assert selected.tool_name == "weather" and selected.tool_kwargs["city"] in ("Oslo", "Lima")
    assert call.additional_kwargs["cached_tokens"] > 1_000

    prompt = ChatPromptTemplate(message_templates=[ChatMessage(m.content, role=m.role) for m in history])
    assert isinstance(llm.structured_predict(Verdict, prompt), Verdict)
