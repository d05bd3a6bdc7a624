"""A proxy with two versions of a handbook, and short forms of prompts, for the tests of explain_prompt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import httpx
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from langchain_kvproxy import Explanation
from langchain_kvproxy._client import KVProxyClient

HANDBOOK = (
    "Leave handbook of Example Ltd\n\nEvery employee has 30 days of leave a year.\n"
    "It is asked for by 2024-01-01 at the latest, with form 7.\n"
)

OLD = "Leave handbook of Example Ltd, the first one, which knew 29 days of leave"

REFERENCE = {"type": "kv_document", "document": "handbook@2"}


class HandbookProxy:
    """Two versions of a handbook; ``asked`` are the paths of the requests."""

    def __init__(
        self,
        resident: int = 40,
        texts: tuple[str, ...] = (OLD, HANDBOOK),
        spellings: tuple[str, ...] = (),
        counts: Callable[[str], str] | None = lambda text: text,
    ) -> None:
        """Make a proxy of these texts, one for each version.

        ``counts``: the effect of its template on a system message, of which each character is a token; None where it
        counts no tokens.
        """
        self.asked: list[str] = []
        self.comparison: dict[str, Any] | None = None
        """The answer of ``/kv/v1/explain``; None: an older proxy."""
        self.compared: list[dict[str, Any]] = []
        self.spellings = spellings
        self.counts = counts
        self.texts = texts
        self.resident = resident
        self.client = KVProxyClient("http://proxy.test", transport=httpx.MockTransport(self._answer))

    def _info(self, version: int) -> dict[str, Any]:
        text = self.texts[version - 1]
        return {
            "id": "handbook",
            "version": version,
            "current": version == len(self.texts),
            "etag": hashlib.sha256(text.encode()).hexdigest(),
            "characters": len(text),
            "tokens": 45,
            "spellings": [{"name": name} for name in self.spellings],
            "framings": [{"name": "system", "tokens": 48, "resident_tokens": self.resident, "bytes": 1}],
        }

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if request.url.path == "/kv/v1/explain":
            self.compared.append(json.loads(request.content))
            if self.comparison is None:
                return httpx.Response(404, json={"error": {"message": "Invalid URL"}})
            return httpx.Response(200, json=self.comparison)
        if request.url.path == "/tokenize":
            if self.counts is None:
                return httpx.Response(404, json={"error": {"message": "no such model"}})
            parts = json.loads(request.content)["messages"][0]["content"]
            said = self.counts("\n".join(part["text"] for part in parts))
            return httpx.Response(200, json={"tokens": [0, *map(ord, said)]})
        if request.url.path.endswith("/documents"):
            return httpx.Response(200, json={"data": [self._info(v + 1) for v in range(len(self.texts))]})
        version = int(request.url.path.rpartition("@")[2])
        return httpx.Response(200, json={**self._info(version), "text": self.texts[version - 1]})


def codes(explanation: Explanation) -> list[str]:
    return [finding.code for finding in explanation.findings]


def system(*parts: Any) -> list[BaseMessage]:
    return [SystemMessage(list(parts)), HumanMessage("How many days?")]


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}
