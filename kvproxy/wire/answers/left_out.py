"""``x-kvproxy-left-out``: the response header that lists the fields a request was answered without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvproxy.core import LeftOut
from kvproxy.wire.answers.cache_status import sf_string

LEFT_OUT = "x-kvproxy-left-out"

MOST = 16
"""Entries in one header; further ones are counted, so that a header never grows with a body."""


def left_out_header(left_out: Sequence[LeftOut]) -> Mapping[str, str]:
    """Return header name to value, a list of strings of RFC 8941: ``"tools[3]: web_search"``.

    Empty when nothing was left out.
    """
    if not left_out:
        return {}
    entries = [sf_string(f"{item.param[:128]}: {item.what[:64]}") for item in left_out[:MOST]]
    if len(left_out) > MOST:
        entries.append(sf_string(f"and {len(left_out) - MOST} more"))
    return {LEFT_OUT: ", ".join(entries)}
