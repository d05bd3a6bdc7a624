"""Strict JSON in and out: a text that two readers could understand differently is refused."""

from __future__ import annotations

import codecs
import json
import math
from typing import Any, NoReturn

from kvproxy.errors import InvalidRequest
from kvproxy.wire.bodies.patient_json import PatientReader, TooManyValues
from kvproxy.wire.bodies.whole_number import json_integer

MOST_VALUES = 1 << 20
"""Values in one body: eight times as many as the tokens of a long context, sent as ids."""
MOST_CONTAINERS = 1 << 18
"""Objects and arrays in one body: each costs some 100 bytes, and is looked at several times."""

_LONG = 1 << 20
"""Bytes from which a body is long. A shorter one is read in a few milliseconds, unless it has many values."""
_MANY = 20_000
_PIECE = 1 << 20
_PAIRS = 1 << 13
"""Names that are put into an object at once."""


def is_small(raw: bytes) -> bool:
    """Return whether ``decode_object`` reads ``raw`` in a few milliseconds, so that it needs no thread."""
    return len(raw) < _LONG and sum(map(raw.count, (b",", b"{", b"["))) < _MANY


def decode_object(raw: bytes) -> dict[str, Any]:
    """Parse a body. Other threads go on meanwhile, however large it is.

    Raises InvalidRequest when ``raw`` is not UTF-8, not JSON, no object, gives a name twice, or holds more values than
    any request needs.
    """
    try:
        # The byte order mark that some editors and shells put in front.
        text = _text(raw).removeprefix("\ufeff")
    except UnicodeDecodeError as e:
        raise InvalidRequest(
            f"The body is not valid UTF-8 (byte {e.start}). Send JSON encoded as UTF-8."
        ) from e
    try:
        value = _loads(text) if is_small(raw) else _read_patiently(text)
    except RecursionError as e:
        raise InvalidRequest("The body is nested too deeply. Send fewer levels.") from e
    except TooManyValues as e:
        raise InvalidRequest(
            f"The body holds more than {MOST_VALUES} values, or more than {MOST_CONTAINERS} objects and arrays. Send "
            "less."
        ) from e
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


def _text(raw: bytes) -> str:
    if len(raw) <= _PIECE:
        return raw.decode("utf-8")
    decoder = codecs.getincrementaldecoder("utf-8")()
    pieces: list[str] = []
    done = 0
    for begin in range(0, len(raw), _PIECE):
        piece = raw[begin : begin + _PIECE]
        left = len(decoder.getstate()[0])
        try:
            pieces.append(decoder.decode(piece, final=begin + _PIECE >= len(raw)))
        except UnicodeDecodeError as e:
            start = done - left + e.start
            raise UnicodeDecodeError("utf-8", raw, start, start + 1, e.reason) from None
        done += len(piece)
    return "".join(pieces)


def _loads(text: str) -> Any:
    return json.loads(
        text,
        object_pairs_hook=_distinct,
        parse_constant=_refuse_constant,
        parse_float=_finite,
        parse_int=json_integer,
    )


def _read_patiently(text: str) -> Any:
    reader = PatientReader(
        most_values=MOST_VALUES,
        most_containers=MOST_CONTAINERS,
        object_pairs_hook=_distinct,
        parse_float=_finite,
        parse_constant=_refuse_constant,
        parse_int=json_integer,
    )
    return reader.read(text)


def encode(value: Any, *, finite: bool = False) -> bytes:
    """Encode as compact UTF-8. A lone surrogate that a client has sent goes back as the escape it came as.

    ``finite``: raises ValueError for NaN and infinities, which an upstream may have put in.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=not finite)
    return text.encode("utf-8", "backslashreplace")


def type_name(value: object) -> str:
    """Return JSON's name of a value's type, with its article."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "an array"}
    return names.get(type(value), "an object")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    # In pieces: one call for all of them would hold the interpreter's lock throughout.
    for begin in range(0, len(pairs), _PAIRS):
        value.update(pairs[begin : begin + _PAIRS])
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
    """Parse a number. 1e999 would be infinite here, and infinity is not JSON."""
    value = float(digits)
    if math.isinf(value):
        raise InvalidRequest(f"The number {digits[:64]} is too large.")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRequest(f"{name} is not JSON. Send a finite number.")
