"""Touching, revoking and naming versions over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.doubles import Http, client_of, make_proxy
from tests.server.routes.test_documents_route import DOCUMENTS, ETAG, publish

HANDBOOK = f"{DOCUMENTS}/law/handbook"


async def error(http: Http, path: str, body: dict[str, Any]) -> tuple[int, str]:
    response = await http.post(f"{HANDBOOK}/{path}", json=body)
    return response.status, (await response.json())["error"]["param"]


async def test_a_version_is_touched_and_revoked() -> None:
    async with client_of(make_proxy()) as http:
        assert (await publish(http, ttl_s=60)).status == 201
        touched = await http.post(f"{HANDBOOK}@1/touch", json={"ttl_s": None})
        assert touched.status == 200 and touched.headers["ETag"] == ETAG
        assert (await touched.json())["expires"] is None
        revoked = await http.post(f"{HANDBOOK}@1/revoke", json={"reason": "it was wrong"})
        assert await revoked.json() == {
            "object": "kv_document.revoked",
            "id": "law/handbook",
            "versions": ["law/handbook@1"],
            "reason": "it was wrong",
        }
        assert (await http.post(f"{HANDBOOK}/touch", json={"ttl_s": 1})).status == 404


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("touch", {}, "ttl_s"),
        ("touch", {"ttl_s": 0}, "ttl_s"),
        ("touch", {"ttl_s": 10**12}, "ttl_s"),
        ("revoke", {}, "reason"),
        ("revoke", {"reason": ""}, "reason"),
        ("revoke", {"reason": "a\nb"}, "reason"),
        ("revoke", {"reason": "a\ud800"}, "reason"),
        ("revoke", {"reason": "x" * 257}, "reason"),
        ("aliases/stable", {"version": 0}, "version"),
        ("aliases/stable", {"version": "1"}, "version"),
    ],
)
async def test_a_wrong_body_names_its_field(path: str, body: dict[str, Any], param: str) -> None:
    async with client_of(make_proxy()) as http:
        await publish(http)
        assert await error(http, path, body) == (400, param)


async def test_an_alias_is_set_and_removed() -> None:
    async with client_of(make_proxy()) as http:
        await publish(http)
        path = f"{HANDBOOK}/aliases/stable"
        absent = await http.post(path, json={}, headers={"If-Match": "*"})
        assert absent.status == 412
        made = await http.post(path, json={}, headers={"If-None-Match": "*"})
        assert made.status == 200 and made.headers["ETag"] == ETAG
        assert await made.json() == {
            "object": "kv_alias",
            "alias": "law/handbook@stable",
            "document": "law/handbook@1",
            "etag": ETAG.strip('"'),
        }
        assert (await http.post(path, json={}, headers={"If-None-Match": "*"})).status == 412
        assert (await http.post(path, json={"version": 1}, headers={"If-Match": ETAG})).status == 200
        removed = await http.delete(path)
        assert await removed.json() == {
            "object": "kv_alias.deleted",
            "alias": "law/handbook@stable",
            "deleted": True,
        }
        assert (await http.delete(path)).status == 404


@pytest.mark.parametrize("alias", ["3", "Stable", "x" * 33, "-a"])
async def test_an_alias_that_could_be_anything_else_is_refused(alias: str) -> None:
    async with client_of(make_proxy()) as http:
        await publish(http)
        assert (await http.post(f"{HANDBOOK}/aliases/{alias}", json={})).status == 400


async def test_an_alias_that_means_nothing_is_no_document() -> None:
    async with client_of(make_proxy()) as http:
        await publish(http)
        for method, path, body in (
            ("GET", "", None),
            ("DELETE", "", None),
            ("POST", "/verify", None),
            ("POST", "/pin", None),
            ("POST", "/touch", {"ttl_s": 1}),
            ("POST", "/revoke", {"reason": "x"}),
        ):
            response = await http.request(method, f"{HANDBOOK}@stable{path}", json=body)
            assert response.status == 404, (method, path)
            assert (await response.json())["error"]["code"] == "document_not_found"


async def test_terms_and_grants_are_not_of_an_alias() -> None:
    async with client_of(make_proxy()) as http:
        await publish(http)
        response = await http.get(f"{HANDBOOK}@stable/terms")
        assert response.status in (400, 404)
