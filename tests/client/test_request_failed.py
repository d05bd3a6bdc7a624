from __future__ import annotations

import httpx
import pytest

from kvproxy import errors
from kvproxy.client import Client, RequestFailed, refusal
from kvproxy.errors import KVProxyError


def answered(status: int, error: object, **headers: str) -> RequestFailed:
    return refusal(httpx.Response(status, json={"error": error}, headers=headers))


def test_it_holds_what_the_proxy_said() -> None:
    failed = answered(
        429,
        {"message": "busy", "type": "t", "param": "model", "code": "engine_busy"},
        **{"retry-after": "7"},
    )
    assert (failed.message, failed.param, failed.answered) == ("busy", "model", 429)
    assert (failed.http_status, failed.retry_after_s, failed.kind) == (429, 7, errors.Overloaded)


@pytest.mark.parametrize("retry", ["", "-1", "soon", "٣", "9" * 5000])
def test_a_retry_after_that_is_no_number_is_none(retry: str) -> None:
    response = httpx.Response(503, json={}, headers=[(b"retry-after", retry.encode())])
    assert refusal(response).retry_after_s is None


@pytest.mark.parametrize("error", [None, [], "text", {}, {"message": 3, "code": 404, "param": []}])
def test_an_error_body_of_another_shape_is_told_by_its_status(error: object) -> None:
    failed = answered(404, error)
    assert failed.message == "the proxy answered 404 Not Found"
    assert (failed.error_code, failed.param, failed.kind) == (None, None, None)


def every(root: type[KVProxyError] = KVProxyError) -> list[type[KVProxyError]]:
    return [root, *(found for child in root.__subclasses__() for found in every(child))]


KINDS = [e for e in every() if e.code is not None and e.__module__.startswith("kvproxy.errors")]


@pytest.mark.parametrize("error", KINDS, ids=lambda e: e.__name__)
def test_each_code_names_its_class(error: type[KVProxyError]) -> None:
    assert answered(int(error.status), {"message": "m", "code": error.code}).kind is error


def test_no_answer_has_no_status_of_the_proxys() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("cut", request=request)

    with Client("http://x", transport=httpx.MockTransport(broken)) as client:
        with pytest.raises(RequestFailed, match="the connection to http://x broke: cut") as caught:
            client.documents()
    assert (caught.value.answered, caught.value.http_status, caught.value.kind) == (None, 502, None)


def test_an_error_event_within_a_good_stream_has_its_code() -> None:
    text = 'event: error\ndata: {"error": {"message": "full", "code": "storage_full"}}\n\n'
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=text))
    with (
        Client("http://x", transport=transport) as client,
        pytest.raises(RequestFailed, match="full") as caught,
    ):
        client.publish("x", "y")
    assert (caught.value.kind, caught.value.answered) == (errors.StorageFull, None)
