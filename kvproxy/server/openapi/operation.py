"""One operation of the HTTP surface: what is routed and what is documented are the same value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp.typedefs import Handler
from pydantic import BaseModel

from kvproxy.errors import KVProxyError

LOCAL_MODEL = "{the local model}"
"""Stands for the local model's name in examples, until a proxy shows them."""


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    where: Literal["path", "query", "header"]
    schema: Mapping[str, Any]
    """A JSON schema."""
    description: str
    example: str
    slashes: bool = False
    """Of a path parameter: it may hold slashes."""


@dataclass(frozen=True, slots=True)
class DocumentedAnswer:
    """A success. ``type`` is what pydantic can make a JSON schema of; None: no body."""

    type: Any
    status: int = 200
    description: str = "Done."
    headers: tuple[str, ...] = ()
    """Names of the headers that it always has."""
    sometimes: tuple[str, ...] = ()
    """Of those that it may have."""
    content: str = "application/json"


@dataclass(frozen=True, slots=True)
class Operation:
    id: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    """As OpenAPI writes it: ``/v1/models/{model}``."""
    handler: Handler
    tag: str
    summary: str
    answers: tuple[DocumentedAnswer, ...]
    errors: tuple[type[KVProxyError], ...] = ()
    """Beside those that every operation can end in."""
    description: str = ""
    body: type[BaseModel] | None = None
    parameters: tuple[Parameter, ...] = ()
    events: Any = None
    """Type of each event's data, when the answer can be an event stream, of status 200."""
    done: bool = False
    """Its last event is ``[DONE]``."""
    example: Mapping[str, Any] | None = None
    """A body that works."""
    forwards: bool = False
    """Answers for upstreams too, whose failures keep their status."""
    both: bool = False
    """Answers Anthropic's clients, told by ``anthropic-version``, in their dialect, on a path that both have."""
    open: bool = False
    """Needs no key, or looks at it itself, and is answered while the server drains."""
    key: bool = False
    """Of an open operation: it asks for a key after all, where there is one to ask for."""

    @property
    def route(self) -> str:
        """The path as aiohttp's router takes it."""
        route = self.path
        for parameter in self.parameters:
            if parameter.slashes:
                route = route.replace(f"{{{parameter.name}}}", f"{{{parameter.name}:.+}}")
        return route
