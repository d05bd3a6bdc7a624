"""Receipts, statements and keys as commands read them: from files, stdin and a host's address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kvproxy.cli.options import read_text
from kvproxy.errors import SetupError

WELL_KNOWN = "/.well-known/kvproxy.json"


@dataclass(frozen=True, slots=True)
class StatementFile:
    """A statement with the receipts and the checkpoint that came with it."""

    jws: str
    receipts: tuple[str, ...]
    checkpoint: str | None


def read_jwks(source: str) -> dict[str, Any]:
    """Return the keys in a file, at a URL, or of the host at an address. Raises SetupError.

    A host's own description is taken as well as a bare JWKS.
    """
    remote = source.startswith(("http://", "https://"))
    told = _parsed(_fetched(source) if remote else read_text(source), source)
    keys = told.get("jwks", told) if isinstance(told, dict) else None
    if not isinstance(keys, dict) or not isinstance(keys.get("keys"), list):
        raise SetupError(f"{source} has no keys: give a JWKS, or the address of the host that signed")
    return keys


def read_receipts(file: str) -> list[str]:
    """Return the receipts in a file, ``-`` for stdin: compact JWS, one a line, or JSON that holds them."""
    text = read_text(file)
    try:
        found = list(_receipts_in(json.loads(text)))
    except ValueError:
        found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise SetupError(f"{file} holds no receipt")
    return found


def read_statement(file: str) -> StatementFile:
    """Return the statement in a file that `kvproxy statement fetch` wrote, or in one that is its JWS."""
    text = read_text(file)
    if not text.lstrip().startswith("{"):
        return StatementFile(text.strip(), (), None)
    told = _parsed(text, file)
    if not isinstance(told, dict) or not isinstance(told.get("jws"), str):
        raise SetupError(f"{file} holds no statement: write one with `kvproxy statement fetch`")
    return StatementFile(told["jws"], tuple(_receipts_in(told.get("receipts", []))), told.get("checkpoint"))


def _receipts_in(value: Any) -> Iterator[str]:
    """Yield the JWS in lists, receipts, lists of receipts, statements, and the usage of an answer."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _receipts_in(one)
    elif isinstance(value, dict):
        for name in ("receipts", "data"):
            if isinstance(value.get(name), list):
                yield from _receipts_in(value[name])
        if value.get("object") != "kv_statement" and isinstance(value.get("jws"), str):
            yield value["jws"]


def _parsed(text: str, source: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as e:
        raise SetupError(f"{source} is no JSON") from e


def _fetched(url: str) -> str:
    import httpx

    root = url.rstrip("/")
    whole = root if root.count("/") > 2 else root + WELL_KNOWN
    try:
        response = httpx.get(whole, timeout=10.0, follow_redirects=False)
        response.raise_for_status()
    except httpx.HTTPError as e:
        raise SetupError(f"cannot fetch keys from {whole}: {e}") from e
    return response.text
