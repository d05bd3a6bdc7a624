"""JSON in and out, strictly: what two readers could understand differently is refused."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from kvproxy.errors import InvalidRequest
from kvproxy.wire.whole_number import json_integer


def decode_object(raw: bytes) -> dict[str, Any]:
    """Raises InvalidRequest when ``raw`` is not UTF-8, not JSON, no object, or gives a name twice."""
    try:
        text = raw.decode("utf-8").removeprefix(
            "\ufeff"
        )  # the mark that some editors and shells put in front
    except UnicodeDecodeError as e:
        raise InvalidRequest(
            f"The body is not valid UTF-8 (byte {e.start}). Send JSON encoded as UTF-8."
        ) from e
    try:
        value = json.loads(
            text,
            object_pairs_hook=_distinct,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=json_integer,
        )
    except RecursionError as e:
        raise InvalidRequest("The body is nested too deeply.") from e
    except json.JSONDecodeError as e:
        where = f"line {e.lineno} column {e.colno}"
        raise InvalidRequest(f"We could not parse the JSON body of your request: {e.msg} ({where}).") from e
    except ValueError as e:
        raise InvalidRequest(
            "We could not parse the JSON body of your request: a number has too many digits."
        ) from e
    if not isinstance(value, dict):
        raise InvalidRequest(f"The body must be a JSON object, not {type_name(value)}.")
    return value


def encode(value: Any, *, finite: bool = False) -> bytes:
    """Compact UTF-8. A lone surrogate that a client has sent goes back as the escape it came as. ``finite``: raises
    ValueError for NaN and infinities, which others may have put in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=not finite)
    return text.encode("utf-8", "backslashreplace")


def type_name(value: object) -> str:
    """What JSON calls a value's type, with its article."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "an array"}
    return names.get(type(value), "an object")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise InvalidRequest(
                    f"The name {name[:64]!r} occurs twice in one JSON object.", param=name[:64]
                )
            seen.add(name)
    return value


def _finite(digits: str) -> float:
    """1e999 would be infinite here, and what says so again is no JSON."""
    value = float(digits)
    if math.isinf(value):
        raise InvalidRequest(f"The number {digits[:64]} is too large.")
    return value


def _no_constant(name: str) -> NoReturn:
    raise InvalidRequest(f"{name} is not JSON. Send a finite number.")
