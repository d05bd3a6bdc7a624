"""The proxy's comparison of a prompt with its earlier requests and documents: `ExplainCalls` and `first_difference`."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_kvproxy._finding import Finding, quoted

_VAIN = frozenset(("no-document", "too-short", "not-granted"))
"""Causes that are no fault of the prompt's own text."""


class ExplainCalls(ABC):
    """Calls of `/kv/v1/explain`, over the requests of the class that has them."""

    @abstractmethod
    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Request JSON."""

    @abstractmethod
    async def _ajson(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Request JSON, asynchronously."""

    def explain(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None
    ) -> dict[str, Any]:
        """Return the first difference of a prompt from the nearest document or earlier request of one's own.

        Nothing is sent to the model. See the proxy's docs/misses.md.

        Args:
            messages: In OpenAI's format; parts may name documents.
            tools: In OpenAI's format.

        Returns:
            `outcome`, `cause`, `compared`, `difference` and more, as the proxy tells them.

        Example:
            ```python
            from langchain_kvproxy import KVProxyClient

            with KVProxyClient() as client:
                print(client.explain([{"role": "user", "content": "Hello"}], tools=[])["cause"])
            ```
        """
        return self._json("POST", "/kv/v1/explain", json=_body(messages, tools))

    async def aexplain(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None
    ) -> dict[str, Any]:
        """Do the same as `explain`, asynchronously.

        Example: `await client.aexplain([{"role": "user", "content": "Hello"}], tools=[])`
        """
        return await self._ajson("POST", "/kv/v1/explain", json=_body(messages, tools))


def first_difference(told: Mapping[str, Any]) -> list[Finding]:
    """Return the finding in the proxy's comparison; none where nothing of the prompt could be shared anyway."""
    cause, difference, compared = told.get("cause"), told.get("difference"), told.get("compared")
    if not cause or cause in _VAIN or not difference or not compared:
        return []
    other = compared["id"] if compared["kind"] == "document" else "an earlier request"
    place = re.fullmatch(r"messages\[(\d+)\]", difference["where"])
    where = "" if place else f", in the {difference['where']}"
    return [
        Finding(
            "warning",
            cause,
            int(place[1]) if place else None,
            f"it parts from {other} at character {difference['character']}{where}: "
            f"{quoted(difference['sent'])}, there {quoted(difference['other'])}",
            told.get("do") or "",
        )
    ]


def _body(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    body: dict[str, Any] = {"endpoint": "chat/completions", "messages": [dict(m) for m in messages]}
    return body | ({"tools": [dict(tool) for tool in tools]} if tools else {})
