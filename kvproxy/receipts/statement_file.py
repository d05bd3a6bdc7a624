"""`StatementFile`: a statement with its receipts and checkpoint, as the API returns it and as files hold it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StatementFile:
    """A statement with the receipts and the checkpoint that came with it."""

    jws: str
    receipts: tuple[str, ...]
    checkpoint: str | None


def parse_statement(text: str) -> StatementFile:
    """Return the statement in the JSON of the API, or in its bare JWS. Raises ValueError for any other text.

    Example: ``parse_statement(Path("statement.json").read_text())``
    """
    if not text.lstrip().startswith("{"):
        return StatementFile(text.strip(), (), None)
    try:
        told = json.loads(text)
        if not isinstance(told, dict) or not isinstance(told.get("jws"), str):
            raise ValueError("it has no signed statement")
        receipts = tuple(receipts_in(told.get("receipts", [])))
    except RecursionError as e:
        raise ValueError("the JSON is nested too deeply") from e
    checkpoint = told.get("checkpoint")
    return StatementFile(told["jws"], receipts, checkpoint if isinstance(checkpoint, str) else None)


def receipts_in(value: Any) -> Iterator[str]:
    """Yield the JWS in lists, receipts, lists of receipts, statements, and the usage of an answer."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from receipts_in(one)
    elif isinstance(value, dict):
        for name in ("receipts", "data"):
            if isinstance(value.get(name), list):
                yield from receipts_in(value[name])
        if value.get("object") != "kv_statement" and isinstance(value.get("jws"), str):
            yield value["jws"]
