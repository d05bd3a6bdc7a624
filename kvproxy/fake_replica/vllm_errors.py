"""Errors of a replica, in vLLM's own form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ReplicaError:
    """Status, type and message of an error, and the field that it is about."""

    status: int
    kind: str
    message: str
    param: str | None = None

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that vLLM answers with."""
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.status,
            }
        }


class VllmError(Exception):
    """Raised where vLLM would answer with an error."""

    def __init__(self, error: ReplicaError) -> None:
        super().__init__(error.message)
        self.error = error


def bad_request(message: str, param: str | None = None, *, value: object = None) -> ReplicaError:
    """Return the error of vLLM's own checks, which name the field and its value in the message too.

    Example: ``bad_request("max_tokens must be at least 1, got 0.", "max_tokens", value=0)``
    """
    named = [f"parameter={param}"] if param else []
    named += [] if value is None else [f"value={value}"]
    return ReplicaError(
        400, "BadRequestError", f"{message} ({', '.join(named)})" if named else message, param
    )


def malformed(problem: str, place: str | None = None, *, kind: str = "value_error") -> ReplicaError:
    """Return the error of a body whose fields do not parse. ``place``: the dotted path of the field.

    Example: ``malformed("Field required", "body.messages", kind="missing")``
    """
    told = problem if place is None else str({"type": kind, "loc": place, "msg": problem})
    return ReplicaError(400, "Bad Request", f"1 validation error:\n  {told}", place)
