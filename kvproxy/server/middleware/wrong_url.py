"""Error messages for URLs that are not served, with the right base_url: nearly always ``/v1`` is in it twice, or
missing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from kvproxy.accounts.key_hash import PREFIX

MOST_SHOWN = 200
"""Characters of a path that a message repeats."""

_ENDPOINTS = (
    "messages/count_tokens",
    "messages",
    "chat/completions",
    "completions",
    "embeddings",
    "responses/input_tokens",
    "responses",
    "models",
)
"""Endpoints below ``/v1``; of two with the same ending the longer comes first."""

_OLLAMA = frozenset({"tags", "chat", "generate", "show", "version", "ps", "embed", "embeddings", "pull"})

_KEY = re.compile(rf"{PREFIX}\w{{8,}}")

_BELOW = re.compile(r"(?:(?:v1|api|openai|anthropic)/)*+((?:models|responses)/.+)")

_MANAGEMENT = "kv/v1/documents"


@dataclass(frozen=True, slots=True)
class Meant:
    """A served path that resembles one that is not served."""

    path: str
    base: Literal["", "/v1"]
    """The end of a base_url for clients of this endpoint: Anthropic's append ``/v1`` themselves."""
    why: str = ""


def meant(path: str) -> Meant | None:
    """Return the served path that ``path`` resembles, or None. Pure. ``path`` is decoded."""
    parts = [part for part in path.split("/") if part]
    if not parts:
        return None
    joined = "/".join(parts)
    if parts[0] == "api" and len(parts) == 2 and parts[1] in _OLLAMA:
        return Meant("/v1/chat/completions", "/v1", "This is Ollama's API; kvproxy serves OpenAI's. ")
    if (found := _endpoint(joined)) is not None:
        azure = "/deployments/" in f"/{joined}"
        why = "Azure's paths are not served: use OpenAI's own client. " if azure else ""
        return Meant(f"/v1/{found}", "" if found.startswith("messages") else "/v1", why)
    if joined.endswith(_MANAGEMENT):
        return Meant(f"/{_MANAGEMENT}", "")
    if joined in ("v1", "v1/v1"):
        return Meant("/v1/models", "/v1", "This is not an endpoint by itself. ")
    for name in ("tokenize", "detokenize", "metrics", "docs", "openapi.json", "health/live", "health/ready"):
        if joined.endswith(name):
            return Meant(f"/{name}", "")
    # A model or a stored response, below a base_url that is wrong: /v1/v1/models/NAME, /models/NAME.
    if (below := _BELOW.fullmatch(joined)) is not None:
        return Meant(f"/v1/{below[1]}", "/v1")
    return None


def wrong_url(request: web.Request) -> str:
    """Return the message of a 404, with the right URL where the path resembles one."""
    told = f"Invalid URL ({request.method} {shown_path(request)})."
    guess = meant(request.path)
    root = root_of(request)
    if guess is None or guess.path == request.path:
        return f"{told} The served endpoints are listed at {root}/docs."
    kind = "base_url" if guess.base else "base_url, without /v1,"
    right = f"The right URL is {root}{guess.path[:MOST_SHOWN]}"
    return f"{told} {guess.why}{right}: set {kind} to {f'{root}{guess.base}' or '/'}"


def shown_path(request: web.BaseRequest) -> str:
    """Return the request's raw path, of at most MOST_SHOWN characters, for logs and messages.

    It is without its query, which may hold a key, and without keys that were sent in place of their ids.
    """
    path = _KEY.sub(PREFIX + "…", request.rel_url.raw_path)
    return path if len(path) <= MOST_SHOWN else f"{path[:MOST_SHOWN]}…"


def root_of(request: web.Request) -> str:
    """Return scheme and host as the client wrote them, or an empty text without a Host header."""
    host = request.headers.get("Host", "")  # an address: any other Host was refused before
    scheme = "https" if request.headers.get("X-Forwarded-Proto", "") == "https" else request.scheme
    return f"{scheme}://{host}" if host else ""


def _endpoint(joined: str) -> str | None:
    for name in _ENDPOINTS:
        if joined == name or joined.endswith(f"/{name}"):
            return name
    return None
