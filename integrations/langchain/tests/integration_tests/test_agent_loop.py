"""An agent's loop against a real proxy: every step finds the documents, and the messages of the step before."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import ModelRequest, ModelResponse
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from langchain_kvproxy import KVDocumentsMiddleware
from langchain_kvproxy._client import KVProxyClient
from langchain_kvproxy.chat_models import ChatKVProxy

STEPS = 3


@tool
def days_of_leave(employee: str) -> str:
    """Days of leave that an employee has left."""
    return f"{employee} has 12 days of leave left"


class ForcedTools(AgentMiddleware[Any, Any, Any]):
    """The bundled model would not choose a tool by itself: this calls one at each step but the last."""

    def _forced(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        said = sum(isinstance(message, AIMessage) for message in request.messages)
        return request.override(tool_choice="none" if said >= STEPS - 1 else "days_of_leave")

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        return handler(self._forced(request))

    async def awrap_model_call(self, request: ModelRequest[Any], handler: Any) -> ModelResponse[Any]:
        response: ModelResponse[Any] = await handler(self._forced(request))
        return response


@pytest.fixture
def environment() -> dict[str, str]:
    missing = [name for name in ("KVPROXY_BASE_URL", "KVPROXY_MODEL") if not os.environ.get(name)]
    assert not missing, f"set {' and '.join(missing)} to a running proxy and its model"
    return {"base_url": os.environ["KVPROXY_BASE_URL"], "model": os.environ["KVPROXY_MODEL"]}


@pytest.fixture
def handbook(environment: dict[str, str]) -> Iterator[Document]:
    """A text that no other test has sent, published under an id of its own."""
    name = f"handbook-{uuid.uuid4().hex[:8]}"
    text = "\n".join(
        f"Rule {i} of {name}: whoever has worked {i} years has {i + 20} days of leave" for i in range(40)
    )
    with KVProxyClient(environment["base_url"]) as client:
        published = client.publish(name, text)["info"]
        yield Document(text, id=name, metadata={"kvproxy_document": f"{name}@{published['version']}"})
        client.delete(name)


def chat_kvproxy(environment: dict[str, str]) -> ChatKVProxy:
    options: dict[str, Any] = {**environment, "temperature": 0, "max_tokens": 60}
    return ChatKVProxy(**options)


def chat_openai(environment: dict[str, str]) -> ChatOpenAI:
    root = environment["base_url"].rstrip("/").removesuffix("/v1")
    options: dict[str, Any] = {"temperature": 0, "max_tokens": 60}
    options |= {"base_url": f"{root}/v1", "api_key": os.environ.get("KVPROXY_API_KEY") or "none"}
    return ChatOpenAI(model=environment["model"], **options)


def said(result: dict[str, Any]) -> list[AIMessage]:
    return [message for message in result["messages"] if isinstance(message, AIMessage)]


def cached(result: dict[str, Any]) -> list[int]:
    usages = [message.usage_metadata for message in said(result)]
    assert all(usages)
    return [usage["input_token_details"]["cache_read"] for usage in usages if usage]


@pytest.mark.parametrize("model", [chat_kvproxy, chat_openai])
@pytest.mark.parametrize("by", ["reference", "text"])
def test_each_step_of_the_loop_hits_and_reads_more(
    environment: dict[str, str], handbook: Document, model: Callable[[dict[str, str]], Any], by: Any
) -> None:
    with KVProxyClient(environment["base_url"]) as client:
        tokens = client.document(handbook.metadata["kvproxy_document"])["tokens"]
    middleware = [ForcedTools(), KVDocumentsMiddleware([handbook], by=by)]
    agent = create_agent(
        model(environment), [days_of_leave], system_prompt="Be brief.", middleware=middleware
    )
    result = agent.invoke({"messages": [HumanMessage("How many days of leave does Ada have left?")]})
    steps = cached(result)
    assert len(steps) == STEPS
    assert steps[0] >= tokens - 32, "the first step must find the published document"
    assert steps == sorted(set(steps)), "each step must also read what the step before computed"
    assert all(m.tool_calls for m in said(result)[:-1])
    assert not any("Rule 1 of" in str(message.content) for message in result["messages"])


async def test_async_with_a_retriever_asked_once_per_question(
    environment: dict[str, str], handbook: Document
) -> None:
    asked: list[str] = []

    async def retrieve(question: str) -> list[Document]:
        asked.append(question)
        return [handbook]

    def retrieve_blocking(question: str) -> list[Document]:
        raise AssertionError("the async agent must ask the retriever asynchronously")

    retriever = RunnableLambda[str, list[Document]](retrieve_blocking, retrieve)
    agent = create_agent(
        chat_kvproxy(environment),
        [days_of_leave],
        middleware=[ForcedTools(), KVDocumentsMiddleware(retriever=retriever, prompt_cache_key="leave")],
    )
    result = await agent.ainvoke({"messages": [HumanMessage("How many days does Ada have?")]})
    steps = cached(result)
    assert len(steps) == STEPS and steps[0] > 400 and steps == sorted(set(steps))
    assert asked == ["How many days does Ada have?"]
    assert set(result) == {"messages"}
