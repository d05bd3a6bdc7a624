"""The OpenAPI document describes all routes, and the answers are as described."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kvproxy import __version__, errors
from kvproxy.accounts.account_values import KeyOrder
from kvproxy.errors import KVProxyError, UpstreamError
from kvproxy.server.app import build_app
from kvproxy.server.openapi.openapi_document import describe
from kvproxy.server.openapi.operation import Operation
from kvproxy.server.openapi.operations import OPERATIONS
from tests.server.doubles import client_of, make_proxy
from tests.server.markets import BOSS, bearer, market_proxy

DOCUMENT = describe(OPERATIONS, served_name="fake")
OTHERS_SERVE = {"createEmbedding", "createQuote", "promoteDocument", "setTerms", "topUp"}
"""Examples that need an upstream, a market, or what was learned: tests of their routes send them."""
WITH_BODY = [o for o in OPERATIONS if o.body is not None and o.id not in OTHERS_SERVE]
STREAMED = [o for o in WITH_BODY if o.events is not None]


def valid(value: Any, schema: dict[str, Any]) -> None:
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def described(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][operation.path][operation.method.lower()]
    return found


def example(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = described(operation)["requestBody"]["content"]["application/json"]["example"]
    return found


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def name_of(operation: Operation) -> str:
    return operation.id


def test_it_describes_every_route_and_no_other() -> None:
    router = build_app(make_proxy().components).router
    routed = {(route.method, str(route.resource and route.resource.canonical)) for route in router.routes()}
    told = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    shown = {pair for pair in routed if pair[1] == "/ui" or pair[1].startswith("/ui/")}
    assert ("GET", "/ui/overview") in shown, "the dashboard has a table of its own"
    assert {pair for pair in routed - shown if pair[0] != "HEAD"} == told
    assert len({o.id for o in OPERATIONS}) == len(OPERATIONS)


def test_its_references_lead_somewhere_and_its_schemas_are_schemas() -> None:
    for node in nodes(DOCUMENT):
        if isinstance(ref := node.get("$ref"), str):
            found: Any = DOCUMENT
            for step in ref.removeprefix("#/").split("/"):
                found = found[step]
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    names = DOCUMENT["components"]["schemas"]
    assert names.keys() >= {"ChatToolBody", "AnthropicToolBody", "ResponseToolBody"}
    assert not any("__" in name for name in names)
    assert DOCUMENT["openapi"] == "3.1.0" and DOCUMENT["info"]["version"] == __version__


@pytest.mark.parametrize("operation", WITH_BODY, ids=name_of)
async def test_an_example_works_and_its_answer_is_as_described(operation: Operation, tmp_path: Path) -> None:
    body = described(operation)["requestBody"]["content"]["application/json"]
    valid(body["example"], body["schema"])
    async with market_proxy(tmp_path) as market, client_of(market.proxy) as http:
        known = await asyncio.to_thread(market.accounts.create_key, KeyOrder("alice", frozenset({"read"})))
        named = {"document": "handbook", "alias": "stable"}
        path = operation.path.format(tenant="alice", key=known.stored.id, **named)
        if "{document}" in operation.path:
            text = {"id": "handbook", "text": "Everyone has 25 days of leave."}
            assert (await http.post("/kv/v1/documents", json=text, headers=bearer(BOSS[1]))).status == 201
        response = await http.post(path, json=body["example"], headers=bearer(BOSS[1]))
        answer = await response.json()
    told = described(operation)["responses"][str(response.status)]
    assert response.status in (200, 201)
    assert response.content_type == "application/json"
    valid(answer, told["content"]["application/json"]["schema"])
    missing = [n for n, h in told["headers"].items() if "$ref" in h and n not in response.headers]
    assert missing == []


@pytest.mark.parametrize("operation", STREAMED, ids=name_of)
async def test_every_event_is_as_described(operation: Operation) -> None:
    publishing = operation.id == "publishDocument"
    stream = {} if publishing else {"stream": True}
    path = f"{operation.path}?stream=true" if publishing else operation.path
    async with client_of(make_proxy()) as http:
        response = await http.post(path, json={**example(operation), **stream})
        lines = (await response.text()).splitlines()
    content = described(operation)["responses"]["200"]["content"][response.content_type]
    schema = content["schema"]
    event = schema["anyOf"][-1] if "anyOf" in schema else schema
    told = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert len(told) >= 2
    assert ("[DONE]" in told) == operation.done == ("anyOf" in schema)
    for data in told:
        valid({"data": data}, schema)
        if data != "[DONE]":
            valid(json.loads(data), event["properties"]["data"]["contentSchema"])


@pytest.mark.parametrize(
    ("path", "kind"), [("/v1/chat/completions", "OpenAIError"), ("/v1/messages", "ErrorBody")]
)
async def test_a_refusal_is_as_described(path: str, kind: str) -> None:
    async with client_of(make_proxy()) as http:
        response = await http.post(path, json={})
        answer = await response.json()
    told = DOCUMENT["paths"][path]["post"]["responses"]["400"]
    assert told["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{kind}"}
    valid(answer, told["content"]["application/json"]["schema"])


def test_every_error_has_the_body_that_is_described() -> None:
    shown = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type)
        and issubclass(kind, KVProxyError)
        and kind.__init__ is KVProxyError.__init__
    ]
    assert len(shown) > 10
    bodies = [kind("What is wrong.").body() for kind in shown]
    bodies.append(UpstreamError("No.", status=418, error={"message": "No.", "code": 7, "extra": True}).body())
    for body in bodies:
        valid(body, {"$ref": "#/components/schemas/OpenAIError"})


def test_what_types_cannot_say_is_said() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert "input" in schemas["ResponsesBody"]["required"]
    assert {"type": "string"} in schemas["AnthropicMessageBody"]["properties"]["content"]["anyOf"]
    unavailable = DOCUMENT["paths"]["/v1/messages"]["post"]["responses"]
    assert (
        "529" in unavailable and "503" not in unavailable and "Retry-After" in unavailable["529"]["headers"]
    )
    assert DOCUMENT["paths"]["/health/live"]["get"]["security"] == []


def test_every_operation_says_which_permission_it_needs() -> None:
    """Declared with the operation, and checked by one middleware: a new one cannot forget it."""
    for operation in OPERATIONS:
        told = described(operation).get("description", "")
        assert (operation.needs is None) == (operation.open and not operation.key), operation.id
        assert operation.needs is None or f"Needs an API key with the scope `{operation.needs}`." in told
    needed = {o.id: o.needs for o in OPERATIONS}
    managing = {"publishDocument", "verifyDocument", "deleteDocument", "createGrant", "revokeGrant"}
    assert {needed[id] for id in managing} == {"publish"}
    assert needed["metrics"] == "metrics"
    accounts = {o.needs for o in OPERATIONS if o.path.startswith(("/kv/v1/keys", "/kv/v1/tenants"))}
    assert accounts == {"admin"}
