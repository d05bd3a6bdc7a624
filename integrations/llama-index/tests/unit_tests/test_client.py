"""The client against the fake proxy, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from llama_index.llms.kvproxy import (
    DocumentUnknown,
    KVProxyClient,
    KVProxyError,
    ProxyRefused,
    ProxyUnreachable,
)


def client_of(answer: httpx.Response | httpx.HTTPError) -> KVProxyClient:
    def handler(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, httpx.HTTPError):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content)

    return KVProxyClient("http://proxy.test", transport=httpx.MockTransport(handler))


def refusal(status: int, code: str | None) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": "it happened", "code": code}})


@pytest.mark.parametrize("base_url", ["http://p:1", "http://p:1/", "http://p:1/v1", "http://p:1/v1/"])
def test_root_with_or_without_v1(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert KVProxyClient(base_url).base_url == "http://p:1/v1"
    monkeypatch.setenv("KVPROXY_BASE_URL", base_url)
    assert KVProxyClient().root == "http://p:1"


def test_publishes_reads_lists_and_deletes(client: KVProxyClient, name: str) -> None:
    steps: list[tuple[int, int]] = []
    published = client.publish(name, "Thirty days\u2028of leave", progress=lambda *step: steps.append(step))
    assert published["created"] and published["info"]["id"] == name
    assert steps == [(0, 4), (2, 4), (4, 4)]
    assert not asyncio.run(client.apublish(name, "Thirty days\u2028of leave"))["created"]
    assert client.text(name) == asyncio.run(client.atext(name)) == "Thirty days\u2028of leave"
    assert name in [d["id"] for d in asyncio.run(client.adocuments())]
    asyncio.run(client.adelete(name))
    with pytest.raises(DocumentUnknown, match=name):
        asyncio.run(client.adocument(name))


def test_a_text_is_transferred_again_only_when_it_has_changed() -> None:
    kept = {"text": "one", "etag": "1"}
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url.query.decode()))
        whole = request.url.query == b"text=true"
        return httpx.Response(200, json=kept if whole else {"etag": kept["etag"]})

    client = KVProxyClient("http://proxy.test", transport=httpx.MockTransport(handler))
    assert [client.text("a"), client.text("a")] == ["one", "one"]
    assert asked == ["", "text=true", ""]
    kept |= {"text": "two", "etag": "2"}
    assert client.text("a") == "two"


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (httpx.ConnectError("refused"), ProxyUnreachable, "kvproxy serve"),
        (httpx.ReadTimeout(""), ProxyUnreachable, "ReadTimeout"),
        (httpx.Response(200, text="<html>"), ProxyUnreachable, "another server"),
        (httpx.Response(200, json={"hello": 1}), ProxyUnreachable, "another server"),
        (httpx.Response(502, text="bad"), ProxyRefused, "502"),
        (refusal(401, "invalid_api_key"), ProxyRefused, "KVPROXY_API_KEY"),
        (refusal(404, "document_not_found"), DocumentUnknown, "happened"),
    ],
)
def test_what_went_wrong_is_named(
    answer: httpx.Response | httpx.HTTPError, kind: type[KVProxyError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        client_of(answer).documents()
    if not (isinstance(answer, httpx.Response) and answer.is_success):
        with pytest.raises(kind, match=says):
            client_of(answer).publish("a", "b")


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        ("", ProxyUnreachable),
        (
            f"event: error\ndata: {json.dumps({'error': {'message': 'no room', 'code': 'full'}})}\n\n",
            ProxyRefused,
        ),
    ],
)
def test_a_publish_that_does_not_end_well(ending: str, kind: type[KVProxyError]) -> None:
    stream = f': keepalive\n\nevent: progress\ndata: {{"done": 1, "total": 2}}\n\n{ending}'
    with pytest.raises(kind):
        client_of(httpx.Response(200, text=stream)).publish("a", "b")


@pytest.mark.parametrize("ref", ["", "a/../b", "a//b", "./a", "a/", ".."])
def test_an_id_that_would_be_anothers_path_is_not_asked_for(client: KVProxyClient, ref: str) -> None:
    with pytest.raises(ValueError, match="no document's id"):
        client.delete(ref)


def test_the_models_own_name_and_room(client: KVProxyClient) -> None:
    assert client.served_model() == "fake"
    assert client.context_window("fake") == 5000


def test_of_several_models_one_must_be_named() -> None:
    data = [{"id": "a", "owned_by": "upstream"}, {"id": "b", "owned_by": "upstream"}]
    with pytest.raises(KVProxyError, match="a, b"):
        client_of(httpx.Response(200, json={"data": data})).served_model()
    own = [*data, {"id": "c", "owned_by": "kvproxy", "max_model_len": 77}]
    served = client_of(httpx.Response(200, json={"data": own}))
    assert (served.served_model(), served.context_window("c")) == ("c", 77)
