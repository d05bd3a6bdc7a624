"""Render the OpenAPI document as one page of HTML.

Swagger UI and Redoc were rejected: their bundles are a megabyte of JavaScript for tables of fields. This page needs
no network and no script.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from html import escape
from importlib.resources import files
from itertools import groupby
from typing import Any
from urllib.parse import quote

from kvproxy.server.openapi.docs_types import fields_table, prose, slug, type_html

_Json = Mapping[str, Any]


def page(document: _Json) -> str:
    """Return the page. ``document`` is OpenAPI 3.1, as ``describe`` makes it."""
    operations = list(_operations(document))
    info, schemas = document["info"], document["components"]["schemas"]
    sections = "".join(_section(tag, list(group), schemas) for tag, group in groupby(operations, key=_tag))
    shown = {_body(operation) for operation in operations}
    style = files("kvproxy.server").joinpath("docs.css").read_text(encoding="utf-8")
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])} API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<style>{style}</style></head><body>"
        f"{_navigation(operations)}<main>"
        f"<header><h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>"
        f"{prose(info['description'])}{_how_to_call(document)}</header>"
        f"{sections}{_types({n: s for n, s in schemas.items() if n not in shown})}</main></body></html>\n"
    )


def _operations(document: _Json) -> Iterator[_Json]:
    """Return the operations with their ``method`` and ``path``, grouped by tag."""
    listed = [
        {"method": method.upper(), "path": path, **operation}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    order = [tag["name"] for tag in document["tags"]]
    return iter(sorted(listed, key=lambda operation: order.index(_tag(operation))))


def _tag(operation: _Json) -> str:
    tag: str = operation["tags"][0]
    return tag


def _navigation(operations: list[_Json]) -> str:
    parts = ['<nav aria-label="Operations"><details open><summary>Contents</summary>']
    for tag, group in groupby(operations, key=_tag):
        links = "".join(
            f'<li><a href="#{o["operationId"]}">{_method(o)} <span>{_breakable(o["path"])}</span></a></li>'
            for o in group
        )
        parts.append(f'<h2><a href="#{slug(tag)}">{escape(tag)}</a></h2><ul>{links}</ul>')
    parts.append('<h2><a href="#types">Types</a></h2></details></nav>')
    return "".join(parts)


def _how_to_call(document: _Json) -> str:
    schemes = "".join(
        f"<li>{prose(scheme['description'], inline=True)}</li>"
        for scheme in document["components"]["securitySchemes"].values()
    )
    return (
        f"<p>Send the API key in one of these headers; a proxy without keys needs none:</p><ul>{schemes}</ul>"
        "<p>The examples below take the proxy's address and key from the environment:</p>"
        "<pre>export KVPROXY_URL=http://127.0.0.1:8321 KVPROXY_API_KEY=none</pre>"
        '<p>For programs: <a href="/openapi.json">/openapi.json</a>, OpenAPI 3.1.</p>'
    )


def _section(tag: str, operations: list[_Json], schemas: _Json) -> str:
    articles = "".join(_operation(operation, schemas) for operation in operations)
    return f'<section><h2 id="{slug(tag)}">{escape(tag)}</h2>{articles}</section>'


def _operation(operation: _Json, schemas: _Json) -> str:
    parts = [
        f'<article id="{operation["operationId"]}">',
        f"<h3>{_method(operation)} <code>{_breakable(operation['path'])}</code></h3>",
        f'<p class="summary">{escape(operation["summary"])}</p>',
        prose(operation.get("description", "")),
        f"<pre>{escape(_curl(operation))}</pre>",
    ]
    if parameters := operation.get("parameters"):
        parts += ["<h4>Parameters</h4>", _parameters(parameters)]
    if (body := _body(operation)) is not None:
        parts += ["<h4>Body</h4>", fields_table(schemas[body])]
    parts += ["<h4>Answers</h4>", _answers(operation["responses"]), "</article>"]
    return "".join(parts)


def _body(operation: _Json) -> str | None:
    """Return the name of the body's type; None without a body, or for a file."""
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        return None
    ref: str = content["application/json"]["schema"]["$ref"]
    return ref.rsplit("/", 1)[-1]


def _parameters(parameters: list[_Json]) -> str:
    properties = {
        p["name"]: {**p["schema"], "description": f"In the {p['in']}. {p['description']}"} for p in parameters
    }
    required = [p["name"] for p in parameters if p["required"]]
    return fields_table({"properties": properties, "required": required})


def _answers(responses: _Json) -> str:
    rows = []
    for status, response in responses.items():
        said = [
            f"{escape(kind)}: {type_html(_data(content['schema']))}"
            for kind, content in response.get("content", {}).items()
        ]
        headers = ", ".join(f"<code>{escape(name)}</code>" for name in response["headers"])
        rows.append(
            f'<tr><th scope="row">{escape(status)}</th><td>{prose(response["description"], inline=True)}'
            f'<div class="more">{"<br>".join(said)}</div><div class="more">Headers: {headers}</div></td></tr>'
        )
    return f'<div class="scroll"><table class="answers"><tbody>{"".join(rows)}</tbody></table></div>'


def _data(schema: _Json) -> _Json:
    """Return the schema of an answer, or of the data of its events where it is an event stream."""
    event = next((x for x in reversed(schema.get("anyOf", [schema])) if "properties" in x), schema)
    data: _Json = event.get("properties", {}).get("data", {})
    found: _Json = data.get("contentSchema", schema)
    return found


def _types(schemas: _Json) -> str:
    parts = ['<section><h2 id="types">Types</h2>']
    for name, schema in schemas.items():
        parts.append(f'<article class="type" id="type-{slug(name)}"><h3><code>{escape(name)}</code></h3>')
        parts.append(prose(schema.get("description", "")))
        parts.append(fields_table(schema) if "properties" in schema else f"<p>{type_html(schema)}</p>")
        parts.append("</article>")
    return "".join([*parts, "</section>"])


def _curl(operation: _Json) -> str:
    path = operation["path"]
    for parameter in operation.get("parameters", ()):
        path = path.replace(f"{{{parameter['name']}}}", quote(parameter["example"], safe="/@"))
    method = "" if operation["method"] == "GET" else f"-X {operation['method']} "
    lines = [f'curl {method}"$KVPROXY_URL{path}"']
    if "security" not in operation:
        lines.append('-H "Authorization: Bearer $KVPROXY_API_KEY"')
    if body := operation.get("requestBody"):
        lines[0] = lines[0].replace("-X POST ", "")
        ((kind, content),) = body["content"].items()
        lines.append(f"-H 'Content-Type: {kind}'")
        if "example" in content:
            example = json.dumps(content["example"], indent=2, ensure_ascii=False)
            lines.append(f"-d {shlex.quote(example)}")
        else:
            lines.append("--data-binary @FILE")
    return " \\\n  ".join(lines)


def _method(operation: _Json) -> str:
    method = operation["method"]
    return f'<b class="method {method.lower()}">{method}</b>'


def _breakable(path: str) -> str:
    return escape(path).replace("/", "/<wbr>")
