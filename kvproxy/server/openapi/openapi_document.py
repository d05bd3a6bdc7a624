"""The operations as an OpenAPI 3.1 document."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from kvproxy import __version__
from kvproxy.errors import AuthenticationFailed, KVProxyError, PermissionDenied, Retryable, ShuttingDown
from kvproxy.server.middleware.error_dialect import is_anthropic
from kvproxy.server.openapi.named_schemas import Schemas
from kvproxy.server.openapi.operation import LOCAL_MODEL, DocumentedAnswer, Operation, Parameter
from kvproxy.wire.anthropic.errors import OVERLOADED, anthropic_status
from kvproxy.wire.anthropic.types import ErrorBody
from kvproxy.wire.service.service_types import OpenAIError

_DESCRIPTION = """\
OpenAI's and Anthropic's APIs in front of a model that keeps the KV of published documents.

This description is of requests for the local model. A request for an upstream's model is passed on with all its \
fields, also those not listed here, and the upstream's answer is returned. Unknown fields are ignored; fields that \
would change the answer and are not supported are refused, and the error names them.

Every answer has the request's `x-request-id`, or a new one.

OPTIONS returns the methods of a path; HEAD answers as GET does, without the body. Neither is listed below."""

_AMOUNT = {"type": "string", "pattern": "^[0-9]+([.][0-9]+)?$"}

_HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "x-request-id": ("The request's own id, or a new one.", {"type": "string"}),
    "request-id": ("The same as `x-request-id`.", {"type": "string"}),
    "Cache-Status": (
        'RFC 9211. A hit: `kvproxy; hit; key="handbook@3"; detail="tokens=3774,exact"`, with `exact` only where the '
        "engine has shown that kept pages give the bits of a prefill. A miss, with its reason, and with what "
        "differed where that was known in time: "
        '`kvproxy; fwd=miss; detail="no-document; cause=timestamp"`. An upstream\'s model: `kvproxy; fwd=bypass`.',
        {"type": "string"},
    ),
    "Server-Timing": ("Milliseconds by phase of the request; not for upstreams' models.", {"type": "string"}),
    "Cache-Control": ("`no-store` where the answer has a key.", {"type": "string"}),
    "Content-Disposition": ("The name of the file.", {"type": "string"}),
    "Retry-After": ("Seconds to wait before the next try.", {"type": "string", "pattern": "^[0-9]+$"}),
    "Vary": ("Request headers that the answer depends on.", {"type": "string"}),
    "ETag": ("Changes when the content of the answer changes.", {"type": "string"}),
    "WWW-Authenticate": ("The scheme in which to send the API key.", {"type": "string"}),
    "x-kvproxy-retained": (
        "The answer to `x-kvproxy-retain` or a `ttl`: `300; asked=14; pages=12` holds 12 of the prompt's 14 own pages "
        "for 300 seconds; `0; released=12`.",
        {"type": "string"},
    ),
    "x-kvproxy-cost": ("The price of a whole answer, where a tariff prices the model.", _AMOUNT),
    "x-kvproxy-cold-cost": ("The price of the same answer without kept pages.", _AMOUNT),
    "x-kvproxy-hold": ("Of a stream: the most that it may cost; its price is in its usage.", _AMOUNT),
    "x-kvproxy-cold-prompt-cost": ("Of a stream: the price of its prompt without kept pages.", _AMOUNT),
}

_SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "`Authorization: Bearer KEY`, as OpenAI's clients send it.",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "`x-api-key: KEY`, as Anthropic's clients send it.",
    },
    "azureKey": {
        "type": "apiKey",
        "in": "header",
        "name": "api-key",
        "description": "`api-key: KEY`, as Azure's clients send it.",
    },
}


def describe(operations: Sequence[Operation], *, served_name: str) -> dict[str, Any]:
    """Return the OpenAPI document. ``served_name``: the local model's, for examples. Pure; takes some tenths of a
    second."""
    schemas = Schemas(_types(operations))
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for operation in operations:
        paths[operation.path][operation.method.lower()] = _operation(operation, schemas, served_name)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "kvproxy",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(o.tag for o in operations)],
        # Keys are optional: a proxy without keys serves every caller.
        "security": [{"bearer": []}, {"apiKey": []}, {"azureKey": []}],
        "paths": dict(paths),
        "components": {
            "schemas": schemas.components,
            "headers": {name: _header(name, required=True) for name in _HEADERS},
            "securitySchemes": _SECURITY,
        },
    }


def _types(operations: Sequence[Operation]) -> tuple[list[Any], list[Any]]:
    """Return the request types, and the response types."""
    written: list[Any] = [OpenAIError, ErrorBody]
    for operation in operations:
        written += [a.type for a in operation.answers if a.type is not None]
        written += [operation.events] if operation.events is not None else []
    return [o.body for o in operations if o.body is not None], written


def _operation(operation: Operation, schemas: Schemas, served_name: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if description := _described(operation):
        described["description"] = description
    if operation.open and not operation.key:
        described["security"] = []
    if operation.parameters:
        described["parameters"] = [_parameter(p, served_name) for p in operation.parameters]
    if operation.body is not None:
        content: dict[str, Any] = {"schema": schemas.read(operation.body)}
        if operation.example is not None:
            content["example"] = {
                k: served_name if v == LOCAL_MODEL else v for k, v in operation.example.items()
            }
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    if operation.upload is not None:
        file = {"schema": {"type": "string", "format": "binary"}}
        described["requestBody"] = {"required": True, "content": {operation.upload: file}}
    described["responses"] = {
        **{str(a.status): _answer(operation, a, schemas) for a in operation.answers},
        **_failures(operation, schemas),
    }
    return described


def _described(operation: Operation) -> str:
    needs = None if operation.needs is None else f"Needs an API key with the scope `{operation.needs}`."
    return "\n\n".join(text for text in (operation.description, needs) if text)


def _parameter(parameter: Parameter, served_name: str) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.description,
        "required": parameter.where == "path",
        "schema": dict(parameter.schema),
        "example": served_name if parameter.example == LOCAL_MODEL else parameter.example,
    }


def _answer(operation: Operation, answer: DocumentedAnswer, schemas: Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": answer.description,
        "headers": {
            **_headers(operation, answer.headers),
            **{name: _header(name, required=False) for name in answer.sometimes},
        },
    }
    if answer.type is not None:
        described["content"] = {answer.content: {"schema": schemas.written(answer.type)}}
        if answer.also is not None:
            described["content"][answer.also] = {"schema": {"type": "string"}}
        if operation.events is not None and answer.status == HTTPStatus.OK:
            described["content"]["text/event-stream"] = {"schema": _event(operation, schemas)}
    return described


def _event(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    """Return the schema of one event of a stream, as in OpenAPI 3.2; 3.1 has no schema for a sequence."""
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": schemas.written(operation.events),
    }
    event = _object_of(event={"type": "string"}, data=data)
    if not operation.done:
        return {"description": "Each event of the stream.", **event}
    done = _object_of(data={"const": "[DONE]"})
    return {"description": "Each event of the stream; the last is `[DONE]`.", "anyOf": [done, event]}


def _object_of(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": ["data"]}


def _failures(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    """Return each error status with its codes; ``default`` is for errors of an upstream."""
    kinds: list[type[KVProxyError]] = [KVProxyError, *operation.errors]
    if not operation.open:
        kinds += [AuthenticationFailed, PermissionDenied, ShuttingDown]
    anthropic, openai = is_anthropic(operation.path) or operation.both, not is_anthropic(operation.path)
    by_status: dict[int, list[type[KVProxyError]]] = defaultdict(list)
    for kind in dict.fromkeys(kinds):
        told = {int(kind.status)} if openai else set()
        for status in told | ({anthropic_status(int(kind.status))} if anthropic else set()):
            by_status[status].append(kind)
    schema = schemas.written(OpenAIError if openai else ErrorBody)
    if openai and anthropic:
        schema = {"anyOf": [schema, schemas.written(ErrorBody)]}
    content = {"application/json": {"schema": schema}}
    failures: dict[str, Any] = {}
    for status, errors in sorted(by_status.items()):
        headers = ["Retry-After"] if all(_retryable(e) for e in errors) else []
        if status == HTTPStatus.UNAUTHORIZED:
            headers.append("WWW-Authenticate")
        failures[str(status)] = {
            "description": _codes(status, errors),
            "headers": _headers(operation, headers),
            "content": content,
        }
    if operation.forwards:
        failures["default"] = {
            "description": "An upstream's error, with the upstream's status and body.",
            "headers": _headers(operation, []),
            "content": content,
        }
    return failures


def _retryable(kind: type[KVProxyError]) -> bool:
    return issubclass(kind, Retryable)


def _codes(status: int, errors: Iterable[type[KVProxyError]]) -> str:
    phrase = "Overloaded" if status == OVERLOADED else HTTPStatus(status).phrase
    codes = [f"`{e.code or e.type}`" for e in errors]
    return f"{phrase}: {', '.join(dict.fromkeys(codes))}."


def _headers(operation: Operation, names: Iterable[str]) -> dict[str, Any]:
    always = ["x-request-id", "request-id"] if is_anthropic(operation.path) else ["x-request-id"]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*always, *names)}


def _header(name: str, *, required: bool) -> dict[str, Any]:
    description, schema = _HEADERS[name]
    return {"description": description, "required": required, "schema": schema}
