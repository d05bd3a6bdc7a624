from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from kvproxy.client import Client, RequestFailed


class Recorded:
    """A proxy that records what it is asked, and answers what it was given."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Any]] = []

    def client(self) -> Client:
        return Client("http://kv.example", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.method, request.url.raw_path.decode(), body))
        answer = self.answers.pop(0)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


def test_the_whole_catalog_is_read_page_by_page() -> None:
    proxy = Recorded({"data": [{"n": 1}, {"n": 2}], "next": "b@2"}, {"data": [{"n": 3}], "next": None})
    with proxy.client() as client:
        assert client.catalog(publisher="acme") == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert [path for _, path, _ in proxy.asked] == [
        "/kv/v1/catalog?publisher=acme&limit=200",
        "/kv/v1/catalog?publisher=acme&limit=200&after=b%402",
    ]


def test_quotes_send_what_they_are_asked_for() -> None:
    proxy = Recorded({"id": 1}, {"id": 2}, {"id": 3})
    with proxy.client() as client:
        client.quote({"messages": []})
        client.quote(document="handbook", max_tokens=5)
        client.quote(sha256="00")
    assert [body for _, _, body in proxy.asked] == [
        {"request": {"messages": []}},
        {"document": "handbook", "max_tokens": 5},
        {"sha256": "00"},
    ]


def test_receipts_and_statements() -> None:
    proxy = Recorded({"jws": "a"}, {"data": [{"jws": "b"}]}, {"jws": "c"}, {"jws": "d"}, {"jwks": {}})
    with proxy.client() as client:
        assert client.receipt("rcpt_/x") == {"jws": "a"}
        assert client.receipts("chatcmpl-1") == [{"jws": "b"}]
        client.statement()
        client.statement(publisher="acme", since="2026-11-01", until="2026-12-01", receipts=True)
        client.host()
    assert [path for _, path, _ in proxy.asked] == [
        "/kv/v1/receipts/rcpt_%2Fx",
        "/kv/v1/receipts?request=chatcmpl-1",
        "/kv/v1/statements",
        "/kv/v1/statements?publisher=acme&from=2026-11-01&to=2026-12-01&receipts=true",
        "/.well-known/kvproxy.json",
    ]


def test_terms_are_read_and_set() -> None:
    proxy = Recorded({"current": None}, {"current": 1})
    with proxy.client() as client:
        client.terms("a/b")
        client.set_terms("a/b", {"kind": "free"}, licence="CC0-1.0")
    assert proxy.asked[0][:2] == ("GET", "/kv/v1/documents/a/b/terms")
    assert proxy.asked[1] == (
        "POST",
        "/kv/v1/documents/a/b/terms",
        {"price": {"kind": "free"}, "licence": "CC0-1.0"},
    )


def test_a_refusal_is_the_clients_one_error() -> None:
    error = {"error": {"message": "No receipt.", "type": "t", "param": None, "code": "receipt_not_found"}}
    with (
        Recorded(httpx.Response(404, json=error)).client() as client,
        pytest.raises(RequestFailed) as refused,
    ):
        client.receipt("rcpt_x")
    assert refused.value.kind is not None and refused.value.kind.__name__ == "ReceiptNotFound"
