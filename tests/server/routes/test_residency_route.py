from __future__ import annotations

from typing import Any

from kvproxy.errors import DocumentRejected
from tests.server.doubles import Http, client_of, make_proxy
from tests.server.routes.test_documents_route import DOCUMENTS, events_of, publish


async def post(http: Http, path: str) -> tuple[int, Any]:
    response = await http.post(f"{DOCUMENTS}/{path}")
    return response.status, await response.json()


async def test_pin_then_unpin() -> None:
    async with client_of(make_proxy()) as http:
        await publish(http)
        status, body = await post(http, "law/handbook@1/pin")
        framing = {"framing": "system", "asked": 1, "pinned": 1, "limit": None}
        assert status == 200 and body == {
            "object": "kv_pin",
            "document": "law/handbook@1",
            "asked": 1,
            "pinned": 1,
            "limit": None,
            "room": 0,
            "budget": 1,
            "framings": [framing],
        }
        assert (await publish(http, id="other")).status == 201
        status, body = await post(http, "other/pin")
        assert (status, body["error"]["param"]) == (400, "pinned")
        status, body = await post(http, "other/pin?partial=true")
        assert (status, body["pinned"], body["limit"]) == (200, 0, "tenant-budget")
        status, body = await post(http, "law/handbook/unpin")
        assert (status, body["pinned"], body["room"]) == (200, 0, 1)


async def test_warm_streams_its_progress_and_then_the_result() -> None:
    async with client_of(make_proxy()) as http:
        await publish(http)
        status, body = await post(http, "law/handbook/warm")
        assert status == 200 and body["object"] == "kv_warm" and body["document"] == "law/handbook@1"
        assert (body["before"], body["after"] - body["loaded"], body["computed"]) == (0, 0, 0)
        response = await http.post(f"{DOCUMENTS}/law/handbook/warm?stream=true")
        *progress, (name, result) = events_of(await response.text())
        assert {n for n, _ in progress} == {"progress"} and name == "result"
        assert {**result, "seconds": 0} == {**body, "seconds": 0}


async def test_what_is_wrong_is_told() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        await publish(http)
        for operation in ("pin", "unpin", "warm"):
            status, body = await post(http, f"nope/{operation}")
            assert (status, body["error"]["code"]) == (404, "document_not_found")
            assert (await http.get(f"{DOCUMENTS}/nope/{operation}")).status in (404, 405)
        status, body = await post(http, "law/handbook/pin?partial=perhaps")
        assert (status, body["error"]["param"]) == (400, "partial")

        async def refuse(*_: Any, **__: Any) -> Any:
            raise DocumentRejected("'handbook@1' is in quarantine", param="document")

        proxy.publisher.residency.warm = refuse  # type: ignore[method-assign]  # a full engine
        assert (await post(http, "law/handbook/warm"))[0] == 400
