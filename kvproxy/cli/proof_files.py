"""Receipts, statements and keys as commands read them: from files, stdin and a host's address."""

from __future__ import annotations

import json
from typing import Any

from kvproxy.cli.options import read_text
from kvproxy.errors import SetupError
from kvproxy.receipts.statement_file import StatementFile, parse_statement, receipts_in

WELL_KNOWN = "/.well-known/kvproxy.json"


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
        found = list(receipts_in(json.loads(text)))
    except ValueError:
        found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise SetupError(f"{file} holds no receipt")
    return found


def read_statement(file: str) -> StatementFile:
    """Return the statement in a file that `kvproxy statement fetch` wrote, or in one that is its JWS."""
    try:
        return parse_statement(read_text(file))
    except ValueError as e:
        raise SetupError(f"{file} holds no statement: write one with `kvproxy statement fetch`") from e


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
