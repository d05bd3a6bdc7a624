"""The two parts of a ``DocumentRef.name``: the id, and the owner of a private document behind a line end."""

from __future__ import annotations


def id_in(name: str) -> str:
    """Return the id. Example: ``id_in("handbook\\ntenant:a") == "handbook"``."""
    return name.partition("\n")[0]


def owner_in(name: str) -> str:
    """Return the scope of a private document's owner; empty for a public one."""
    return name.partition("\n")[2]
