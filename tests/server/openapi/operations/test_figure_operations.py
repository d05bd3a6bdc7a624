"""The documentation of the overview and of the misses, beside what a proxy does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kvproxy.core import ALL_PERMISSIONS, DEFAULT_PERMISSIONS, Permission
from kvproxy.server.openapi.openapi_document import describe
from kvproxy.server.openapi.operation import Operation
from kvproxy.server.openapi.operations import OPERATIONS
from kvproxy.server.openapi.operations.figure_operations import FIGURES
from tests.server.doubles import Http, ask, client_of, make_proxy
from tests.server.markets import BOSS, bearer, market_proxy

DOCUMENT = describe(FIGURES, served_name="fake")
KEYS = tuple((name, f"key-of-{name}-0123456789") for name in ("ann", "bob", "mute"))
PERMISSIONS: dict[str, frozenset[Permission]] = {
    "ann": ALL_PERMISSIONS,
    "bob": DEFAULT_PERMISSIONS,
    "mute": DEFAULT_PERMISSIONS - {"read"},
}


def documented(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][operation.path]["get"]
    return found


def parameter(operation: Operation, name: str) -> dict[str, Any]:
    (found,) = (one for one in documented(operation)["parameters"] if one["name"] == name)
    assert isinstance(found, dict) and found["in"] == "query"
    return found


async def miss(http: Http, count: int) -> None:
    for number in range(count):
        response = await http.post("/v1/chat/completions", json=ask(f"{number} is too short for a page"))
        assert response.status == 200
        await response.read()


NUMBERS = [
    (operation, one.name)
    for operation in FIGURES
    for one in operation.parameters
    if one.schema["type"] == "integer"
]


def test_both_are_served_and_read_alone() -> None:
    assert {o.path: (o.method, o.needs, o.open) for o in FIGURES} == {
        "/kv/v1/overview": ("GET", "read", False),
        "/kv/v1/misses": ("GET", "read", False),
    }
    assert all(operation in OPERATIONS for operation in FIGURES)


@pytest.mark.parametrize("operation", FIGURES, ids=lambda o: o.id)
async def test_the_answer_is_the_documented_one(operation: Operation) -> None:
    told = documented(operation)["responses"]["200"]
    async with client_of(make_proxy()) as http:
        await miss(http, 2)
        response = await http.get(operation.path)
        answer = await response.json()
    assert response.status == 200 and all(name in response.headers for name in told["headers"])
    assert "no-store" in response.headers["Cache-Control"] and "Cache-Control" in told["headers"]
    schema = told["content"]["application/json"]["schema"]
    checked = Draft202012Validator({**schema, "components": DOCUMENT["components"]})
    checked.validate(answer)
    name = next(iter(answer))
    assert not checked.is_valid({**answer, name: None}), "the schema is not one that lets everything pass"


@pytest.mark.parametrize(("operation", "name"), NUMBERS, ids=lambda one: getattr(one, "id", one))
async def test_the_documented_bounds_of_a_number_are_those_that_count(
    operation: Operation, name: str
) -> None:
    told = parameter(operation, name)
    least, most = told["schema"]["minimum"], told["schema"]["maximum"]
    assert least <= told["schema"]["default"] <= most and least <= int(told["example"]) <= most
    async with client_of(make_proxy()) as http:
        for value, status in ((least, 200), (most, 200), (least - 1, 400), (most + 1, 400), ("x", 400)):
            response = await http.get(operation.path, params={name: str(value)})
            assert response.status == status, value
            error = (await response.json()).get("error", {})
            assert error.get("param") == (name if status == 400 else None)


async def test_the_documented_default_is_the_one_that_counts() -> None:
    overview, misses = FIGURES
    most = parameter(misses, "most")["schema"]["default"]
    async with client_of(make_proxy()) as http:
        await miss(http, most + 2)
        series = (await (await http.get(overview.path)).json())["series"]
        assert len(series) == parameter(overview, "points")["schema"]["default"]
        assert len((await (await http.get(misses.path)).json())["data"]) == most
        more = await http.get(misses.path, params={"most": str(most + 2)})
        assert len((await more.json())["data"]) == most + 2


async def test_each_documented_cause_may_be_asked_for_and_no_other() -> None:
    _, misses = FIGURES
    told = parameter(misses, "cause")
    assert told["example"] in told["schema"]["enum"]
    async with client_of(make_proxy()) as http:
        await miss(http, 1)
        listed = [
            (await (await http.get(misses.path, params={"cause": cause})).json())["data"]
            for cause in told["schema"]["enum"]
        ]
        assert sum(len(one) for one in listed) == 1, "a miss has one cause of the list"
        refused = await http.get(misses.path, params={"cause": "bad-luck"})
        assert (refused.status, (await refused.json())["error"]["param"]) == (400, "cause")


@pytest.mark.parametrize("operation", FIGURES, ids=lambda o: o.id)
@pytest.mark.parametrize(
    ("key", "tenant", "status"),
    [
        ("ann", "all", 200),
        ("bob", "all", 403),
        ("bob", "bob", 200),
        ("bob", "ann", 403),
        ("mute", "mute", 403),
    ],
)
async def test_refusals_are_documented(operation: Operation, key: str, tenant: str, status: int) -> None:
    async with client_of(make_proxy(api_keys=KEYS, permissions=PERMISSIONS)) as http:
        headers = {"Authorization": f"Bearer {dict(KEYS)[key]}"}
        response = await http.get(operation.path, params={"tenant": tenant}, headers=headers)
        answer = await response.json()
        stranger = await http.get(operation.path)
    assert (response.status, stranger.status) == (status, 401)
    if status != 200:
        responses = documented(operation)["responses"]
        assert f"`{answer['error']['code']}`" in responses[str(status)]["description"]


@pytest.mark.parametrize("operation", FIGURES, ids=lambda o: o.id)
async def test_a_tenant_that_nobody_is_is_the_documented_error(operation: Operation, tmp_path: Path) -> None:
    async with market_proxy(tmp_path) as market, client_of(market.proxy) as http:
        response = await http.get(operation.path, params={"tenant": "nobody"}, headers=bearer(BOSS[1]))
        code = (await response.json())["error"]["code"]
    assert response.status == 404
    assert f"`{code}`" in documented(operation)["responses"]["404"]["description"]
