"""``required``: the value of a field that its item or tool cannot be without."""

from __future__ import annotations

from typing import TypeVar

from kvproxy.errors import InvalidRequest

_T = TypeVar("_T")


def required(value: _T | None, where: str) -> _T:
    """Return ``value``. Raises InvalidRequest naming the path where it is missing."""
    if value is None:
        raise InvalidRequest(f"Missing required parameter: '{where}'.", param=where)
    return value
