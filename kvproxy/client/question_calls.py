"""`QuestionCalls`: the calls of `Client` that ask a model about documents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import httpx

from kvproxy.client.document_answer import DocumentAnswer, document_answer
from kvproxy.client.request_failed import RequestFailed


class QuestionCalls(ABC):
    """Calls about questions and the models that answer them, over the exchange of the class that has them."""

    @property
    @abstractmethod
    def root(self) -> str:
        """The proxy's address without ``/v1``."""

    @abstractmethod
    def _exchange(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Any], httpx.Response]:
        """Return the answer's JSON object, and the answer."""

    @abstractmethod
    def _not_a_kvproxy(self, response: httpx.Response) -> RequestFailed:
        """Return the error for an answer of another shape."""

    def ask(
        self,
        question: str,
        documents: Sequence[str] = (),
        *,
        instructions: str | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        reuse: bool = True,
    ) -> DocumentAnswer:
        """Ask a model about published documents, which are named and not sent.

        The documents stand at the head of the system message in the order given, then ``instructions``: the same
        documents in the same order are a hit, whatever is asked. ``model`` defaults to the proxy's local one.
        ``max_tokens`` bounds the answer, ``temperature=0`` makes it greedy; None leaves the proxy's default.
        ``reuse=False`` has the prompt computed from scratch, whatever is kept, at the price of a miss: it measures what
        a hit saves.
        For streams, tools and conversations use an OpenAI client with ``base_url`` ``/v1``.
        Example: ``client.ask("Who may resign?", ["handbook@3"], max_tokens=200).cached_tokens``.
        """
        if isinstance(documents, str):
            raise TypeError(f"documents is a list of references: ask(question, [{documents!r}])")
        head: list[dict[str, str]] = [{"type": "kv_document", "document": ref} for ref in documents]
        if instructions is not None:
            head.append({"type": "text", "text": instructions})
        system = [{"role": "system", "content": head}] if head else []
        cold = None if reuse else "none"
        chosen = {"max_tokens": max_tokens, "temperature": temperature, "kv_reuse": cold}
        body = {
            "model": model or str(self.served()["id"]),
            "messages": [*system, {"role": "user", "content": question}],
            **{name: value for name, value in chosen.items() if value is not None},
        }
        answer, response = self._exchange("POST", "/v1/chat/completions", body=body)
        try:
            return document_answer(answer, response.headers.get("cache-status", ""))
        except (LookupError, TypeError, ValueError, AttributeError) as e:
            raise self._not_a_kvproxy(response) from e

    def served(self, model: str | None = None) -> dict[str, Any]:
        """Return the entry of ``/v1/models`` for ``model``, or for the local one.

        Raises `RequestFailed` for a name that is not served. Example: ``client.served()["max_model_len"]``.
        """
        models: list[dict[str, Any]] = self._exchange("GET", "/v1/models")[0]["data"]
        for entry in models:
            if entry["id"] == model or (model is None and entry.get("owned_by") == "kvproxy"):
                return entry
        names = ", ".join(str(entry["id"]) for entry in models)
        raise RequestFailed(f"{self.root} serves {names or 'no model'}" + (f", not {model}" if model else ""))
