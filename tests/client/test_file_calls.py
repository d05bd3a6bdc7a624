from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from kvproxy import Client, RequestFailed
from kvproxy.errors import DocumentRejected, SignatureRefused
from tests.document_files.conftest import exported, importer, small, texts
from tests.document_files.hosts import TEXT, Exported, Host
from tests.document_files.served_host import KEYS, served
from tests.server.doubles import Proxy, client_of

__all__ = ["exported", "importer", "small", "texts"]
T = TypeVar("T")


async def using(proxy: Proxy, name: str, work: Callable[[Client], T]) -> T:
    async with client_of(proxy) as http:
        url = str(http.make_url("/v1"))

        def called() -> T:
            with Client(url, dict(KEYS)[name]) as client:
                return work(client)

        return await asyncio.to_thread(called)


async def test_a_document_is_exported_and_imported_again(importer: Host, tmp_path: Path) -> None:
    file = tmp_path / "handbook.kvdoc"

    def there_and_back(client: Client) -> None:
        client.publish("handbook", TEXT, visibility="private")
        told: list[int] = []
        size = client.export_document("handbook", file, progress=lambda done, _: told.append(done))
        assert size == file.stat().st_size == told[-1] and not list(tmp_path.glob("*.part"))
        manifest = client.manifest("handbook@1")["claims"]
        client.delete("handbook")
        result = client.import_document(file, document="guide", visibility="private", pages="required")
        assert result["created"] and result["pages"] == 6 and result["note"] == ""
        assert client.document("guide", text=True)["text"] == TEXT
        copied = client.manifest("guide")["claims"]
        assert [f["pages"] for f in copied["framings"]] == [f["pages"] for f in manifest["framings"]]

    await using(served(importer), "alice", there_and_back)


async def test_failures_are_told_and_leave_no_file(
    importer: Host, exported: Exported, tmp_path: Path
) -> None:
    file = tmp_path / "x.kvdoc"
    file.write_bytes(exported.file)

    def failing(client: Client) -> None:
        with pytest.raises(RequestFailed) as caught:
            client.export_document("none", tmp_path / "none.kvdoc")
        assert caught.value.http_status == 404 and sorted(tmp_path.glob("*.*")) == [file]
        with pytest.raises(RequestFailed) as caught:
            client.import_document(file)
        assert caught.value.kind is SignatureRefused
        with pytest.raises(RequestFailed, match="cannot read"):
            client.import_document(tmp_path / "none.kvdoc")
        with pytest.raises(RequestFailed) as caught:
            client.import_document(file, pages="required", jwks=exported.keys.jwks(), document="..")
        assert caught.value.kind is DocumentRejected
        assert client.import_document(file, jwks=exported.keys.jwks(), pages="none")["pages"] == 0

    await using(served(importer), "boss", failing)
