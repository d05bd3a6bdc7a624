"""Validates recorded exchanges with the models that the Python SDKs of OpenAI and Anthropic ship.

The SDKs build their objects without validation, so what they would refuse shows only in frameworks on top of them,
which do validate. Runs in a clients' environment: ``python sdk_models.py EXCHANGES.jsonl``. Prints a summary as JSON;
exits 1 when a model refuses anything, or when an answer has a key that no model knows.
"""

from __future__ import annotations

import base64
import json
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseItem, ResponseStreamEvent
from openai.types.shared import ErrorObject
from pydantic import BaseModel, TypeAdapter, ValidationError

WHOLE: dict[str, Any] = {
    "/v1/chat/completions": ChatCompletion,
    "/v1/completions": Completion,
    "/v1/embeddings": CreateEmbeddingResponse,
    "/v1/responses": Response,
}
EVENTS: dict[str, Any] = {
    "/v1/chat/completions": ChatCompletionChunk,
    "/v1/completions": Completion,
    "/v1/responses": ResponseStreamEvent,
}

ADDED = frozenset(
    {"reasoning_content", "max_model_len", "context_window", "context_length", "root", "parent"}
)
"""Keys beside OpenAI's: what clients of reasoning models look for, and what agents read of a model's context."""
SPECIFIED = frozenset({"store", "bytes", "name", "details"})
"""Keys of the published specifications, or of the services' own answers, that the SDKs' models lack."""

if find_spec("anthropic") is not None:
    from anthropic.types import Message, MessageTokensCount, RawMessageStreamEvent
    from anthropic.types.shared import ErrorResponse

    WHOLE |= {"/v1/messages": Message, "/v1/messages/count_tokens": MessageTokensCount}
    EVENTS |= {"/v1/messages": RawMessageStreamEvent}
    ANTHROPIC_ERROR: Any = ErrorResponse
else:
    ANTHROPIC_ERROR = None


def main() -> int:
    counts: Counter[str] = Counter()
    faults: list[str] = []
    for number, line in enumerate(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()):
        exchange = json.loads(line)
        where = f"{number} {exchange['method']} {exchange['path']} {exchange['status']}"
        for model, value in _objects(exchange):
            counts[_name(model)] += 1
            faults += [f"{where}: {fault}" for fault in _faults(model, value)]
    json.dump({"validated": dict(counts), "faults": faults}, sys.stdout, indent=1)
    return 1 if faults else 0


def _objects(exchange: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Each object of an answer with the model that a client would read it with."""
    path, body = exchange["path"].split("?")[0], base64.b64decode(exchange["response"])
    anthropic = path.startswith("/v1/messages")
    if exchange["content_type"].startswith("text/event-stream"):
        for event in _events(body):
            if event.get("type") == "ping":
                continue
            if "error" in event and event.get("type") in (None, "error"):
                yield _error(anthropic, event)
            elif path in EVENTS:
                yield EVENTS[path], _chunk_of_text(event) if path == "/v1/completions" else event
        return
    if not exchange["content_type"].startswith("application/json") or path.startswith("/kv/"):
        return
    value = json.loads(body)
    if exchange["status"] >= 400:
        yield _error(anthropic, value)
    elif path == "/v1/models":
        yield from ((Model, x) for x in value["data"])
    elif path.endswith("/input_items"):
        yield from ((ResponseItem, x) for x in value["data"])
    elif path in WHOLE:
        yield WHOLE[path], value
    elif exchange["method"] == "GET" and path.startswith("/v1/responses/"):
        yield Response, value


def _error(anthropic: bool, value: dict[str, Any]) -> tuple[Any, Any]:
    if anthropic and ANTHROPIC_ERROR is not None:
        return ANTHROPIC_ERROR, value
    return (dict, value) if anthropic else (ErrorObject, value["error"])


def _chunk_of_text(event: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's service streams text completions with a null finish_reason, which its SDK's one model for them and for
    whole answers has no room for."""
    choices = [{**c, "finish_reason": c["finish_reason"] or "stop"} for c in event["choices"]]
    return {**event, "choices": choices}


def _events(body: bytes) -> Iterator[dict[str, Any]]:
    for line in body.decode().splitlines():
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


def _faults(model: Any, value: Any) -> Iterator[str]:
    try:
        read = TypeAdapter(model).validate_json(json.dumps(value), strict=True)
    except ValidationError as e:
        # Of a union, every member complains; those whose ``type`` is another one say nothing about this object.
        for error in e.errors(include_url=False)[:6]:
            yield f"{_name(model)} at {'/'.join(map(str, error['loc']))}: {error['msg']}"
        yield f"of {json.dumps(value)[:300]}"
    else:
        yield from (f"{_name(model)} does not know {key}" for key in _unknown(read, ""))


def _unknown(value: Any, at: str) -> Iterator[str]:
    """Keys that no model has a field for, wherever they are."""
    if isinstance(value, list):
        for item in value:
            yield from _unknown(item, f"{at}[]")
    elif isinstance(value, BaseModel):
        yield from (f"{at}.{key}" for key in value.model_extra or {} if key not in ADDED | SPECIFIED)
        for name in type(value).model_fields:
            yield from _unknown(getattr(value, name), f"{at}.{name}")


def _name(model: Any) -> str:
    return str(getattr(model, "__name__", "event"))


if __name__ == "__main__":
    sys.exit(main())
