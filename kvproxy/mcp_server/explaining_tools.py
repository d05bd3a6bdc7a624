"""The tool that reports the cached part of a prompt, and the reason why the rest is not cached."""

from __future__ import annotations

import time
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import ToolAnnotations
from pydantic import Field

from kvproxy.client import RequestFailed
from kvproxy.errors import InvalidRequest
from kvproxy.mcp_server.asking_tools import waiting
from kvproxy.mcp_server.cache_outcome import CacheOutcome
from kvproxy.mcp_server.reading_order import named_documents, with_documents
from kvproxy.mcp_server.remote import ChatProgress, Remote
from kvproxy.mcp_server.tool_arguments import Instructions, ModelName, References
from kvproxy.mcp_server.tool_errors import as_tool_error
from kvproxy.mcp_server.tool_results import (
    DocumentSummary,
    Explanation,
    FirstDifference,
    RecentMiss,
    first_difference,
    summary,
)

_EXPLAINS = ToolAnnotations(read_only_hint=True)  # as `ask`
_LOOKED_AT = 100
"""Requests among which recent misses are looked for."""
_MISSES = 5


def add_explaining_tools(server: MCPServer[Any], remote: Remote) -> None:
    """Add the tool that explains the cached part of a prompt."""

    @server.tool(title="Explain what is cached", annotations=_EXPLAINS)
    async def explain(
        ctx: Context[Any, Any],
        question: Annotated[
            str | None, Field(description="A prompt as `ask` would send it, with `documents` if any.")
        ] = None,
        documents: References | None = None,
        instructions: Instructions = None,
        messages: Annotated[
            list[dict[str, Any]] | None,
            Field(
                min_length=1,
                description="Instead of a question: a whole prompt, as OpenAI's chat completions take it.",
            ),
        ] = None,
        tools: Annotated[
            list[dict[str, Any]] | None, Field(description="With `messages`: the tools that go with them.")
        ] = None,
        model: ModelName = None,
        send: Annotated[
            bool,
            Field(
                description="True: the prompt is sent with max_tokens=1, the only sure way to see what is cached; what "
                "was not, is cached afterwards. False: its tokens are counted and nothing is computed."
            ),
        ] = True,
    ) -> Explanation:
        """Explain a prompt: its tokens, which published document it was found to begin with, how much of it is cached
        now or why not, its first difference from the nearest document or earlier request with the cause, how much of
        each document is kept, and the newest misses of this API key with their reasons."""
        with as_tool_error():
            prompt = _prompt(question, documents or [], instructions, messages, tools)
            looking = _Looking(remote, model or await remote.local_model(), prompt)
            return await looking.explanation(waiting(ctx), send=send)


def _prompt(
    question: str | None,
    documents: list[str],
    instructions: str | None,
    messages: list[dict[str, Any]] | None,
    tools: list[dict[str, Any]] | None,
) -> dict[str, Any]:
    """Return the fields of a request that make its prompt."""
    if messages is None and question and not tools:
        return {"messages": with_documents(question, documents, instructions)}
    if messages is None or question or documents or instructions:
        raise InvalidRequest(
            "give either 'question', with 'documents' if any, or 'messages', with 'tools' if any"
        )
    return {"messages": messages} | ({"tools": tools} if tools else {})


class _Looking:
    """One explanation in the making."""

    def __init__(self, remote: Remote, model: str, prompt: dict[str, Any]) -> None:
        self._remote, self._model, self._prompt = remote, model, prompt
        self._did: list[str] = []

    async def explanation(self, progress: ChatProgress, *, send: bool) -> Explanation:
        misses = await self._recent_misses()  # before the request below becomes one of them
        named = named_documents(self._prompt["messages"])
        documents = [await self._document(reference) for reference in named]
        difference = await self._difference()  # before the prompt below is kept
        tokens, cached, cache = await (self._sent(progress) if send else self._counted())
        recognised = None if cache is None else cache.document
        if recognised is not None and recognised not in {d.reference for d in documents if d is not None}:
            documents.append(await self._document(recognised))
        return Explanation(
            did=self._did,
            prompt_tokens=tokens,
            cached_tokens=cached,
            outcome=None if cache is None else cache.outcome,
            reason=None if cache is None else cache.reason,
            difference=difference,
            meaning="nothing was sent; with send=true it is seen what is cached"
            if cache is None
            else cache.meaning,
            recognised=recognised,
            documents=[document for document in documents if document is not None],
            recent_misses=misses,
        )

    async def _sent(self, progress: ChatProgress) -> tuple[int, int | None, CacheOutcome | None]:
        body = {"model": self._model, **self._prompt, "max_tokens": 1}
        answer = await self._remote.chat(body, progress)
        self._did.append(
            f"sent the prompt to {self._model} with max_tokens=1 and read usage and Cache-Status; what was not "
            "cached is now"
        )
        return answer.prompt_tokens, answer.cached_tokens, answer.cache

    async def _counted(self) -> tuple[int, int | None, CacheOutcome | None]:
        tokens = await self._remote.count_tokens({"model": self._model, **self._prompt})
        self._did.append("counted the prompt's tokens with /tokenize; nothing was computed")
        return tokens, None, None

    async def _difference(self) -> FirstDifference | None:
        try:
            told = await self._remote.explain({"model": self._model, **self._prompt})
        except RequestFailed as e:  # a proxy of an older version, or a prompt that it refuses: seen below
            self._did.append(f"asked for the first difference: {e.message}")
            return None
        self._did.append(
            "compared the prompt with the nearest document or earlier request, without sending it"
        )
        return first_difference(told)

    async def _document(self, reference: str) -> DocumentSummary | None:
        try:
            found = summary(await self._remote.document(reference))
        except RequestFailed as e:
            self._did.append(f"looked up {reference}: {e.message}")
            return None
        self._did.append(f"looked up {reference}")
        return found

    async def _recent_misses(self) -> list[RecentMiss]:
        recent = await self._remote.recent(_LOOKED_AT)
        self._did.append(f"read the newest {len(recent)} requests of this API key")
        now = time.time()
        missed = [entry for entry in reversed(recent) if entry.get("outcome") == "miss"]
        return [_recent_miss(entry, now) for entry in missed[:_MISSES]]


def _recent_miss(entry: dict[str, Any], now: float) -> RecentMiss:
    return RecentMiss(
        seconds_ago=round(max(now - entry["at"], 0.0), 1),
        client=entry["client"],
        endpoint=entry["endpoint"],
        document=entry["document"],
        reason=entry["reason"],
        cause=entry.get("cause"),
        meaning=CacheOutcome("miss", entry["document"], entry["reason"], entry.get("cause")).meaning,
        prompt_tokens=entry["prompt_tokens"],
        cached_tokens=entry["cached_tokens"],
    )
