"""Documents at the front on every step of an agent's loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, NotRequired, cast

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable
from typing_extensions import override

from langchain_kvproxy.prompts import By, DocumentLike, as_documents, place_documents

try:
    from langchain.agents.middleware.types import (
        AgentMiddleware,
        AgentState,
        ExtendedModelResponse,
        ModelRequest,
        ModelResponse,
        PrivateStateAttr,
    )
    from langgraph.runtime import Runtime
except ImportError as e:
    raise ImportError(
        "KVDocumentsMiddleware needs langchain's agents: pip install 'langchain-kvproxy[agents]'"
    ) from e


class KVDocumentsState(AgentState[Any]):
    """An agent's state, with what was retrieved for the question it is working on."""

    kvproxy_retrieved: NotRequired[Annotated[list[Document], PrivateStateAttr]]


class KVDocumentsMiddleware(AgentMiddleware[KVDocumentsState, Any, Any]):
    """Keeps documents at the head of the system message on every step of `create_agent`'s loop.

    Each step of the loop then starts with the same tokens as the step before, and with the same tokens as any
    other agent over these documents, whatever its instructions and tools are. The documents are in the
    requests only, not in the agent's messages, so that no history repeats them and no summary touches them.

    Works with `ChatKVProxy`, with a `ChatOpenAI` whose base URL is a kvproxy, and with `by="text"` with any
    chat model. Put it last in the list of middleware: one behind it that writes the system message anew would
    take the documents out again.

    Setup:
        ```bash
        pip install 'langchain-kvproxy[agents]'
        ```

    Instantiate:
        ```python
        from langchain_kvproxy import KVDocumentsMiddleware

        middleware = KVDocumentsMiddleware(["handbook"], prompt_cache_key="leave-agent")
        ```

    With a retriever, asked once for each question:
        ```python
        from langchain_core.documents import Document
        from langchain_core.runnables import RunnableLambda

        from langchain_kvproxy import KVDocumentsMiddleware

        retriever = RunnableLambda(lambda question: [Document("Every employee has 30 days of leave.")])
        middleware = KVDocumentsMiddleware(retriever=retriever, by="text")
        ```
    """

    state_schema = KVDocumentsState

    def __init__(
        self,
        documents: Iterable[DocumentLike] | DocumentLike = (),
        *,
        retriever: Runnable[str, list[Document]] | None = None,
        by: By = "reference",
        prompt_cache_key: str | None = None,
        shared: Mapping[str, int] | None = None,
        mark: bool = True,
    ) -> None:
        """Args:
        documents: `Document`s, texts, or references to published documents. They stand first, since every
            question shares them.
        retriever: Any retriever, or Runnable from a question to documents; asked once for each question of
            the user, not again in its loop. What it returns stands behind `documents`.
        by: `"reference"` sends documents that have a reference as `kv_document` parts and the others by text;
            `"text"` sends texts.
        prompt_cache_key: Sent with every request of the loop unless the request has one. To a kvproxy:
            requests with different keys share published documents only.
        shared: How widely a text is shared, by `text_digest`: the most shared stand first.
        mark: Whether the last document carries a `prompt_cache_breakpoint`.
        """
        super().__init__()
        self.documents = as_documents(documents)
        self.retriever = retriever
        self.by = by
        self.prompt_cache_key = prompt_cache_key
        self.shared = shared
        self.mark = mark
        if not self.documents and retriever is None:
            raise ValueError("give KVDocumentsMiddleware documents, a retriever, or both")

    @override
    def before_agent(self, state: KVDocumentsState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        question = last_question(state["messages"])
        if self.retriever is None:
            return None
        return {"kvproxy_retrieved": self.retriever.invoke(question) if question else []}

    @override
    async def abefore_agent(self, state: KVDocumentsState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        question = last_question(state["messages"])
        if self.retriever is None:
            return None
        return {"kvproxy_retrieved": await self.retriever.ainvoke(question) if question else []}

    @override
    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any] | AIMessage | ExtendedModelResponse[Any]:
        return handler(self.placed(request))

    @override
    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any] | AIMessage | ExtendedModelResponse[Any]:
        return await handler(self.placed(request))

    def placed(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """The request with the documents at its head; `request` is not modified."""
        messages: list[BaseMessage] = [request.system_message] if request.system_message else []
        retrieved = cast(KVDocumentsState, request.state).get("kvproxy_retrieved", [])
        for documents in (retrieved, self.documents):
            messages = place_documents(messages, documents, by=self.by, shared=self.shared, mark=self.mark)
        settings = request.model_settings
        if self.prompt_cache_key is not None:
            settings = {"prompt_cache_key": self.prompt_cache_key, **settings}
        system = messages[0] if messages else None
        assert system is None or isinstance(system, SystemMessage)
        return request.override(system_message=system, model_settings=settings)


def last_question(messages: Sequence[BaseMessage]) -> str | None:
    """The text of the user's last message."""
    asked = (message for message in reversed(messages) if isinstance(message, HumanMessage))
    return next((str(message.text) for message in asked), None)
