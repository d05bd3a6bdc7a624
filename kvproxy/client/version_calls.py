"""`VersionCalls`: the calls of `Client` that end versions and name them: touch, revoke, aliases, usage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any
from urllib.parse import quote

import httpx

from kvproxy.client.document_path import document_path


class VersionCalls(ABC):
    """Calls about the life of a document's versions, over the exchange of the class that has them."""

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

    def touch(self, ref: str, ttl_s: int | None) -> dict[str, Any]:
        """Let a version end ``ttl_s`` seconds from now, None: never. One that has expired is served again.

        Returns it as `document` does. Example: ``client.touch("handbook@3", 30 * 86_400)["expires"]``.
        """
        return self._exchange("POST", f"{document_path(ref)}/touch", body={"ttl_s": ttl_s})[0]

    def revoke(self, ref: str, reason: str) -> list[str]:
        """Never serve a version again, or any of ``"handbook"``. Returns the versions.

        Example: ``client.revoke("handbook@3", "it was wrong")``.
        """
        revoked = self._exchange("POST", f"{document_path(ref)}/revoke", body={"reason": reason})[0]
        versions: list[str] = revoked["versions"]
        return versions

    def set_alias(self, document: str, alias: str, version: int | None = None) -> dict[str, Any]:
        """Let ``handbook@stable`` mean a version, None: the current one. Returns ``document`` and ``etag``.

        Example: ``client.set_alias("handbook", "stable", 3)["document"]``.
        """
        path = f"{document_path(document)}/aliases/{quote(alias, safe='')}"
        return self._exchange("POST", path, body={"version": version})[0]

    def delete_alias(self, document: str, alias: str) -> None:
        """Remove an alias. Example: ``client.delete_alias("handbook", "stable")``."""
        self._exchange("DELETE", f"{document_path(document)}/aliases/{quote(alias, safe='')}")

    def usage(self) -> dict[str, Any]:
        """Return what this tenant has published: ``versions``, ``bytes`` of KV, ``tokens``, its ``quota`` of each, and
        ``withdrawn`` versions, which are not served any more. Example: ``client.usage()["versions"]``.
        """
        usage: dict[str, Any] = self._exchange("GET", "/kv/v1/documents")[0]["usage"]
        return usage
