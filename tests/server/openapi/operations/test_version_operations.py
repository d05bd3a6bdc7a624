"""The documentation of touch, revoke and aliases, beside what a proxy does."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kvproxy.core import LATEST
from kvproxy.server.openapi.openapi_document import describe
from kvproxy.server.openapi.operation import Operation
from kvproxy.server.openapi.operations.version_operations import VERSIONS
from tests.server.doubles import client_of, make_proxy
from tests.server.routes.test_documents_route import publish

PATHS = describe(VERSIONS, served_name="fake")["paths"]
BY_ID = {operation.id: operation for operation in VERSIONS}


def documented(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = PATHS[operation.path][operation.method.lower()]
    return found


def path_of(operation: Operation, **more: str) -> str:
    return operation.path.format(**{"document": "law/handbook", "alias": "stable", **more})


def test_all_are_for_publishers() -> None:
    assert {o.id: o.needs for o in VERSIONS} == {
        "touchDocument": "publish",
        "revokeDocument": "publish",
        "setAlias": "publish",
        "deleteAlias": "publish",
    }


@pytest.mark.parametrize("operation", [o for o in VERSIONS if o.body is not None], ids=lambda o: o.id)
async def test_the_documented_example_is_answered_as_documented(operation: Operation) -> None:
    async with client_of(make_proxy()) as http:
        await publish(http)
        response = await http.request(operation.method, path_of(operation), json=operation.example)
        answer = documented(operation)["responses"][str(response.status)]
        assert response.status == 200
        assert all(name in response.headers for name in answer["headers"])
        assert ("ETag" in response.headers) == ("ETag" in answer["headers"])


@pytest.mark.parametrize("operation", VERSIONS, ids=lambda o: o.id)
async def test_an_unknown_document_is_the_documented_error(operation: Operation) -> None:
    async with client_of(make_proxy()) as http:
        response = await http.request(operation.method, path_of(operation), json=operation.example)
        code = (await response.json())["error"]["code"]
    assert (response.status, code) == (404, "document_not_found")
    assert f"`{code}`" in documented(operation)["responses"]["404"]["description"]


@pytest.mark.parametrize("id", ["setAlias", "deleteAlias"])
async def test_an_alias_may_have_a_condition(id: str) -> None:
    operation = BY_ID[id]
    headers = {p["name"] for p in documented(operation)["parameters"] if p["in"] == "header"}
    assert headers == ({"If-Match", "If-None-Match"} if id == "setAlias" else {"If-Match"})
    async with client_of(make_proxy()) as http:
        await publish(http)
        response = await http.post(path_of(BY_ID["setAlias"]), json={}, headers={"If-Match": '"other"'})
        code = (await response.json())["error"]["code"]
    assert f"`{code}`" in documented(operation)["responses"][str(response.status)]["description"]
    assert (response.status, code) == (412, "precondition_failed")


def test_a_version_that_has_ended_is_gone() -> None:
    for id in ("touchDocument", "revokeDocument", "setAlias"):
        told = documented(BY_ID[id])["responses"]["410"]["description"]
        assert "`document_revoked`" in told and "`document_expired`" in told
    assert "410" not in documented(BY_ID["deleteAlias"])["responses"], "an alias of it can be removed"


@pytest.mark.parametrize("alias", ["stable", "v2.1_rc-3", "a" * 32, "a" * 33, "3", "Stable", "-a"])
async def test_the_documented_pattern_of_an_alias_is_the_one_that_counts(alias: str) -> None:
    (parameter,) = (p for p in documented(BY_ID["setAlias"])["parameters"] if p["name"] == "alias")
    fits = re.search(parameter["schema"]["pattern"], alias) is not None
    async with client_of(make_proxy()) as http:
        await publish(http)
        response = await http.post(path_of(BY_ID["setAlias"], alias=alias), json={})
        assert (response.status == 200) is fits


def test_the_alias_that_every_document_has_is_told() -> None:
    (parameter,) = (p for p in documented(BY_ID["setAlias"])["parameters"] if p["name"] == "alias")
    assert f"`{LATEST}` is always the current version" in parameter["description"]
