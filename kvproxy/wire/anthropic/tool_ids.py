"""A call's id in both dialects: ``toolu_…`` for Anthropic's clients, ``call_…`` everywhere else.

Ids that follow neither pattern pass as they are: a client may bring a history from elsewhere.
"""

from __future__ import annotations

_OURS = "call_"
_THEIRS = "toolu_"


def anthropic_id(id: str) -> str:
    """Return the id of a call for an answer to one of Anthropic's clients."""
    return _THEIRS + id.removeprefix(_OURS) if id.startswith(_OURS) else id


def core_id(id: str) -> str:
    """Return the id of a call as the rest of the proxy has it. Reverses ``anthropic_id``."""
    return _OURS + id.removeprefix(_THEIRS) if id.startswith(_THEIRS) else id
