"""Argument types that several tools share, with the descriptions that agents read."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Reference = Annotated[
    str,
    Field(min_length=1, description="A published document: handbook for its current version, or handbook@3."),
]
References = Annotated[
    list[Reference],
    Field(description="Published documents that the answer is to rest on. Their order does not matter."),
]
ModelName = Annotated[
    str | None,
    Field(description="One of the proxy's models. Left out: the one that keeps the documents' KV."),
]
Instructions = Annotated[
    str | None, Field(description="How to answer; goes behind the documents in the system message.")
]
