"""`MarketCalls`: the calls of `Client` that find, price and prove reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote as in_path

import httpx

from kvproxy.client.document_path import document_path


class MarketCalls(ABC):
    """Calls of the market, over the exchange of the class that has them."""

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

    def host(self) -> dict[str, Any]:
        """Return who the host is: its public keys (``jwks``), its models with prices, its addresses."""
        return self._exchange("GET", "/.well-known/kvproxy.json")[0]

    def catalog(
        self, *, id: str | None = None, publisher: str | None = None, sha256: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the documents on offer to this API key: public ones, and those that it has a grant for.

        ``id`` is the beginning of a document's id, ``sha256`` that of a text that you have. Each entry has its
        ``document``, ``price`` and ``tokens`` by model, ``terms``, ``licence``, ``reads`` and what was ``verified``.
        Example: ``client.catalog(sha256=hashlib.sha256(text.encode()).hexdigest())[0]["price"]``.
        """
        asked = {"id": id, "publisher": publisher, "sha256": sha256, "limit": "200"}
        params = {name: value for name, value in asked.items() if value is not None}
        found: list[dict[str, Any]] = []
        while True:
            page = self._exchange("GET", "/kv/v1/catalog", params=params)[0]
            found += page["data"]
            if page["next"] is None:
                return found
            params["after"] = page["next"]

    def terms(self, document: str) -> dict[str, Any]:
        """Return a document's ``current`` terms and their ``history``. Example: ``client.terms("handbook")``."""
        return self._exchange("GET", f"{document_path(document)}/terms")[0]

    def set_terms(
        self, document: str, price: Mapping[str, str], licence: str | None = None
    ) -> dict[str, Any]:
        """Set the price of an own document from now on; without ``licence`` that stays. Returns as `terms` does.

        Example: ``client.set_terms("handbook", {"kind": "fixed", "per_1000": "0.02", "text_readers": "full_price"})``.
        """
        body = {"price": dict(price)} | ({} if licence is None else {"licence": licence})
        return self._exchange("POST", f"{document_path(document)}/terms", body=body)[0]

    def quote(
        self,
        request: Mapping[str, Any] | None = None,
        *,
        document: str | None = None,
        sha256: str | None = None,
        max_tokens: int | None = None,
    ) -> dict[str, Any]:
        """Return the signed price of one of: a chat ``request``, a ``document`` by reference, a text by its ``sha256``.

        Its ``hit`` and ``miss`` are amounts, ``jws`` is what to send as ``x-kvproxy-quote`` before ``expires``.
        Example: ``client.quote(document="handbook")["hit"]["amount"]``.
        """
        asked = {
            "request": None if request is None else dict(request),
            "document": document,
            "sha256": sha256,
            "max_tokens": max_tokens,
        }
        body = {name: value for name, value in asked.items() if value is not None}
        return self._exchange("POST", "/kv/v1/quote", body=body)[0]

    def receipt(self, receipt_id: str) -> dict[str, Any]:
        """Return a receipt, ``jws`` and ``claims``: for the reader of the request, and the document's publisher.

        Example: ``client.receipt(id)["claims"]["price"]``.
        """
        return self._exchange("GET", f"/kv/v1/receipts/{in_path(receipt_id, safe='')}")[0]

    def receipts(self, request_id: str) -> list[dict[str, Any]]:
        """Return the receipts of one's own request, by the answer's ``id``: one for each document that it read.

        Example: ``client.receipts(completion.id)[0]["jws"]``.
        """
        answer = self._exchange("GET", "/kv/v1/receipts", params={"request": request_id})[0]
        data: list[dict[str, Any]] = answer["data"]
        return data

    def statement(
        self,
        *,
        publisher: str | None = None,
        since: str | None = None,
        until: str | None = None,
        receipts: bool = False,
    ) -> dict[str, Any]:
        """Return a publisher's signed statement of a period; its own, from the beginning to now, by default.

        ``since`` and ``until`` are Unix seconds or times like ``2026-11-29``. Returns ``jws``, ``checkpoint``, sums,
        and the ``receipts`` where they are asked for. `kvproxy statement verify` checks them offline.
        Example: ``client.statement(since="2026-11-01", receipts=True)["publisher_share"]``.
        """
        asked = {"publisher": publisher, "from": since, "to": until, "receipts": "true" if receipts else None}
        params = {name: value for name, value in asked.items() if value is not None}
        return self._exchange("GET", "/kv/v1/statements", params=params)[0]
