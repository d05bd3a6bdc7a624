"""Mutations of valid requests, repeatable by their seed. Pure."""

from __future__ import annotations

import copy
import gzip
import json
import random
from dataclasses import dataclass, field, replace
from typing import Any

_NUMBERS = (
    "0 -0 -1 1 2 1e3 1.5 -1.0 0.1 1e308 1e309 -1e999 1e-999 NaN Infinity -Infinity 2147483648 9223372036854775808 "
    "18446744073709551616 -9223372036854775809"
).split()
_LONG_NUMBERS = ["9" * n for n in (20, 308, 309, 4299, 4300, 4301, 6000)]
_TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "\x1b[31m",
        "\u2028",
        "\ufeff",
        "\ud800",
        "\udfff\ud800",
        "a" * 300,
        "://" * 500,
        "../" * 20,
        "%00",
    ),
    *(
        "{{x}}",
        "{% raw %}",
        "<|im_end|>",
        "<tool_call>",
        "${HOME}",
        "'\"`",
        "e\u0301" * 50,
        "\U0001f600" * 50,
        "null",
    ),
    *(
        "user",
        "system",
        "tool",
        "assistant",
        "developer",
        "function",
        "json_object",
        "json_schema",
        "auto",
        "none",
    ),
    *("required", "text", "image_url", "fake", "gpt-far", "handbook", "handbook@1", "handbook@" + "9" * 5000),
)
_NAMES = (
    "",
    "__proto__",
    "$ref",
    "type",
    "model",
    "stream",
    "n",
    "tools",
    "content",
    "messages",
    "\x00",
    "a" * 200,
)
_HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Type": (
        "",
        "text/plain",
        "application/json; charset=utf-16",
        "a/b; c=" + "x" * 500,
        "multipart/form-data",
    ),
    "Content-Encoding": ("gzip", "deflate", "br", "identity", "gzip, gzip", "x" * 300),
    "Accept": ("text/event-stream", "*/*;q=" + "9" * 400, "text/html", "\xff"),
    "Accept-Encoding": ("gzip;q=" + "9" * 5000, "identity;q=0", "br"),
    "If-None-Match": ("*", '"x"', 'W/"', '"' * 400, "x, y"),
    "If-Match": ("*", '"handbook@' + "9" * 5000 + '"'),
    "If-Modified-Since": ("x", "Thu, 99 Foo 99999 99:99:99 GMT", "9" * 5000),
    "Range": ("bytes=0-", "bytes=-1", "bytes=" + "9" * 5000 + "-"),
    "Last-Event-ID": ("1", "9" * 5000, "-1", "\xff"),
    "Retry-After": ("9" * 5000,),
    "X-Request-ID": ("a" * 500, "a b", "\xe9", "x"),
    "Authorization": ("Bearer", "Bearer x", "Basic eA==", "Bearer " + "x" * 5000),
    "x-api-key": ("x", ""),
    "anthropic-version": ("", "1", "2023-06-01"),
    "anthropic-beta": ("x" * 500,),
    "Expect": ("100-continue", "x"),
    "Cookie": ("a=" + "b" * 4000,),
    "Traceparent": ("x",),
}
_QUERIES = (
    "limit",
    "order",
    "after",
    "last",
    "tokens",
    "stream",
    "include",
    "include[]",
    "text",
    "beta",
    "starting_after",
)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request before it is sent: ``path`` is percent-encoded; ``body`` is JSON, or bytes where it no longer is."""

    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def data(self) -> bytes | None:
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode()


class Mutator:
    """An endless iterator of mutated requests."""

    def __init__(self, seeds: list[Asked], seed: int) -> None:
        self._seeds = seeds
        self._random = random.Random(seed)

    def next(self) -> Asked:
        asked = copy.deepcopy(self._random.choice(self._seeds))
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            kind = self._random.random()
            if isinstance(asked.body, dict) and kind < 0.75:
                asked = replace(asked, body=self._changed(asked.body))
            elif asked.body is not None and kind < 0.85:
                asked = replace(asked, body=self._broken(asked.data() or b""))
            elif kind < 0.93:
                name = self._random.choice(list(_HEADERS))
                asked = replace(asked, headers=asked.headers | {name: self._random.choice(_HEADERS[name])})
            elif kind < 0.95:
                asked = replace(asked, method=self._random.choice(_METHODS))
            else:
                asked = replace(asked, path=self._path(asked.path))
        return asked

    def _changed(self, body: dict[str, Any]) -> Any:
        """Change one value, name or place in a JSON body; bytes where names are doubled or numbers are not JSON."""
        at, key = self._random.choice(_places(body))
        match self._random.randrange(9):
            case 0 | 1 | 2:
                return self._with_value(body, at, key)
            case 3:
                del at[key]
            case 4 if isinstance(at, dict):
                at[self._random.choice(_NAMES)] = at.pop(key)
            case 5:
                at[key] = [at[key]] if self._random.random() < 0.5 else {"x": at[key]}
            case 6:
                at[key] = _deep(self._random.choice((5, 40, 150)))
            case 7 if isinstance(at[key], list):
                at[key] = at[key] * self._random.choice((0, 2, 5))
            case 7 if isinstance(at[key], str):
                at[key] = at[key] + self._random.choice(_TEXTS)
            case _:
                at[key] = copy.deepcopy(self._random.choice(_places(body))[0])
        return body

    def _with_value(self, body: dict[str, Any], at: Any, key: Any) -> Any:
        kind = self._random.random()
        if kind < 0.4:
            at[key] = self._random.choice(_TEXTS)
            return body
        if kind < 0.6:
            at[key] = self._random.choice((None, True, False, [], {}, [[]], [None], {"": None}, [{}]))
            return body
        at[key] = "\x01here\x01"
        literal = self._random.choice(_LONG_NUMBERS if kind > 0.9 else _NUMBERS)
        return json.dumps(body).replace(json.dumps(at[key]), literal).encode()

    def _broken(self, data: bytes) -> bytes:
        cut = self._random.randrange(len(data) + 1)
        match self._random.randrange(8):
            case 0:
                return data[:cut]
            case 1:
                return data[:cut] + bytes(self._random.randrange(256) for _ in range(4)) + data[cut:]
            case 2:
                return data[:cut] + b"\xff\xfe" + data[cut:]
            case 3:
                return data.decode("utf-8", "replace").encode("utf-16")
            case 4:
                return b'{"model":"fake",' + data[1:]
            case 5:
                return b"[" * self._random.choice((100, 3000)) + data
            case 6:
                return gzip.compress(data, 1)
        return self._random.choice(
            (b"", b"null", b"[]", b'"x"', b"1", b"{}", b" ", b"{", b"\x00", b"-", b"9" * 5000)
        )

    def _path(self, path: str) -> str:
        piece = self._random.choice(
            ("%00", "%2F", "//", "/..", "%FF", "@" + "9" * 4000, "@0", "@1", "%F0%9F%98%80", "a" * 300)
        )
        match self._random.randrange(4):
            case 0:
                return path + piece
            case 1:
                parts = path.split("/")
                parts[self._random.randrange(1, len(parts))] = piece.strip("/")
                return "/".join(parts)
        name = self._random.choice(_QUERIES)
        value = self._random.choice(
            (
                "",
                "0",
                "-1",
                "1",
                "x",
                "true",
                "%FF",
                "%00",
                "0" * 9 + "1" * 5000,
                "9" * 5000,
                "1e5",
                "%EF%BC%91",
            )
        )
        return f"{path}{'&' if '?' in path else '?'}{name}={value}"


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Yield every container in ``value`` with each of its keys."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        at = waiting.pop()
        keys = list(at) if isinstance(at, dict) else range(len(at))
        found += [(at, key) for key in keys]
        waiting += [at[key] for key in keys if isinstance(at[key], dict | list)]
    return found or [({"": None}, "")]


def _deep(depth: int) -> Any:
    value: Any = 1
    for i in range(depth):
        value = [value] if i % 2 else {"a": value}
    return value
