"""`import_eth_account`: the import that would raise the interpreter's recursion limit, without that effect."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module


@contextmanager
def recursion_limit_kept() -> Iterator[None]:
    """Restore the recursion limit at the end of the block."""
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def import_eth_account() -> None:
    """Import eth-account, before anything else imports it. Raises ImportError where the extra ``x402`` is missing.

    py_ecc, which eth-account and so x402 need, sets it to 100,000 when it is imported. With that limit a client's
    deeply nested JSON overflows the C stack of Python 3.11 and ends the process, where it is a 400 otherwise.
    """
    with recursion_limit_kept():
        import_module("eth_account")
