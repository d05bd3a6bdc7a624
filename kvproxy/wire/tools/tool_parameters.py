"""A function's parameters, in the shapes in which adapters send them, to a JSON schema of an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvproxy.errors import InvalidRequest
from kvproxy.wire.bodies.json_text import type_name


def object_schema(value: object, *, name: str, strict: bool, where: str) -> Mapping[str, Any] | None:
    """Return the schema with the client's own key order; None for null, ``{}`` and booleans, which declare nothing.

    Arguments are always an object, so another ``type`` is read as one, unless it is to be enforced. ``where`` is the
    path of the field. Raises InvalidRequest.

    Example: ``object_schema({"type": "object"}, name="find", strict=False, where="tools[0].function.parameters")``.
    """
    if value is None or isinstance(value, bool) or value == {}:
        return None
    if not isinstance(value, Mapping):
        raise InvalidRequest(
            f"Invalid '{where}': must be a JSON Schema of an object, not {type_name(value)}.", param=where
        )
    declared = {key: part for key, part in value.items() if part is not None or key not in _MAY_BE_NULL}
    kind = declared.get("type", "object")
    if strict and kind != "object" and not (isinstance(kind, list) and "object" in kind):
        raise InvalidRequest(
            f"Invalid '{where}': function '{name}' needs a JSON Schema of 'type: \"object\"'.", param=where
        )
    return declared if "type" not in declared else {**declared, "type": "object"}


_MAY_BE_NULL = ("type", "properties", "required")
"""Keywords that adapters which serialise every field of a schema send as null where it has none."""
