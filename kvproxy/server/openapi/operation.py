"""`Operation`: one operation of the HTTP API, the same value for its route and its documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp.typedefs import Handler
from pydantic import BaseModel

from kvproxy.core import Permission
from kvproxy.errors import KVProxyError

LOCAL_MODEL = "{the local model}"
"""A placeholder in examples, replaced by the local model's name when a proxy shows them."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A documented parameter in the path, the query or a header."""

    name: str
    where: Literal["path", "query", "header"]
    schema: Mapping[str, Any]
    """A JSON schema."""
    description: str
    example: str
    slashes: bool = False
    """True for a path parameter that may hold slashes."""


@dataclass(frozen=True, slots=True)
class DocumentedAnswer:
    """A documented success. ``type`` is a type with a JSON schema by pydantic; None: no body."""

    type: Any
    status: int = 200
    description: str = "Done."
    headers: tuple[str, ...] = ()
    """Names of the headers that it always has."""
    sometimes: tuple[str, ...] = ()
    """Names of the headers that it may have."""
    content: str = "application/json"
    also: str | None = None
    """Another content type that ``Accept`` can ask for: text."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A method and path with its handler and its documentation."""

    id: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    """The path as in OpenAPI: ``/v1/models/{model}``."""
    handler: Handler
    tag: str
    summary: str
    answers: tuple[DocumentedAnswer, ...]
    errors: tuple[type[KVProxyError], ...] = ()
    """Error types beside those that every operation has."""
    needs: Permission | None = None
    """The permission that the caller's API key must have: every operation has one that is not open."""
    description: str = ""
    body: type[BaseModel] | None = None
    upload: str | None = None
    """The content type of a body that is a file."""
    parameters: tuple[Parameter, ...] = ()
    events: Any = None
    """The type of each event's data, where an answer of status 200 can be an event stream."""
    done: bool = False
    """True when the stream's last event is ``[DONE]``."""
    example: Mapping[str, Any] | None = None
    """A valid body."""
    forwards: bool = False
    """True when upstream models are served too; their errors keep the upstream's status."""
    both: bool = False
    """True for a path of both APIs, which answers requests with ``anthropic-version`` in Anthropic's dialect."""
    open: bool = False
    """True when it needs no key, or checks the key itself; it is answered during a shutdown too."""
    key: bool = False
    """True for an open operation that needs a key where the proxy has one."""

    @property
    def route(self) -> str:
        """The path in the form of aiohttp's router."""
        route = self.path
        for parameter in self.parameters:
            if parameter.slashes:
                route = route.replace(f"{{{parameter.name}}}", f"{{{parameter.name}:.+}}")
        return route
