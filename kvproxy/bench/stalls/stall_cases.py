"""The largest bodies, by name. A case is a function that makes a request, so that a list of them costs no memory."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kvproxy.bench.fake_server import MODEL

MIB = 2**20
_WORDS = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma".split()
)


@dataclass(frozen=True, slots=True)
class StallCase:
    """One request. ``body``: the function that makes it, of at most so many bytes; None for a GET."""

    name: str
    path: str
    body: Callable[[int], bytes] | None = None
    method: str = "POST"
    times: int = 1
    """The number of times that it is sent, one after the other."""


def text(characters: int, seed: int = 1) -> str:
    """English words without a meaning; the first is a number, so that no two seeds begin alike."""
    few = " ".join(random.Random(seed).choices(_WORDS, k=min(characters // 2 + 1, 20_000)))
    return f"{seed} {few * (characters // len(few) + 1)}"[:characters]


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps({"model": MODEL, "max_tokens": 1, **value}, ensure_ascii=False).encode()


def _chat(messages: list[dict[str, Any]], **more: Any) -> bytes:
    return _json({"messages": messages, **more})


def _user(content: object) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _repeated(head: bytes, item: bytes, tail: bytes, size: int) -> bytes:
    count = (size - len(head) - len(tail)) // (len(item) + 1)
    return head + b",".join([item] * count) + tail


def _items(head: str, item: str, tail: str = "]}") -> Callable[[int], bytes]:
    """Return a body that repeats one piece."""
    return lambda size: _repeated(f'{{"model":"{MODEL}",{head}'.encode(), item.encode(), tail.encode(), size)


def one_message(size: int) -> bytes:
    """Make a request with one long message."""
    return _chat([_user(text(size - 1000))])


def messages_of(characters: int) -> Callable[[int], bytes]:
    """As many messages of so many characters as there is room for."""

    def body(size: int) -> bytes:
        count = size // (characters + 64)
        return _chat([_user(text(characters, seed)) for seed in range(count)])

    return body


def tool_results(count: int, *, reverse: bool) -> Callable[[int], bytes]:
    """One answer with ``count`` calls and a result of each, in the order of the calls or in the opposite one."""

    def body(size: int) -> bytes:
        calls = [
            {"id": f"c{i}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            for i in range(count)
        ]
        results = [{"role": "tool", "tool_call_id": f"c{i}", "content": "r"} for i in range(count)]
        results = results[::-1] if reverse else results
        return _chat([_user("q"), {"role": "assistant", "tool_calls": calls}, *results, _user("and?")])

    return body


def long_arguments(size: int) -> bytes:
    """Make a request with a call of long arguments."""
    arguments = json.dumps({"a": text(size - 2000)})
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return _chat(
        [
            _user("q"),
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "r"},
        ]
    )


def object_arguments(size: int) -> bytes:
    """Make a call with arguments that came as an object."""
    count = size // 24
    arguments = {"a": [{"n": i} for i in range(count)]}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return _chat([_user("q"), {"role": "assistant", "tool_calls": [call]}])


def many_tools(size: int) -> bytes:
    """Make a request with many tools."""
    tools = [
        {
            "type": "function",
            "function": {"name": f"f{i}", "parameters": {"type": "object", "properties": {}}},
        }
        for i in range(size // 128)
    ]
    return _chat([_user("q")], tools=tools)


def large_schema(size: int) -> bytes:
    """Make a request with a large JSON schema."""
    properties = {f"p{i}": {"type": "string"} for i in range(size // 40)}
    function = {"name": "f", "parameters": {"type": "object", "properties": properties}}
    return _chat([_user("q")], tools=[{"type": "function", "function": function}])


def token_biases(size: int) -> bytes:
    """Make a request with a bias for each token."""
    return _chat([_user("q")], logit_bias={str(i): 1 for i in range(size // 14)})


def escaped(size: int) -> bytes:
    """One message of which each character is an escape."""
    head = f'{{"model":"{MODEL}","messages":[{{"role":"user","content":"'.encode()
    return head + b"\\u00e9" * ((size - 500) // 6) + b'"}]}'


def nested(size: int) -> bytes:
    """Make a request with deeply nested JSON."""
    return (
        f'{{"model":"{MODEL}","messages":'.encode()
        + b"[" * (size // 2 - 100)
        + b"]" * (size // 2 - 100)
        + b"}"
    )


CASES: tuple[StallCase, ...] = (
    StallCase("one message", "/v1/chat/completions", one_message),
    StallCase("messages of 16,500 characters", "/v1/chat/completions", messages_of(16_500)),
    StallCase("messages of 16,000 characters", "/v1/chat/completions", messages_of(16_000)),
    StallCase("6.6 MB of such messages", "/v1/chat/completions", lambda _: messages_of(16_500)(6_600_000)),
    StallCase(
        "3.3 MB of messages of 16,000", "/v1/chat/completions", lambda _: messages_of(16_000)(3_300_000)
    ),
    StallCase("messages of one character", "/v1/chat/completions", messages_of(1)),
    StallCase(
        "parts of one character",
        "/v1/chat/completions",
        _items('"messages":[{"role":"user","content":[', '{"type":"text","text":"x"}', "]}]}"),
    ),
    StallCase(
        "empty parts", "/v1/chat/completions", _items('"messages":[{"role":"user","content":[', "{}", "]}]}")
    ),
    StallCase("4 MiB of {}", "/v1/chat/completions", lambda _: _items('"x":[', "{}")(4 * MIB)),
    StallCase("{} everywhere", "/v1/chat/completions", _items('"x":[', "{}")),
    StallCase("[] everywhere", "/v1/chat/completions", _items('"x":[', "[]")),
    StallCase("numbers everywhere", "/v1/chat/completions", _items('"x":[', "1.5")),
    StallCase("nested arrays", "/v1/chat/completions", nested),
    StallCase("escapes", "/v1/chat/completions", escaped),
    StallCase(
        "20,000 results in the opposite order", "/v1/chat/completions", tool_results(20_000, reverse=True)
    ),
    StallCase("40,000 calls and results", "/v1/chat/completions", tool_results(40_000, reverse=False)),
    StallCase("arguments of one call, text", "/v1/chat/completions", long_arguments),
    StallCase("arguments of one call, an object", "/v1/chat/completions", object_arguments),
    StallCase("tools", "/v1/chat/completions", many_tools),
    StallCase("properties of one tool", "/v1/chat/completions", large_schema),
    StallCase("token biases", "/v1/chat/completions", token_biases),
    StallCase(
        "stop strings",
        "/v1/chat/completions",
        _items('"messages":[{"role":"user","content":"q"}],"stop":[', '"abc"'),
    ),
    StallCase(
        "a text completion's prompt", "/v1/completions", lambda size: _json({"prompt": text(size - 500)})
    ),
    StallCase("a prompt of token ids", "/v1/completions", _items('"prompt":[', "4321")),
    StallCase("prompts of one character", "/v1/completions", _items('"prompt":[', '"x"')),
    StallCase("items of a response", "/v1/responses", _items('"input":[', '{"role":"user","content":"x"}')),
    StallCase("text of a response", "/v1/responses", lambda size: _json({"input": text(size - 500)})),
    StallCase(
        "blocks of a message",
        "/v1/messages",
        _items('"max_tokens":1,"messages":[{"role":"user","content":[', '{"type":"text","text":"x"}', "]}]}"),
    ),
    StallCase("tokens counted of messages", "/v1/messages/count_tokens", messages_of(16_000)),
    StallCase("text to tokenize", "/tokenize", lambda size: _json({"prompt": text(size - 500)})),
    StallCase("tokens to detokenize", "/detokenize", _items('"tokens":[', "4321")),
    StallCase("the models", "/v1/models", method="GET", times=20),
    StallCase("the metrics", "/metrics", method="GET", times=20),
)
