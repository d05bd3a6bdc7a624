from __future__ import annotations

import asyncio
import base64
import json

from tests.document_files.conftest import exported, importer, small, texts
from tests.document_files.hosts import TEXT, Exported, Host, nothing_is_left, poisoned
from tests.document_files.served_host import bearer, served
from tests.server.doubles import client_of, make_proxy

__all__ = ["exported", "importer", "small", "texts"]
PATH = "/kv/v1/documents/import"
FILE = {"Content-Type": "application/octet-stream"}


async def test_a_document_goes_out_and_comes_in(importer: Host) -> None:
    proxy = served(importer)
    body = {"id": "a/handbook", "text": TEXT, "visibility": "public"}
    async with client_of(proxy) as http:
        await http.post("/kv/v1/documents", json=body, headers=bearer("alice"))
        response = await http.get("/kv/v1/documents/a/handbook/export", headers=bearer("alice"))
        assert (response.status, response.content_type) == (200, "application/octet-stream")
        assert response.headers["Content-Disposition"] == 'attachment; filename="a_handbook@1.kvdoc"'
        file = await response.read()
        assert len(file) > proxy.components.max_body, "of any size, unlike other bodies"
        # A reader has the document, and not the KV that is sold by the read.
        for other, status in (("bob", 403), ("reader", 403)):
            refused = await http.get("/kv/v1/documents/a/handbook/export", headers=bearer(other))
            assert refused.status == status
        missing = await http.get("/kv/v1/documents/none/export", headers=bearer("alice"))
        assert missing.status == 404
        imported = await http.post(
            f"{PATH}?id=copy&visibility=private", data=file, headers={**bearer("bob"), **FILE}
        )
        assert imported.status == 201
        told = await imported.json()
        assert (told["info"]["id"], told["info"]["visibility"], told["pages"]) == ("copy", "private", 6)
        assert told["source"] == {"host": "b.example", "document": "a/handbook@1", "publisher": ""}
        again = await http.post(
            f"{PATH}?id=copy&visibility=private", data=file, headers={**bearer("bob"), **FILE}
        )
        assert again.status == 200 and not (await again.json())["created"]


async def test_progress_is_streamed_and_ends_with_the_result(importer: Host, exported: Exported) -> None:
    async with client_of(served(importer, exported.trusted)) as http:
        headers = {**bearer("bob"), **FILE, "Accept": "text/event-stream"}
        response = await http.post(f"{PATH}?visibility=private", data=exported.file, headers=headers)
        text = await response.text()
    assert response.content_type == "text/event-stream" and "event: result" in text
    result = json.loads(text.split("event: result\ndata: ")[1].split("\n")[0])
    assert result["object"] == "kv_import" and result["pages"] == 6


async def test_refusals_have_their_status_and_leave_nothing(importer: Host, exported: Exported) -> None:
    async with client_of(served(importer, exported.trusted)) as http:

        async def refused(file: bytes, query: str = "", name: str = "bob", **headers: str) -> tuple[int, str]:
            response = await http.post(
                f"{PATH}?visibility=private{query}", data=file, headers={**bearer(name), **FILE, **headers}
            )
            return response.status, str((await response.json())["error"]["code"])

        assert await refused(b"PK\x03\x04") == (400, "document_rejected")
        assert await refused(poisoned(exported, 0, 2)) == (400, "document_rejected")
        assert await refused(exported.file[:-1]) == (400, "document_rejected")
        assert await refused(exported.file, "&pages=some") == (400, "None")
        assert await refused(exported.file, "&pinned=maybe") == (400, "None")
        assert await refused(exported.file, "&id=../x") == (400, "document_rejected")
        assert await refused(exported.file, name="reader") == (403, "permission_denied")
        assert await refused(exported.file, **{"Content-Encoding": "gzip"}) == (415, "unsupported_encoding")
        given = base64.urlsafe_b64encode(json.dumps(exported.keys.jwks()).encode()).decode().rstrip("=")
        told = {"x-kvproxy-trusted-jwks": given}
        assert await refused(exported.file, **told) == (403, "permission_denied"), "an operator's word only"
        told = {"x-kvproxy-trusted-jwks": "W10"}
        assert await refused(exported.file, name="boss", **told) == (400, "None")
    await asyncio.to_thread(nothing_is_left, importer)


async def test_an_operator_may_trust_a_key_for_one_file(importer: Host, exported: Exported) -> None:
    given = base64.urlsafe_b64encode(json.dumps(exported.keys.jwks()).encode()).decode().rstrip("=")
    async with client_of(served(importer)) as http:
        headers = {**bearer("boss"), **FILE}
        refused = await http.post(f"{PATH}?visibility=private", data=exported.file, headers=headers)
        assert refused.status == 403 and (await refused.json())["error"]["code"] == "signature_refused"
        headers["x-kvproxy-trusted-jwks"] = given
        imported = await http.post(f"{PATH}?visibility=private", data=exported.file, headers=headers)
        assert imported.status == 201 and (await imported.json())["pages"] == 6


async def test_a_body_that_breaks_off_leaves_nothing(importer: Host, exported: Exported) -> None:
    async with client_of(served(importer, exported.trusted)) as http:
        _, writer = await asyncio.open_connection(http.server.host, http.server.port)
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer('bob')['Authorization']}\r\n"
        writer.write(f"{head}Content-Length: {len(exported.file)}\r\n\r\n".encode() + exported.file[:-5000])
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        for _ in range(200):
            if not http.server.runner.server.connections:  # type: ignore[union-attr]  # it runs
                break
            await asyncio.sleep(0.02)
    await asyncio.to_thread(nothing_is_left, importer)


async def test_a_proxy_without_a_store_has_no_files() -> None:
    async with client_of(make_proxy()) as http:
        assert (await http.post(PATH, data=b"x")).status == 404
