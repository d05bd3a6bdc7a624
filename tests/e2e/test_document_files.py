"""A document that one proxy has computed is a hit at another, to the bit; and a kill in between leaves nothing.

One test, since every start takes seconds.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from kvproxy import Client, RequestFailed
from kvproxy.errors import SignatureRefused
from kvproxy.manifests.manifest import MANIFEST_TYP
from kvproxy.receipts.canonical_jws import verify_claims
from tests.e2e.reader import MODEL, reader
from tests.e2e.served import Served
from tests.e2e.texts import document, in_system

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

TEXT = document("handbook", 9_000)
ASKED = in_system(TEXT, "What is it about?")


def proxy_in(folder: Path, model: Path, name: str, trusted: list[dict[str, str]]) -> Served:
    folder.mkdir()
    config = {
        "model": {"name": MODEL},
        "host": {"name": name},
        "documents": {"framings": [{"place": "system"}], "trusted_hosts": trusted},
    }
    return Served(folder, model, config)


def test_a_document_travels_from_proxy_to_proxy(smollm2: Path, tmp_path: Path) -> None:
    file, keys = tmp_path / "handbook.kvdoc", tmp_path / "a.jwks"
    with proxy_in(tmp_path / "a", smollm2, "a.example", []) as a, Client(a.url) as client:
        with reader(a.url) as asking:
            miss = asking.ask(ASKED, max_tokens=24)
        assert miss.cached == 0
        client.publish("handbook", TEXT, visibility="private")
        assert client.verify("handbook", tokens=8)["exact"]
        client.export_document("handbook", file)
        manifest = client.manifest("handbook")
        keys.write_text(json.dumps(client.host()["jwks"]), encoding="utf-8")
    claims = verify_claims(manifest["jws"], MANIFEST_TYP, json.loads(keys.read_text())).claims
    assert claims["verified"]["exact"] and claims["document"]["tokens"] > 1_500
    pages = len(claims["framings"][0]["pages"])

    trusted = [{"name": "a.example", "jwks": str(keys)}]
    b = proxy_in(tmp_path / "b", smollm2, "b.example", trusted)
    with b:
        killed_in_the_middle(b, file)
    b.start()
    try:
        with Client(b.url) as client:
            assert client.documents() == [], "the killed import left nothing visible"
            assert not list((b.store / "pages").glob("*/*.page")), "nor pages on disk"
            result = client.import_document(file, visibility="private", pages="required")
            assert (result["pages"], result["note"]) == (pages, "")
            assert 2 <= result["checked"] <= pages
            with reader(b.url) as asking:
                hit = asking.ask(ASKED, max_tokens=24)
            # The first read of it on this host, which never computed it as a whole.
            assert (hit.outcome, hit.key) == ("hit", "handbook@1")
            assert hit.cached > 1_500 and "exact" in hit.detail
            assert hit.text == miss.text
            assert client.verify("handbook", tokens=8)["exact"]
            taken = client.manifest("handbook")["claims"]
            assert taken["framings"][0]["pages"] == claims["framings"][0]["pages"]
            assert (taken["document"]["origin"], taken["source"]["host"]) == ("imported", "a.example")
    finally:
        assert b.stop() == 0, b.log
    a_stranger_is_refused(smollm2, tmp_path, file)


def killed_in_the_middle(proxy: Served, file: Path) -> None:
    """kill -9 once most pages are there and the end of the file is not."""
    sent = threading.Event()
    half = file.read_bytes()[: file.stat().st_size * 3 // 4]

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(half), 2**18):
            yield half[at : at + 2**18]
        sent.set()
        threading.Event().wait(60)

    def upload() -> None:
        with suppress(httpx.HTTPError):
            httpx.post(f"{proxy.url}/kv/v1/documents/import", content=pieces(), timeout=60)

    thread = threading.Thread(target=upload, daemon=True)
    thread.start()
    assert sent.wait(60)
    pages = proxy.store / "pages"
    for _ in range(600):
        if len(list(pages.glob("*/*.page"))) >= 3:
            break
        threading.Event().wait(0.05)
    assert list(pages.glob("*/*.page")), "pages were staged"
    with Client(proxy.url) as client:
        assert client.documents() == []
    proxy.kill()


def a_stranger_is_refused(smollm2: Path, tmp_path: Path, file: Path) -> None:
    with proxy_in(tmp_path / "c", smollm2, "c.example", []) as c, Client(c.url) as client:
        with pytest.raises(RequestFailed) as caught:
            client.import_document(file)
        assert caught.value.kind is SignatureRefused and client.documents() == []
