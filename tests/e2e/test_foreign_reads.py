"""Every operation of the API, asked by one tenant for another's things: each answers as for things that do not exist.

The operations come from the list that the server is made from, so that a new one is asked too. Their ids, in paths,
queries and each string of their bodies, are those of another tenant's private document, stored response, request and
key; the same question with an id that nobody has must be answered alike, and no answer may hold another's text.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from kvproxy.server.openapi.operation import LOCAL_MODEL, Operation
from kvproxy.server.openapi.operations import OPERATIONS
from tests.e2e.conftest import Fresh
from tests.e2e.reader import MODEL, Reader
from tests.e2e.texts import document

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CANARY = "QUETZALCOATLUS"
"""A word of the other tenant's text, which no answer to a stranger holds."""
TEXT = f"{CANARY}. {document('a secret', 1_500)} {CANARY}."
ETAG = hashlib.sha256(TEXT.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Foreign:
    """An id of another tenant's, and one of the same form that nobody has."""

    theirs: str
    nobodys: str


@pytest.fixture(scope="module")
def stranger(fresh: Fresh) -> Reader:
    return fresh()


@pytest.fixture(scope="module")
def foreign(fresh: Fresh) -> tuple[Foreign, ...]:
    """Things of the other tenant: a private document, a stored response, a request."""
    owner = fresh()
    owner.publish("secret-handbook", TEXT, "private")
    part = {"type": "kv_document", "document": "secret-handbook"}
    answer = owner.http.post(
        "/v1/responses",
        json={"model": MODEL, "input": f"{CANARY} {TEXT}", "max_output_tokens": 4, "store": True},
    )
    assert answer.status_code == 200, answer.text
    asked = owner.http.post(
        "/v1/chat/completions",
        json={"model": MODEL, "messages": [{"role": "user", "content": [part]}], "max_tokens": 2},
    )
    assert asked.status_code == 200, asked.text
    stored, request = answer.json()["id"], asked.headers["x-request-id"]
    return (
        Foreign("secret-handbook", "hidden-handbook"),
        Foreign("secret-handbook@1", "hidden-handbook@1"),
        Foreign(stored, _other(stored)),
        Foreign(request, _other(request)),
        Foreign(asked.json()["id"], _other(asked.json()["id"])),
    )


def _other(id: str) -> str:
    head, end = id[:-8], id[-8:]
    return head + ("0" * 8 if end != "0" * 8 else "1" * 8)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.id)
def test_another_tenants_things_are_as_ones_that_do_not_exist(
    operation: Operation, stranger: Reader, foreign: tuple[Foreign, ...]
) -> None:
    for id in foreign:
        asked = list(_requests(operation, id.theirs))
        alike = list(_requests(operation, id.nobodys))
        for real, unreal in zip(asked, alike, strict=True):
            answer = _send(stranger.http, real)
            said = answer.text + str(answer.headers)
            assert CANARY not in said and ETAG not in said, (real, answer.text[:500])
            if id.theirs not in json.dumps(real):
                continue
            wanted = _send(stranger.http, unreal)
            assert answer.status_code == wanted.status_code, (real, answer.text, wanted.text)
            if answer.status_code >= 400:
                assert _plain(answer.text, id.theirs) == _plain(wanted.text, id.nobodys), real


def _requests(operation: Operation, id: str) -> Iterator[dict[str, Any]]:
    """The operation's questions about ``id``: in its path and query, then in each string of its example's body."""
    path = operation.path
    query: dict[str, str] = {}
    for parameter in operation.parameters:
        if parameter.where == "path":
            path = path.replace(f"{{{parameter.name}}}", id)
        elif parameter.where == "query":
            query[parameter.name] = (
                id
                if parameter.schema.get("type") == "string" and parameter.name != "stream"
                else parameter.example
            )
    example: Any = copy.deepcopy(dict(operation.example)) if operation.example is not None else None
    base = {"method": operation.method, "url": path}
    yield {**base, "params": {}, "json": _local(example)}
    if query:
        yield {**base, "params": query, "json": _local(example)}
    for changed in _with_string(example, id):
        yield {**base, "params": {}, "json": _local(changed)}
    part = {"type": "kv_document", "document": id}
    if isinstance(example, dict) and "messages" in example:
        yield {
            **base,
            "params": {},
            "json": _local({**example, "messages": [{"role": "user", "content": [part]}]}),
        }
    if isinstance(example, dict) and operation.path.startswith("/v1/responses"):
        item = [{"role": "user", "content": [part]}]
        yield {**base, "params": {}, "json": _local({**example, "input": item})}
        yield {**base, "params": {}, "json": _local({**example, "previous_response_id": id})}


def _with_string(value: Any, id: str) -> Iterator[Any]:
    """The value with each of its strings in turn replaced by ``id``; a model's name is left."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name != "model":
                for changed in _with_string(inner, id):
                    yield {**value, name: changed}
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            for changed in _with_string(inner, id):
                yield [*value[:index], changed, *value[index + 1 :]]
    elif isinstance(value, str):
        yield id


def _local(body: Any) -> Any:
    """The body for the real model, with a short answer."""
    if not isinstance(body, dict):
        return body
    body = json.loads(json.dumps(body).replace(LOCAL_MODEL, MODEL))
    for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        if name in body:
            body[name] = 2
    return body


def _send(http: httpx.Client, request: Mapping[str, Any]) -> httpx.Response:
    arguments = {name: value for name, value in request.items() if value is not None}
    return http.request(**arguments)


def _plain(text: str, id: str) -> str:
    """An error without its request id and the id that was asked for."""
    return re.sub(
        r"(req|chatcmpl|resp|cmpl)[-_][0-9a-zA-Z]{8,}|\d+", "#", text.replace(id.removesuffix("@1"), "ID")
    )
