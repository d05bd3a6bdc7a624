"""The shared headers of the documentation, beside those that a proxy takes and sends."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kvproxy.errors import InvalidRequest
from kvproxy.server.openapi.openapi_document import describe
from kvproxy.server.openapi.operation import Operation, Parameter
from kvproxy.server.openapi.operations import OPERATIONS
from kvproxy.server.openapi.operations.common_headers import (
    CACHED,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_NONE_MATCH_ANY,
    SESSION,
    TIMED,
    UNCHANGED,
)
from kvproxy.server.requests.session_headers import session_hint
from tests.server.doubles import Http, ask, client_of, make_proxy
from tests.server.routes.test_documents_route import DOCUMENTS, ETAG, publish

CHAT = "/v1/chat/completions"
PATHS = describe(OPERATIONS, served_name="fake")["paths"]
RETAIN, NAME, REUSE = SESSION
PROMPTED = [o for o in OPERATIONS if any(one in o.parameters for one in SESSION)]
CONDITIONAL = [
    pytest.param(o, condition, id=f"{o.id}-{condition.name}")
    for o in OPERATIONS
    for condition in (IF_MATCH, IF_NONE_MATCH_ANY)
    if condition in o.parameters
]


def fits(parameter: Parameter, value: str) -> bool:
    return re.search(parameter.schema["pattern"], value) is not None


def documented(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = PATHS[operation.path][operation.method.lower()]
    return found


def taken(**headers: str) -> bool:
    try:
        return session_hint({name.replace("_", "-"): value for name, value in headers.items()}) is not None
    except InvalidRequest:
        return False


@pytest.mark.parametrize("value", ["0", "300", "9999999", "10000000", "-1", "1.5", "", "5m", "٣"])
def test_the_documented_seconds_are_those_that_are_taken(value: str) -> None:
    assert taken(x_kvproxy_retain=value) is fits(RETAIN, value)


@pytest.mark.parametrize("value", ["chat-7", "a" * 256, "a" * 257, "two words", "schön", "{a}~!"])
def test_the_documented_names_of_sessions_are_those_that_are_taken(value: str) -> None:
    assert taken(x_kvproxy_retain="1", x_kvproxy_session=value) is fits(NAME, value)


def test_the_examples_are_taken_together() -> None:
    hint = session_hint({one.name: one.example for one in SESSION})
    assert hint is not None and (hint.seconds, hint.session) == (float(RETAIN.example), NAME.example)


async def test_the_documented_words_of_reuse_are_taken_and_no_other() -> None:
    words = REUSE.schema["enum"]
    assert REUSE.example in words
    async with client_of(make_proxy()) as http:
        hits = {}
        for word in words:
            for _ in range(2):
                response = await http.post(CHAT, json=ask("x" * 300), headers={REUSE.name: word})
                assert response.status == 200
                hits[word] = "; hit;" in response.headers["Cache-Status"]
        assert hits == {"any": True, "none": False}
        refused = await http.post(CHAT, json=ask(), headers={REUSE.name: "some"})
        assert refused.status == 400


@pytest.mark.parametrize("operation", PROMPTED, ids=lambda o: o.id)
async def test_an_answer_of_a_model_has_no_header_that_is_not_documented(operation: Operation) -> None:
    body = {k: "fake" if k == "model" else v for k, v in (operation.example or {}).items()}
    asked = {RETAIN.name: "300", NAME.name: "chat-7", "anthropic-version": "2023-06-01"}
    async with client_of(make_proxy()) as http:
        response = await http.request(operation.method, operation.path, json=body, headers=asked)
        assert response.status == 200, await response.text()
    told = documented(operation)["responses"]["200"]["headers"]
    assert {name for name in told if name in CACHED} == set(CACHED) and set(TIMED) <= set(told)
    assert all(name in response.headers for name in CACHED)
    sent = {name for name in response.headers if name.lower().startswith("x-kvproxy") or name in told}
    assert sent <= set(told) and "Server-Timing" in sent and "x-kvproxy-retained" in sent


def test_operations_that_compute_a_prompt_are_those_that_take_sessions() -> None:
    generating = {o.id for o in OPERATIONS if o.forwards and o.events is not None}
    assert {o.id for o in PROMPTED} == generating and len(generating) == 4
    assert all(one in o.parameters for o in PROMPTED for one in SESSION)


@pytest.mark.parametrize(("operation", "condition"), CONDITIONAL)
async def test_under_a_condition_that_does_not_hold_nothing_is_changed(
    operation: Operation, condition: Parameter
) -> None:
    path = operation.path.format(document="law/handbook", alias="stable")
    body = operation.example and {**operation.example, "id": "law/handbook"}
    if operation.id == "setAlias":
        body = {"version": 1}
    async with client_of(make_proxy()) as http:
        await publish(http)
        named = await http.post(f"{DOCUMENTS}/law/handbook/aliases/stable", json={})
        assert named.status == 200
        before = await everything(http)
        headers = {condition.name: condition.example}
        response = await http.request(operation.method, path, json=body, headers=headers)
        code = (await response.json())["error"]["code"]
        assert (response.status, code) == (412, "precondition_failed")
        assert await everything(http) == before
    assert f"`{code}`" in documented(operation)["responses"]["412"]["description"]


async def everything(http: Http) -> Any:
    return (await (await http.get(DOCUMENTS)).json())["data"]


def test_whoever_may_have_the_answer_already_may_be_told_so() -> None:
    for operation in OPERATIONS:
        assert (UNCHANGED in operation.answers) is (IF_NONE_MATCH in operation.parameters), operation.id


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if UNCHANGED in o.answers], ids=lambda o: o.id)
async def test_a_current_answer_is_not_sent_again(operation: Operation) -> None:
    told = documented(operation)["responses"]["304"]
    assert "content" not in told and "ETag" in told["headers"]
    assert re.sub("[0-9a-f]", "0", ETAG) == IF_NONE_MATCH.example
    path = operation.path.format(document="law/handbook")
    async with client_of(make_proxy()) as http:
        await publish(http)
        etag = (await http.get(path)).headers["ETag"]
        again = await http.get(path, headers={IF_NONE_MATCH.name: etag})
        assert again.status == UNCHANGED.status == 304 and await again.read() == b""
        assert all(again.headers[name] == etag for name in UNCHANGED.headers)
        other = await http.get(path, headers={IF_NONE_MATCH.name: IF_NONE_MATCH.example})
        assert other.status == 200, "the example is an ETag of nothing"
