"""Bounds of a body's lists, checked by their lengths alone before their items are parsed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvproxy.errors import ContextTooLong, InvalidRequest

MOST_BIASES = 1 << 16
"""Entries of ``logit_bias``. To mask a whole vocabulary, a grammar is the right way."""

_LISTS = ("messages", "input", "prompt")
"""Lists of which each item is a token at least: a message has its role's mark, and token ids are tokens."""


def refuse_oversized_lists(body: Mapping[str, Any], max_context: int) -> None:
    """Refuse lists that are too long to be served.

    Raises ContextTooLong for a list with more items than the model takes tokens, InvalidRequest for too many biases.
    Checks nothing else.
    """
    for name in _LISTS:
        items = body.get(name)
        if not isinstance(items, list) or (
            name == "prompt" and not isinstance(items[0] if items else 0, int)
        ):
            continue
        if len(items) > max_context:
            raise ContextTooLong(
                limit=max_context, prompt_tokens=len(items), completion_tokens=1, at_least=True, param=name
            )
    biases = body.get("logit_bias")
    if isinstance(biases, dict) and len(biases) > MOST_BIASES:
        raise InvalidRequest(f"Invalid 'logit_bias': at most {MOST_BIASES} tokens.", param="logit_bias")
