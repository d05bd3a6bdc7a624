"""Types of the answers of the endpoints around the models: where things are, health, and OpenAI's error body."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11


class Health(TypedDict):
    status: Literal["live", "ready"]


class Welcome(TypedDict):
    object: Literal["kvproxy"]
    version: str
    openai_base_url: str
    anthropic_base_url: str
    links: dict[str, str]
    """Paths."""


class OpenAIErrorDetail(TypedDict):
    """What an upstream's own error has beside these fields is passed on."""

    message: str
    type: str | None
    param: str | None
    code: str | int | None


class OpenAIError(TypedDict):
    error: OpenAIErrorDetail
