"""Choose OpenAI's or Anthropic's error format from the path and a header: errors need it before a route is known."""

from __future__ import annotations

from aiohttp import web

_ANTHROPIC = "/v1/messages"
_OPENAI = (
    "/v1/chat/",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/kv/",
    "/tokenize",
    "/detokenize",
)
_BEFORE = frozenset({"", "v1", "api", "anthropic"})
"""The path segments that a wrong base_url puts before ``messages``."""


def is_anthropic(path: str) -> bool:
    """Return True for the Messages API and every path below it, including paths that do not exist, or that have
    ``/v1`` twice or not at all."""
    if path == _ANTHROPIC or path.startswith(f"{_ANTHROPIC}/"):
        return True
    before, found, _ = f"{path}/".partition("/messages/")
    return bool(found) and _BEFORE.issuperset(before.split("/"))


def speaks_anthropic(request: web.BaseRequest) -> bool:
    """Return True for Anthropic's paths, and for Anthropic's client on paths of both APIs (``/v1/models``) or of
    none."""
    if is_anthropic(request.path):
        return True
    return "anthropic-version" in request.headers and not request.path.startswith(_OPENAI)
