"""The dialect whose words an answer uses, told from its path and a header: errors need it before any route is known."""

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
"""The segments that a base_url that is wrong puts before ``messages``."""


def is_anthropic(path: str) -> bool:
    """True for the Messages API and all that lies below it, paths that do not exist and ones with ``/v1`` too many
    or too few included."""
    if path == _ANTHROPIC or path.startswith(f"{_ANTHROPIC}/"):
        return True
    before, found, _ = f"{path}/".partition("/messages/")
    return bool(found) and _BEFORE.issuperset(before.split("/"))


def speaks_anthropic(request: web.BaseRequest) -> bool:
    """True also for what both have, ``/v1/models`` and paths that do not exist, when Anthropic's client asks."""
    if is_anthropic(request.path):
        return True
    return "anthropic-version" in request.headers and not request.path.startswith(_OPENAI)
