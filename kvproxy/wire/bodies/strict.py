"""The base of every request body."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

T = TypeVar("T")

ListOf = Annotated[list[T], Field(fail_fast=True)]
"""A list that is checked up to its first fault, the one that is told: many faults cost no more than one."""


class Strict(BaseModel):
    """Types are as the client wrote them, without conversions. Fields that nobody knows are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


HintText = Annotated[str | None, BeforeValidator(_text_or_none, json_schema_input_type=str | None)]
"""A text that nothing hangs on: what is none is as if it had not been sent."""
