from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from kvproxy.client import Client, RequestFailed
from tests.fake_proxy import FakeProxy, running


@pytest.fixture
def proxy() -> Iterator[FakeProxy]:
    with running() as proxy:
        yield proxy


def test_a_publish_reports_progress_and_then_its_result(proxy: FakeProxy) -> None:
    seen: list[tuple[int, int]] = []
    with Client(proxy.url) as client:
        result = client.publish(
            "handbook", "one two", progress=lambda done, total: seen.append((done, total))
        )
        assert result["created"] is True
        assert result["info"]["tokens"] == 2
        assert seen == [(0, 4), (2, 4), (4, 4)]
        assert client.publish("handbook", "one two", visibility="private")["created"] is False
    assert proxy.documents["handbook"]["info"]["visibility"] == "private"


def test_the_base_url_of_an_agent_works_too(proxy: FakeProxy) -> None:
    with Client(proxy.url + "/v1/") as client:
        assert client.documents() == []


def test_documents_are_listed_shown_and_deleted(proxy: FakeProxy) -> None:
    with Client(proxy.url) as client:
        client.publish("handbook", "one two")
        assert [d["id"] for d in client.documents()] == ["handbook"]
        assert "text" not in client.document("handbook@1")
        assert client.document("handbook", text=True)["text"] == "one two"
        client.delete("handbook")
        with pytest.raises(RequestFailed, match="No such document: 'handbook'"):
            client.document("handbook")


@pytest.mark.parametrize(
    ("document", "text", "message"),
    [
        ("x", "", "the text is empty"),
        ("fails-late", "t", "the disk is full"),
        ("dies", "t", "ended the publish without a result"),
    ],
)
def test_a_failed_publish_says_why(proxy: FakeProxy, document: str, text: str, message: str) -> None:
    with Client(proxy.url) as client, pytest.raises(RequestFailed, match=message):
        client.publish(document, text)


def test_the_api_key_is_sent() -> None:
    with running(keys=("a-key-of-16-chars",)) as proxy:
        with Client(proxy.url) as client, pytest.raises(RequestFailed, match="Incorrect API key"):
            client.documents()
        with Client(proxy.url, "a-key-of-16-chars") as client:
            assert client.documents() == []


def test_no_proxy_is_one_sentence() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))  # bound, not listening: nobody answers here
        url = f"http://127.0.0.1:{s.getsockname()[1]}"
        with Client(url) as client:
            for call in (client.documents, lambda: client.publish("x", "y")):
                with pytest.raises(RequestFailed, match="no proxy answers at"):
                    call()


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (httpx.Response(502, text="<html>"), "the proxy answered 502 Bad Gateway"),
        (httpx.Response(200, text="<html>"), "not as a kvproxy does"),
        (httpx.Response(200, json=[]), "not as a kvproxy does"),
    ],
)
def test_something_else_at_that_address(response: httpx.Response, message: str) -> None:
    with Client("http://elsewhere", transport=httpx.MockTransport(lambda _: response)) as client:
        with pytest.raises(RequestFailed, match=message):
            client.documents()


@pytest.mark.parametrize("data", ["<html>", "[1]", "{", "[" * 5000])
@pytest.mark.parametrize("event", ["result", "progress", "error"])
def test_an_event_that_is_no_object_is_one_sentence(event: str, data: str) -> None:
    text = f"event: {event}\ndata: {data}\n\n"
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=httpx.ByteStream(text.encode())))
    with Client("http://elsewhere", transport=transport) as client:
        with pytest.raises(RequestFailed, match="an event is no JSON object"):
            client.publish("x", "y")
        with pytest.raises(RequestFailed, match="an event is no JSON object"):
            next(client.requests(last=1))


def test_progress_without_numbers_is_no_progress() -> None:
    text = 'event: progress\ndata: {}\n\nevent: result\ndata: {"id": "x"}\n\n'
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=text))
    told: list[tuple[int, int]] = []
    with Client("http://elsewhere", transport=transport) as client:
        assert client.publish("x", "y", progress=lambda *p: told.append(p)) == {"id": "x"}
    assert told == []


PATHS = {
    "handbook": "handbook",
    "handbook@3": "handbook@3",
    "law/handbook": "law/handbook",
    "team/a/../b": "team%2Fa%2F..%2Fb",
    "team/./b@2": "team%2F.%2Fb@2",
    "team//b": "team%2F%2Fb",
    "/b": "%2Fb",
    "b/": "b%2F",
    "../b": "..%2Fb",
    "a b?c#d%2F": "a%20b%3Fc%23d%252F",
    "ä": "%C3%A4",
}


@pytest.mark.parametrize(("ref", "path"), PATHS.items())
def test_a_name_is_sent_to_the_letter(ref: str, path: str) -> None:
    """Whatever httpx makes of paths: ``team/a/../b`` was ``team/b`` on its way."""
    sent: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.raw_path)
        return httpx.Response(404, json={"error": {"message": "no"}})

    with Client("http://x", transport=httpx.MockTransport(answer)) as client:
        for ask in (client.document, client.delete, client.verify):
            with pytest.raises(RequestFailed, match="no"):
                ask(ref)
    base = f"/kv/v1/documents/{path}".encode()
    assert sent == [base, base, base + b"/verify"]


@pytest.mark.parametrize("ref", ["", ".", ".."])
def test_what_can_be_no_name_is_not_sent(ref: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"nobody asks {request.url}")

    with Client("http://x", transport=httpx.MockTransport(answer)) as client, pytest.raises(RequestFailed):
        client.delete(ref)


def test_the_environment_names_the_proxy_and_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(keys=("a-key-of-16-chars",)) as proxy:
        monkeypatch.setenv("KVPROXY_URL", proxy.url)
        monkeypatch.setenv("KVPROXY_API_KEY", "a-key-of-16-chars")
        with Client() as client:
            assert client.documents() == []
            assert client.root == proxy.url
    monkeypatch.delenv("KVPROXY_URL")
    with Client() as client:
        assert client.root == "http://127.0.0.1:8321"
