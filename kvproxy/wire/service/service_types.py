"""Types of the answers of the endpoints around the models: the welcome page, health, and OpenAI's error body."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11


class Health(TypedDict):
    """The state of the proxy: ``live`` while the process runs, ``ready`` while it takes requests."""

    status: Literal["live", "ready"]
    degraded: NotRequired[list[str]]
    """Parts that are away while requests are served all the same: ``database``."""


class Welcome(TypedDict):
    """The base URLs for clients, and links to the other pages."""

    object: Literal["kvproxy"]
    version: str
    openai_base_url: str
    anthropic_base_url: str
    links: dict[str, str]
    """Paths."""


class OpenAIErrorDetail(TypedDict):
    """An error's fields. Further fields of an upstream's own error are passed on."""

    message: str
    type: str | None
    param: str | None
    code: str | int | None


class OpenAIError(TypedDict):
    """An error in OpenAI's format."""

    error: OpenAIErrorDetail
