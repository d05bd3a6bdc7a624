from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from kvproxy.errors import StorageFull
from tests.server.doubles import Http, client_of, make_proxy

DOCUMENTS = "/kv/v1/documents"
TEXT = "Some text. " * 100
ETAG = f'"{hashlib.sha256(TEXT.encode()).hexdigest()}"'


async def publish(http: Http, **fields: Any) -> Any:
    return await http.post(DOCUMENTS, json={"id": "law/handbook", "text": TEXT, **fields})


def events_of(body: str) -> list[tuple[str, Any]]:
    frames = [x.split("\n") for x in body.split("\n\n") if x.startswith("event: ")]
    return [(a.removeprefix("event: "), json.loads(b.removeprefix("data: "))) for a, b in frames]


async def test_publish_list_get_delete() -> None:
    async with client_of(make_proxy()) as http:
        response = await publish(http)
        published = await response.json()
        assert response.status == 201 and response.headers["ETag"] == ETAG
        assert published["created"] is True
        info = published["info"]
        assert (info["id"], info["version"], info["characters"]) == ("law/handbook", 1, len(TEXT))
        assert info["framings"][0]["resident_tokens"] == len(TEXT) + 1
        assert (await publish(http)).status == 200

        listed = await (await http.get(DOCUMENTS)).json()
        quota = {"versions": 100, "bytes": None, "tokens": None}
        usage = {"versions": 0, "bytes": 0, "tokens": 0, "quota": quota, "withdrawn": []}
        assert listed == {"object": "list", "data": [{"object": "kv_document", **info}], "usage": usage}
        for ref in ("law/handbook", "law/handbook@1", "law%2Fhandbook%401"):
            got = await http.get(f"{DOCUMENTS}/{ref}")
            assert await got.json() == listed["data"][0]
        with_text = await (await http.get(f"{DOCUMENTS}/law/handbook?text=true")).json()
        assert with_text == {**listed["data"][0], "text": TEXT}

        gone = await http.delete(f"{DOCUMENTS}/law/handbook@1")
        assert (await gone.json())["deleted"] is True
        missing = await http.get(f"{DOCUMENTS}/law/handbook")
        assert missing.status == 404
        assert (await missing.json())["error"]["code"] == "document_not_found"
        assert (await http.delete(f"{DOCUMENTS}/law/handbook@1")).status == 404


async def test_a_text_that_the_reader_has_is_not_sent_again() -> None:
    async with client_of(make_proxy()) as http:
        await publish(http)
        path = f"{DOCUMENTS}/law/handbook?text=true"
        for known, status in ((ETAG, 304), (f'"x", W/{ETAG}', 304), ("*", 304), ('"x"', 200)):
            response = await http.get(path, headers={"If-None-Match": known})
            assert response.status == status
            assert response.headers["ETag"] == ETAG


async def test_what_is_there_may_be_a_condition() -> None:
    other = {"text": f"{TEXT}More."}
    async with client_of(make_proxy()) as http:
        for headers, fields, status in (
            ({"If-Match": "*"}, {}, 412),
            ({"If-None-Match": "*"}, {}, 201),
            ({"If-None-Match": "*"}, other, 412),
            ({"If-Match": '"x"'}, other, 412),
            ({"If-Match": f"W/{ETAG}"}, other, 412),
            ({"If-Match": f'"x", {ETAG}'}, other, 200),
        ):
            response = await http.post(
                DOCUMENTS, json={"id": "law/handbook", "text": TEXT, **fields}, headers=headers
            )
            assert response.status == status, (headers, await response.text())
            if status == 412:
                assert (await response.json())["error"]["code"] == "precondition_failed"
        path = f"{DOCUMENTS}/law/handbook"
        assert (await http.get(path, headers={"If-Match": ETAG})).status == 412
        assert (await http.delete(path, headers={"If-Match": ETAG})).status == 412
        now = (await http.get(path)).headers["ETag"]
        assert (await http.get(path, headers={"If-Match": now})).status == 200
        assert (await http.delete(path, headers={"If-Match": now})).status == 200


async def test_verify_tells_whether_every_framing_is_exact() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        await publish(http)
        for difference in (0.0, 0.02):
            proxy.backend.difference = difference
            response = await http.post(f"{DOCUMENTS}/law/handbook/verify")
            body = await response.json()
            assert body["object"] == "kv_verification"
            assert body["exact"] is (difference == 0.0)
            (result,) = body["data"]
            assert (result["document"], result["largest_difference"]) == ("law/handbook@1", difference)
            assert result["cached_tokens"] == len(TEXT) + 1
        assert (await http.post(f"{DOCUMENTS}/nope/verify")).status == 404
        for tokens in ("0", "-1", "x", "1.5", "9" * 30, "9" * 5000):
            response = await http.post(f"{DOCUMENTS}/law/handbook/verify?tokens={tokens}")
            assert (response.status, (await response.json())["error"]["param"]) == (400, "tokens")


async def test_a_verification_tells_how_far_it_is() -> None:
    async with client_of(make_proxy(start_delay_s=0.15)) as http:
        await publish(http)
        response = await http.post(f"{DOCUMENTS}/law/handbook/verify?tokens=3&stream=true")
        events = events_of(await response.text())
    *progress, (name, result) = events
    assert len(progress) >= 2 and {n for n, _ in progress} == {"progress"}
    assert name == "result" and result["exact"] is True and result["data"][0]["greedy_tokens"] == 3


@pytest.mark.parametrize("by_header", [False, True])
async def test_progress_then_the_result(by_header: bool) -> None:
    async with client_of(make_proxy(start_delay_s=0.15)) as http:
        response = await http.post(
            DOCUMENTS if by_header else f"{DOCUMENTS}?stream=true",
            json={"id": "handbook", "text": TEXT},
            headers={"Accept": "text/event-stream"} if by_header else {},
        )
        events = events_of(await response.text())
    *progress, (name, result) = events
    assert len(progress) >= 2 and {n for n, _ in progress} == {"progress"}
    done = [p["done"] for _, p in progress]
    assert done == sorted(done) and done[-1] == progress[-1][1]["total"] == len(TEXT) + 1
    assert progress[-1][1]["tokens_per_s"] > 0
    assert name == "result" and result["created"] is True and result["info"]["id"] == "handbook"


async def test_a_refusal_has_its_status_before_the_stream_and_is_an_event_after() -> None:
    proxy = make_proxy(start_delay_s=0.2)
    async with client_of(proxy) as http:
        early = await http.post(f"{DOCUMENTS}?stream=true", json={"id": "x", "text": ""})
        assert early.status == 400
        assert (await early.json())["error"]["code"] == "document_rejected"
        proxy.publisher.refuse = StorageFull("The store is full.")
        late = await http.post(f"{DOCUMENTS}?stream=true", json={"id": "x", "text": TEXT})
        name, body = events_of(await late.text())[-1]
    assert late.status == 200
    assert name == "error" and body["error"]["code"] == "storage_full"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"text": "x"}, "id"),
        ({"id": "x"}, "text"),
        ({"id": 3, "text": "x"}, "id"),
        ({"id": "x", "text": "x", "visibility": "secret"}, "visibility"),
        ({"id": "x", "text": "x", "visible": "public"}, "visible"),
    ],
)
async def test_faults_name_the_field(body: dict[str, Any], param: str) -> None:
    async with client_of(make_proxy()) as http:
        response = await http.post(DOCUMENTS, json=body)
        assert response.status == 400
        assert (await response.json())["error"]["param"] == param


async def test_a_reference_that_names_nothing() -> None:
    async with client_of(make_proxy()) as http:
        for ref in ("a@0", "a@X", "%20"):
            assert (await http.get(f"{DOCUMENTS}/{ref}")).status == 400
