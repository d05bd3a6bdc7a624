"""Another value for the top-level ``model`` of a JSON body, all other bytes left as they are. Pure."""

from __future__ import annotations

import json
import re

# Strings whole, so that what stands in them is not taken for structure. Bytes of multi-byte characters are
# never ASCII, so UTF-8 needs no decoding here. Possessive: no body makes the scan take more than linear time.
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]]', re.DOTALL)
_COLON = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*")


def with_model(raw: bytes, model: str) -> bytes:
    """``raw`` must be a JSON object in UTF-8 that names ``model`` once at its top level, as a string: the
    server has decoded it before. Raises ValueError when there is none."""
    start, end = _model_token(raw)
    name = json.dumps(model).encode("ascii")
    return raw if raw[start:end] == name else raw[:start] + name + raw[end:]


def _model_token(raw: bytes) -> tuple[int, int]:
    """Find the span of the model's name as a JSON string, quotes included."""
    depth = 0
    for token in _TOKENS.finditer(raw):
        kind = raw[token.start()]
        if kind in b"{[":
            depth += 1
        elif kind in b"}]":
            depth -= 1
        elif depth == 1 and (colon := _COLON.match(raw, token.end())) and _is_model(token[0]):
            value = _TOKENS.match(raw, colon.end())
            if value is None or not value[0].startswith(b'"'):
                break
            return value.span()
    raise ValueError("the body has no top-level model that is a string")


def _is_model(key: bytes) -> bool:
    """Return whether a key is ``model``; it may be written with escapes: ``"\\u006dodel"``."""
    return key == b'"model"' or (b"\\" in key and json.loads(key) == "model")
