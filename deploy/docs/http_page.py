"""Generator of docs/reference/http-api.md: every operation, from the table that routes requests."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

from deploy.docs.markdown_text import cell, fill, wrapped
from kvproxy.server.openapi.openapi_document import describe
from kvproxy.server.openapi.operation import LOCAL_MODEL, Operation
from kvproxy.server.openapi.operations import OPERATIONS

MODEL = "qwen3-4b"
"""The local model of the examples."""

_HEAD = """# HTTP API

Every operation, from the table that the server routes by. A running proxy shows the same with all types at `/docs`,
and as OpenAPI 3.1 at `/openapi.json`. Keys go into `Authorization: Bearer`, `x-api-key` or `api-key`; a proxy without
keys serves every caller. *Needs* is the permission that the key must have. Errors: [errors](errors.md); the treatment
of each field of a request: [fields](../fields.md); addresses, browsers, time limits: [HTTP](../http.md).

This page is made from the operations by `python -m deploy.docs.write_pages`.
"""


def http_page() -> str:
    """Return the Markdown of docs/reference/http-api.md."""
    document = describe(OPERATIONS, served_name=MODEL)
    tags = list(dict.fromkeys(operation.tag for operation in OPERATIONS))
    ordered = sorted(OPERATIONS, key=lambda operation: tags.index(operation.tag))
    return _HEAD + "".join(
        f"\n## {tag}\n" + "".join(_operation(operation, document) for operation in operations)
        for tag, operations in groupby(ordered, key=lambda operation: operation.tag)
    )


def _operation(operation: Operation, document: dict[str, Any]) -> str:
    described = document["paths"][operation.path][operation.method.lower()]
    parts = [f"### {operation.method} {operation.path}", f"{operation.summary}.", fill(_facts(operation))]
    parts += [wrapped(operation.description)] if operation.description else []
    if parameters := described.get("parameters"):
        rows = "".join(
            f"| `{p['name']}` | {p['in']} | {_type(p['schema'])} | {cell(p.get('description', ''))} |\n"
            for p in parameters
        )
        parts.append("| parameter | in | type | is |\n| --- | --- | --- | --- |\n" + rows)
    if operation.body is not None:
        parts.append(_fields(operation, document))
    if operation.example is not None:
        shown = {name: MODEL if value == LOCAL_MODEL else value for name, value in operation.example.items()}
        parts.append("```json\n" + json.dumps(shown, indent=2, ensure_ascii=False) + "\n```")
    return "\n" + "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _facts(operation: Operation) -> str:
    needs = "nothing" if operation.needs is None else f"`{operation.needs}`"
    if operation.needs is None and operation.key:
        needs = "a key, where the proxy has keys"
    answers = ", ".join(f"{answer.status} {answer.content}" for answer in operation.answers)
    facts = [f"Needs {needs}", f"answers {answers}"]
    if operation.events is not None:
        facts.append("or streams events")
    if operation.upload is not None:
        facts.append(f"takes a body of {operation.upload}")
    if operation.errors:
        facts.append("errors: " + ", ".join(f"`{kind.code or kind.__name__}`" for kind in operation.errors))
    return "; ".join(facts) + "."


def _fields(operation: Operation, document: dict[str, Any]) -> str:
    assert operation.body is not None
    body = document["paths"][operation.path][operation.method.lower()]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    required = schema.get("required", [])
    names = [f"`{name}`" + ("" if name in required else "?") for name in schema.get("properties", {})]
    told = f"Body: {', '.join(names)}. (`?`: may be left out.)" if names else "Body: a JSON object."
    return fill(told)


def _type(schema: dict[str, Any]) -> str:
    return str(schema.get("type", "text"))
