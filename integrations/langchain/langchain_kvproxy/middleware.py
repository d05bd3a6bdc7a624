"""`KVDocumentsMiddleware`: puts documents at the head of the prompt on every step of an agent's loop."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, NotRequired, cast

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from typing_extensions import override

from langchain_kvproxy._placement_check import PlacementCheck, placement_checked
from langchain_kvproxy._tool_documents import in_order, lifted
from langchain_kvproxy.chat_models import ChatKVProxy
from langchain_kvproxy.documents import canonical, unique
from langchain_kvproxy.prompts import By, DocumentLike, as_documents, place_documents

logger = logging.getLogger(__name__)

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
    """An agent's state, with the documents retrieved for the current question."""

    kvproxy_retrieved: NotRequired[Annotated[list[Document], PrivateStateAttr]]


class KVDocumentsMiddleware(AgentMiddleware[KVDocumentsState, Any, Any]):
    """A middleware that keeps documents at the head of the system message in every step of `create_agent`'s loop.

    Each step of the loop then starts with the same tokens as the step before, and with the same tokens as any
    other agent over these documents, whatever its instructions and tools are. The documents are in the
    requests only, not in the agent's messages, so that no history repeats them and no summary touches them.

    Works with `ChatKVProxy`, with a `ChatOpenAI` whose base URL is a kvproxy, and with `by="text"` with any
    chat model. A `ChatKVProxy` puts the documents at the head itself, when all other middleware is done, so it
    stands anywhere in the list. With another model put it last: one behind it that writes the system message anew
    removes the documents again; one warning is logged then.

    Documents that a `create_document_tool` found stand behind the others; the tool's answer has their names alone.

    Setup:
        ```bash
        pip install 'langchain-kvproxy[agents]'
        ```

    Instantiate:
        ```python
        from langchain_kvproxy import KVDocumentsMiddleware

        middleware = KVDocumentsMiddleware(["handbook"])
        ```

    With a retriever, called once for each question:
        ```python
        from langchain_core.documents import Document
        from langchain_core.runnables import RunnableLambda

        from langchain_kvproxy import KVDocumentsMiddleware

        retriever = RunnableLambda(lambda question: [Document("Every employee has 30 days of leave.")])
        middleware = KVDocumentsMiddleware(retriever=retriever, by="text")
        ```

    With a tool that the agent calls as it decides:
        ```python
        from langchain_kvproxy import create_document_tool

        rules = create_document_tool(retriever, "rules", "Looks up the firm's rules.")
        middleware = KVDocumentsMiddleware(tools=[rules])
        ```
    """

    state_schema = KVDocumentsState

    def __init__(
        self,
        documents: Iterable[DocumentLike] | DocumentLike = (),
        *,
        retriever: Runnable[str, list[Document]] | None = None,
        tools: Sequence[BaseTool] = (),
        by: By = "reference",
        prompt_cache_key: str | None = None,
        cache_salt: str | None = None,
        shared: Mapping[str, int] | None = None,
        mark: bool = True,
    ) -> None:
        """Create a middleware; at least one of `documents`, `retriever` and `tools` is needed.

        Args:
            documents: `Document`s, texts, or references to published documents. They stand first, since every
                question shares them.
            retriever: Any retriever, or Runnable from a question to documents; called once for each question of
                the user, not again in its loop. Its documents stand behind `documents`.
            tools: Tools for the agent, as `create_document_tool` makes them; they may as well be the agent's own.
            by: `"reference"` sends documents that have a reference as `kv_document` parts and the others by text;
                `"text"` sends texts.
            prompt_cache_key: Sent with every request of the loop unless the request has one. A hint where to send
                equal prompts, for providers and fleets; it separates nothing, and one proxy needs none.
            cache_salt: Sent with every request of the loop, in its `extra_body`, unless the request has one. Keeps
                them apart: requests with different salts share published documents only. For models of the openai
                family; most agents need none.
            shared: The number of prompts that share a text, by `text_digest`: the most shared stand first.
            mark: Whether the last document carries a `prompt_cache_breakpoint`; with a `ChatKVProxy` it always does.

        Raises:
            ValueError: None of `documents`, `retriever` and `tools` was given.

        Example:
            `KVDocumentsMiddleware(["handbook"], by="reference", cache_salt="team-a")`
        """
        super().__init__()
        self.documents = as_documents(documents)
        self.retriever = retriever
        self.tools = list(tools)
        self.by = by
        self.prompt_cache_key = prompt_cache_key
        self.cache_salt = cache_salt
        self.shared = shared
        self.mark = mark
        self._warned = False
        if not (self.documents or self.tools) and retriever is None:
            raise ValueError("give KVDocumentsMiddleware documents, a retriever or tools, or several of them")

    @override
    def before_agent(self, state: KVDocumentsState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Retrieve the documents for the last question, once for all steps of the loop."""
        question = last_question(state["messages"])
        if self.retriever is None:
            return None
        return {"kvproxy_retrieved": self.retriever.invoke(question) if question else []}

    @override
    async def abefore_agent(self, state: KVDocumentsState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Do the same as `before_agent`, asynchronously."""
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
        """Call the model with the documents in place; warn once where other middleware has removed them."""
        with placement_checked(self._wanted(request)) as check:
            response = handler(self.placed(request))
        self._warn(check)
        return response

    @override
    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any] | AIMessage | ExtendedModelResponse[Any]:
        """Do the same as `wrap_model_call`, asynchronously."""
        with placement_checked(self._wanted(request)) as check:
            response = await handler(self.placed(request))
        self._warn(check)
        return response

    def placed(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """Return the request with the documents at its head; `request` is not modified."""
        system: list[BaseMessage] = [request.system_message] if request.system_message else []
        model, messages = request.model, cast(list[BaseMessage], request.messages)
        retrieved = _retrieved(request)
        found: list[Document] = []
        if isinstance(model, ChatKVProxy):
            layers = (as_documents(model.documents), self.documents, retrieved)
            documents = in_order(canonical(layer, self.shared) for layer in layers)
            model = model.model_copy(update={"documents": documents, "documents_by": self.by})
        else:
            messages, found = lifted(messages)
        for layer in (found, retrieved, self.documents):
            system = place_documents(system, layer, by=self.by, shared=self.shared, mark=self.mark)
        placed = system[0] if system else None
        assert placed is None or isinstance(placed, SystemMessage)
        return request.override(
            model=model,
            messages=cast(list[AnyMessage], messages),
            system_message=placed,
            model_settings=self._settings(request),
        )

    def _settings(self, request: ModelRequest[Any]) -> dict[str, Any]:
        settings = dict(request.model_settings)
        if self.prompt_cache_key is not None:
            settings.setdefault("prompt_cache_key", self.prompt_cache_key)
        if self.cache_salt is not None:
            own = settings.get("extra_body") or getattr(request.model, "extra_body", None) or {}
            settings["extra_body"] = {"cache_salt": self.cache_salt, **own}
        return settings

    def _wanted(self, request: ModelRequest[Any]) -> list[Document]:
        return unique([*self.documents, *_retrieved(request)])

    def _warn(self, check: PlacementCheck) -> None:
        if check.lost and not self._warned:
            self._warned = True
            logger.warning(
                "the model was called without its documents at the head of the system message, so nothing of them "
                "is found again: a middleware behind KVDocumentsMiddleware has written the prompt anew. Put "
                "KVDocumentsMiddleware last in the list, or use ChatKVProxy, which puts them there itself"
            )


def _retrieved(request: ModelRequest[Any]) -> list[Document]:
    return cast(KVDocumentsState, request.state).get("kvproxy_retrieved", [])


def last_question(messages: Sequence[BaseMessage]) -> str | None:
    """Return the text of the user's last message; None where there is none."""
    asked = (message for message in reversed(messages) if isinstance(message, HumanMessage))
    return next((str(message.text) for message in asked), None)
