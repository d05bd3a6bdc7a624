"""KVDocumentsMiddleware in create_agent's loop, with a model that keeps its requests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelFallbackMiddleware
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.documents import Document
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from pydantic import Field

from langchain_kvproxy import ChatKVProxy, KVDocumentsMiddleware, place_documents

from .fake_chat import running

LEAVE = Document("Every employee has 30 days of leave", id="leave")


@tool
def days(employee: str) -> str:
    """Days of leave."""
    return "12"


class Recorder(BaseChatModel):
    """Calls a tool in answer to a user, and ends after a tool's answer."""

    sent: list[list[BaseMessage]] = Field(default_factory=list)
    options: list[dict[str, Any]] = Field(default_factory=list)
    tool_name: str = "days"
    tool_args: dict[str, Any] = Field(default_factory=lambda: {"employee": "Ada"})

    @property
    def _llm_type(self) -> str:
        return "recorder"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(**kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.sent.append(messages)
        self.options.append(kwargs)
        calls = [{"name": self.tool_name, "args": self.tool_args, "id": f"c{len(self.sent)}"}]
        asked = isinstance(messages[-1], HumanMessage)
        return ChatResult(
            generations=[ChatGeneration(message=AIMessage("ok", tool_calls=calls if asked else []))]
        )


def ask(agent: Any, question: str = "How many?") -> dict[str, Any]:
    result: dict[str, Any] = agent.invoke({"messages": [HumanMessage(question)]})
    return result


def test_documents_stay_at_the_head_on_every_step() -> None:
    model = Recorder()
    middleware = KVDocumentsMiddleware(["handbook", LEAVE])
    result = ask(create_agent(model, [days], system_prompt="Be brief.", middleware=[middleware]))
    head = place_documents([SystemMessage("Be brief.")], [LEAVE, "handbook"])
    assert [messages[:1] for messages in model.sent] == [head, head]
    assert [len(messages) for messages in model.sent] == [2, 4]
    assert [message.type for message in result["messages"]] == ["human", "ai", "tool", "ai"]
    assert model.options[0].get("prompt_cache_key") is None


async def test_without_a_system_prompt_and_asynchronously() -> None:
    model = Recorder()
    agent = create_agent(model, [days], middleware=[KVDocumentsMiddleware("handbook", prompt_cache_key="k")])
    await agent.ainvoke({"messages": [HumanMessage("How many?")]})
    assert [messages[:1] for messages in model.sent] == [place_documents([], ["handbook"])] * 2
    assert [options["prompt_cache_key"] for options in model.options] == ["k", "k"]


def test_a_retriever_is_asked_once_for_each_question() -> None:
    asked: list[str] = []

    def retrieve(question: str) -> list[Document]:
        asked.append(question)
        return [LEAVE, Document(f"About {question}")]

    model = Recorder()
    middleware = KVDocumentsMiddleware("handbook", retriever=RunnableLambda(retrieve), by="text")
    agent = create_agent(model, [days], system_prompt="Be brief.", middleware=[middleware])
    result = ask(agent, "first")
    ask(agent, "second")
    assert asked == ["first", "second"]
    assert set(result) == {"messages"}, "what was retrieved is no output of the agent"
    heads = [[part.get("document", part.get("text")) for part in m[0].content] for m in model.sent]  # type: ignore[union-attr]  # lists here
    assert heads[0] == heads[1] and heads[2] == heads[3] != heads[0]
    assert heads[0][0] == "handbook" and heads[0][-1] == "Be brief."
    assert set(heads[2][1:3]) == {"About second\n", "Every employee has 30 days of leave\n"}


async def test_an_async_retriever_is_awaited() -> None:
    async def retrieve(question: str) -> list[Document]:
        return [Document(f"About {question}")]

    def blocking(question: str) -> list[Document]:
        raise AssertionError("asked synchronously")

    model = Recorder()
    agent = create_agent(
        model, [days], middleware=[KVDocumentsMiddleware(retriever=RunnableLambda(blocking, retrieve))]
    )
    await agent.ainvoke({"messages": [HumanMessage("leave")]})
    assert model.sent[1][0].content[0]["text"] == "About leave\n"  # type: ignore[index]  # a list here


def test_a_retriever_that_finds_nothing_leaves_the_request_alone() -> None:
    model = Recorder()
    ask(
        create_agent(
            model, [days], middleware=[KVDocumentsMiddleware(retriever=RunnableLambda(lambda _: []))]
        )
    )
    assert not any(isinstance(message, SystemMessage) for messages in model.sent for message in messages)


def test_a_failing_retriever_is_heard_of() -> None:
    def broken(question: str) -> list[Document]:
        raise ConnectionError("the index is down")

    agent = create_agent(
        Recorder(), [days], middleware=[KVDocumentsMiddleware(retriever=RunnableLambda(broken))]
    )
    with pytest.raises(ConnectionError, match="the index is down"):
        ask(agent)


def test_neither_documents_nor_a_retriever_is_refused() -> None:
    with pytest.raises(ValueError, match="documents, a retriever or tools"):
        KVDocumentsMiddleware()


class Rewriting(AgentMiddleware[Any, Any, Any]):
    """Makes the system message as it likes."""

    def __init__(self, rewrite: Callable[[SystemMessage | None], SystemMessage | None]) -> None:
        super().__init__()
        self._rewrite = rewrite

    def _rewritten(self, request: Any) -> Any:
        return request.override(system_message=self._rewrite(request.system_message))

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        return handler(self._rewritten(request))

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        return await handler(self._rewritten(request))


def anew(message: SystemMessage | None) -> SystemMessage:
    return SystemMessage("It is 09:30. Be kind.")


def in_front(message: SystemMessage | None) -> SystemMessage:
    assert message is not None
    said: Any = message.content_blocks
    return SystemMessage(content_blocks=[{"type": "text", "text": "It is 09:30."}, *said])


def as_a_string(message: SystemMessage | None) -> SystemMessage:
    assert message is not None
    return SystemMessage(f"It is 09:30.\n{message.text}")


def gone(message: SystemMessage | None) -> None:
    return None


REWRITES = [anew, in_front, as_a_string, gone]


@pytest.mark.parametrize("rewrite", REWRITES)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_middleware_behind_it_that_rewrites_the_prompt_is_told_of_once(
    rewrite: Any, asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    model = Recorder()
    middleware = [KVDocumentsMiddleware(["handbook", LEAVE]), Rewriting(rewrite)]
    agent = create_agent(model, [days], system_prompt="Be brief.", middleware=middleware)
    if asynchronous:
        await agent.ainvoke({"messages": [HumanMessage("How many?")]})
    else:
        ask(agent)
    assert len(model.sent) == 2
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "Put KVDocumentsMiddleware last in the list, or use ChatKVProxy" in told


@pytest.mark.parametrize("rewrite", REWRITES)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_with_our_chat_model_the_order_of_middleware_does_not_matter(
    rewrite: Any, asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with running() as fake:
        fake.documents.add("policy", "Be fair")
        model = ChatKVProxy(model="m", base_url=fake.url, max_retries=0, documents=["policy"])
        retriever = RunnableLambda(lambda question: [Document("About leave", id="zzz")])
        middleware = [KVDocumentsMiddleware(["handbook", LEAVE], retriever=retriever), Rewriting(rewrite)]
        agent = create_agent(model, [days], system_prompt="Be brief.", middleware=middleware)
        asked = {"messages": [HumanMessage("How many?")]}
        await agent.ainvoke(asked) if asynchronous else agent.invoke(asked)
        content = fake.bodies[0]["messages"][0]["content"]
    head = [part.get("document") or part["text"] for part in content]
    assert head[:4] == ["policy", "handbook", "Every employee has 30 days of leave\n", "About leave\n"]
    assert {part["type"] for part in content} <= {"text", "kv_document"}
    assert head.count("handbook") == 1 and model.documents == ["policy"]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def and_the_time(message: SystemMessage | None) -> SystemMessage:
    return SystemMessage(f"{message.text if message else ''}\nIt is 09:30.")


class Second(KVDocumentsMiddleware):
    """LangChain takes one instance of each class."""


@pytest.mark.parametrize("behind", [Rewriting(lambda message: message), Rewriting(and_the_time), Second("b")])
def test_a_prompt_that_still_begins_with_the_documents_is_not_warned_of(
    behind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ask(create_agent(Recorder(), [days], middleware=[KVDocumentsMiddleware(LEAVE, by="text"), behind]))
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_another_models_call_within_another_middleware_is_its_own_affair(
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = Recorder()

    class Summing(AgentMiddleware[Any, Any, Any]):
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            other.invoke([HumanMessage("Which tools?")])
            return handler(request)

    ask(create_agent(Recorder(), [days], middleware=[KVDocumentsMiddleware(LEAVE), Summing()]))
    assert other.sent and not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_fallback_to_another_model_has_the_documents_too() -> None:
    fallback = Recorder()
    with running() as fake:
        fake.refusal = (503, {"message": "loading", "code": "not_ready"})
        model = ChatKVProxy(model="m", base_url=fake.url, max_retries=0)
        middleware = [KVDocumentsMiddleware(LEAVE), ModelFallbackMiddleware(fallback)]
        ask(create_agent(model, [days], middleware=middleware))
    assert fallback.sent[0][:1] == place_documents([], LEAVE)


def test_a_salt_and_a_hint_go_with_every_request() -> None:
    with running() as fake:
        extra = {"top_k": 3}
        model = ChatKVProxy(model="m", base_url=fake.url, max_retries=0, extra_body=extra)
        middleware = KVDocumentsMiddleware("handbook", prompt_cache_key="k", cache_salt="s")
        ask(create_agent(model, [days], middleware=[middleware]))
        assert {name: fake.bodies[0][name] for name in ("prompt_cache_key", "cache_salt", "top_k")} == {
            "prompt_cache_key": "k",
            "cache_salt": "s",
            "top_k": 3,
        }
    recorder = Recorder()
    ask(create_agent(recorder, [days], middleware=[KVDocumentsMiddleware("handbook", cache_salt="s")]))
    assert [options["extra_body"] for options in recorder.options] == [{"cache_salt": "s"}] * 2


def test_the_package_works_without_langchain_and_says_what_the_middleware_needs() -> None:
    program = """
import sys
sys.modules.update({"langchain": None, "langgraph": None})
import langchain_kvproxy
assert langchain_kvproxy.place_documents([], "handbook")
try:
    langchain_kvproxy.KVDocumentsMiddleware
except ImportError as e:
    print(e)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "pip install 'langchain-kvproxy[agents]'" in done.stdout


def test_unknown_names_of_the_package_stay_unknown() -> None:
    import langchain_kvproxy

    with pytest.raises(AttributeError, match="no_such_name"):
        langchain_kvproxy.no_such_name  # noqa: B018
