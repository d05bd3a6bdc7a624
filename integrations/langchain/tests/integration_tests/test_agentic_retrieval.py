"""An agent that looks documents up with a tool: the next question finds them again."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import ModelResponse
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool, create_retriever_tool

from langchain_kvproxy import KVDocumentsMiddleware, create_document_tool

from .test_agent_loop import chat_kvproxy, chat_openai, environment

logger = logging.getLogger(__name__)

__all__ = ["environment"]
QUESTIONS = ("How many days of leave do I have?", "Who may take a train, and when, and what does it cost me?")


class Shelf(BaseRetriever):
    """The same four documents for each query, in the order of their last question's relevance."""

    documents: list[Document]
    asked: int = 0

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        self.asked += 1
        turned = self.asked % len(self.documents)
        return [*self.documents[turned:], *self.documents[:turned]]


def shelf() -> Shelf:
    """Of texts that no request has sent yet."""
    name = uuid.uuid4().hex[:8]
    texts = (
        "\n".join(
            f"Rule {i} of part {part} of {name}: after {i} years it is {i + 20} days" for i in range(12)
        )
        for part in range(4)
    )
    return Shelf(
        documents=[Document(text, metadata={"source": f"rules/{i}.md"}) for i, text in enumerate(texts)]
    )


class OneCall(AgentMiddleware[Any, Any, Any]):
    """The bundled model neither chooses a tool nor ends a query: this calls it once for each question."""

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        if not isinstance(request.messages[-1], HumanMessage):
            return handler(request.override(tool_choice="none"))
        call = {"name": "rules", "args": {"query": str(request.messages[-1].text)}, "id": "call_1"}
        return ModelResponse(result=[AIMessage("", tool_calls=[call])])


def last_step(agent: Any, question: str) -> tuple[int, int]:
    """Cached and all tokens of the prompt that has the documents in it."""
    said = agent.invoke({"messages": [HumanMessage(question)]})["messages"][-1]
    assert isinstance(said, AIMessage) and said.usage_metadata is not None
    usage = said.usage_metadata
    return usage["input_token_details"].get("cache_read", 0), usage["input_tokens"]


def second_question(model: Any, tool: BaseTool, middleware: list[Any]) -> tuple[int, int]:
    prompt = "Answer from the firm's rules."
    agent = create_agent(
        model.model_copy(update={"max_tokens": 8}),
        [tool],
        system_prompt=prompt,
        middleware=[*middleware, OneCall()],
    )
    for question in QUESTIONS:
        figures = last_step(agent, question)
    return figures


ABOUT = ("rules", "Looks up the firm's rules.")
DOCUMENTS = 4 * 250
"""Tokens, rather fewer than there are."""


def test_the_second_question_reads_what_the_first_has_found(environment: dict[str, str]) -> None:
    model = chat_kvproxy(environment)
    stock = second_question(model, create_retriever_tool(shelf(), *ABOUT), [])
    ours = second_question(model, create_document_tool(shelf(), *ABOUT), [])
    logger.info("cached of prompt: create_retriever_tool %s, create_document_tool %s", stock, ours)
    assert stock[0] < DOCUMENTS / 2, "what stands behind another question is computed again"
    assert ours[0] > DOCUMENTS and ours[0] > 0.8 * ours[1]


def test_so_it_does_with_another_chat_model_and_the_middleware(environment: dict[str, str]) -> None:
    middleware = KVDocumentsMiddleware("A text that stands before all", by="text")
    cached, tokens = second_question(
        chat_openai(environment), create_document_tool(shelf(), *ABOUT), [middleware]
    )
    assert cached > DOCUMENTS and cached > 0.8 * tokens
