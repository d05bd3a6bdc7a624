"""``Strict``, the base of every request body."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

T = TypeVar("T")

ListOf = Annotated[list[T], Field(fail_fast=True)]
"""A list that is checked up to its first error, the one that is reported: many errors cost no more than one."""


class Strict(BaseModel):
    """A body with types as the client wrote them, without conversions. Unknown fields are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


HintText = Annotated[str | None, BeforeValidator(_text_or_none, json_schema_input_type=str | None)]
"""A text that only hints: a value of another type counts as absent."""
