"""Whose words an answer uses, told from its path alone: errors need it before any route is known."""

from __future__ import annotations

from aiohttp import web

_ANTHROPIC = "/v1/messages"


def is_anthropic(path: str) -> bool:
    """True for the Messages API and all that lies below it, paths that do not exist included."""
    return path == _ANTHROPIC or path.startswith(f"{_ANTHROPIC}/")


def speaks_anthropic(request: web.Request) -> bool:
    return is_anthropic(request.path)
