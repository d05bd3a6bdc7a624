"""What the endpoints around the models answer: models, health, and OpenAI's error body."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11


class ModelBody(TypedDict):
    id: str
    object: Literal["model"]
    created: int
    owned_by: Literal["kvproxy", "upstream"]


class ModelList(TypedDict):
    object: Literal["list"]
    data: list[ModelBody]


class Health(TypedDict):
    status: Literal["live", "ready"]


class OpenAIErrorDetail(TypedDict):
    """What an upstream's own error has beside these fields is passed on."""

    message: str
    type: str | None
    param: str | None
    code: str | int | None


class OpenAIError(TypedDict):
    error: OpenAIErrorDetail
