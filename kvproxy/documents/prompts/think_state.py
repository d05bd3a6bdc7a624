"""`reasoning_state`: whether an answer begins outside of a think block, inside one, or free to open one."""

from __future__ import annotations

from kvproxy.core import Reasoning

_OPEN, _CLOSE = "<think>", "</think>"


def reasoning_state(rendered: str, *, thinks: bool) -> Reasoning:
    """Read the state off the end of a rendered prompt.

    Only a generation prompt ends in a think mark: client text is escaped, and an earlier answer is followed by the
    header of the next one.
    """
    end = rendered[-64:].rstrip()
    if end.endswith(_OPEN):
        return "open"
    if end.endswith(_CLOSE) or not thinks:
        return "none"
    return "may"
