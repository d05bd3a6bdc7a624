"""The documentation of pin, unpin and warm, beside what a proxy does."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import DEFAULT_PERMISSIONS
from kvproxy.errors import CannotFit
from kvproxy.server.openapi.openapi_document import describe
from kvproxy.server.openapi.operation import Operation
from kvproxy.server.openapi.operations.residency_operations import RESIDENCY
from tests.server.doubles import client_of, make_proxy
from tests.server.routes.test_documents_route import DOCUMENTS, publish

PATHS = describe(RESIDENCY, served_name="fake")["paths"]
KEYS = (("ann", "key-of-ann-0123456789"), ("bob", "key-of-bob-0123456789"))


def documented(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = PATHS[operation.path]["post"]
    return found


def switches() -> list[tuple[str, str, list[str]]]:
    return [
        (operation.id, parameter["name"], parameter["schema"]["enum"])
        for operation in RESIDENCY
        for parameter in documented(operation)["parameters"]
        if parameter["in"] == "query"
    ]


def test_each_is_documented_with_its_switches() -> None:
    assert [(o.id, o.path.rpartition("/")[2]) for o in RESIDENCY] == [
        ("pinDocument", "pin"),
        ("unpinDocument", "unpin"),
        ("warmDocument", "warm"),
    ]
    assert [(id, name) for id, name, _ in switches()] == [
        ("pinDocument", "partial"),
        ("warmDocument", "stream"),
    ]


def test_the_progress_of_warming_is_documented_as_events() -> None:
    contents = {o.id: set(documented(o)["responses"]["200"]["content"]) for o in RESIDENCY}
    assert contents == {
        "pinDocument": {"application/json"},
        "unpinDocument": {"application/json"},
        "warmDocument": {"application/json", "text/event-stream"},
    }


@pytest.mark.parametrize(("id", "name", "values"), switches())
async def test_the_documented_values_of_a_switch_are_taken_and_no_other(
    id: str, name: str, values: list[str]
) -> None:
    (operation,) = (o for o in RESIDENCY if o.id == id)
    path = operation.path.format(document="law/handbook")
    async with client_of(make_proxy()) as http:
        await publish(http)
        for value in values:
            response = await http.post(path, params={name: value})
            assert response.status == 200, value
            await response.read()
        refused = await http.post(path, params={name: "perhaps"})
        assert (refused.status, (await refused.json())["error"]["param"]) == (400, name)


@pytest.mark.parametrize("operation", RESIDENCY, ids=lambda o: o.id)
async def test_only_publishers_may_and_refusals_are_documented(operation: Operation) -> None:
    assert operation.needs == "publish"
    answers = documented(operation)["responses"]
    permissions = {"bob": DEFAULT_PERMISSIONS - {"publish"}}
    path = operation.path.format(document="nope")
    async with client_of(make_proxy(api_keys=KEYS, permissions=permissions)) as http:
        for key, status, code in ((KEYS[0][1], 404, "document_not_found"), (KEYS[1][1], 403, None)):
            response = await http.post(path, headers={"Authorization": f"Bearer {key}"})
            error = (await response.json())["error"]
            assert response.status == status and str(status) in answers
            assert code is None or (error["code"] == code and f"`{code}`" in answers["404"]["description"])


async def test_what_does_not_fit_is_the_documented_error() -> None:
    async with client_of(make_proxy()) as http:
        for id in ("one", "two"):
            assert (await http.post(DOCUMENTS, json={"id": id, "text": id * 50})).status == 201
        assert (await http.post(f"{DOCUMENTS}/one/pin")).status == 200
        response = await http.post(f"{DOCUMENTS}/two/pin")
        code = (await response.json())["error"]["code"]
    pin = documented(RESIDENCY[0])
    assert (response.status, code) == (400, CannotFit.code)
    assert f"`{code}`" in pin["responses"]["400"]["description"] and f"400 `{code}`" in pin["description"]
