"""``x-kvproxy-placement``: the header that tells of documents that were moved to the front of a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvproxy.core import DocumentRef, Placement
from kvproxy.wire.answers.cache_status import sf_string

PLACEMENT = "x-kvproxy-placement"
"""Of a request, another place of the field ``kv_placement``; of an answer, what was done."""

MOST = 16
"""Documents that one header names."""


def placement_header(asked: Placement, moved: Sequence[DocumentRef] | None) -> Mapping[str, str]:
    """Return header name to value: ``front; moved="handbook@3 notes@1"``, a token of RFC 8941 with a parameter.

    Empty unless moving was asked for; without ``moved`` where nothing had to move, and, as ``moved`` None, where that
    is not known yet.

    Example: ``placement_header("front", [DocumentRef("handbook", 3)])["x-kvproxy-placement"]``.
    """
    if asked == "keep":
        return {}
    named = " ".join(str(ref) for ref in (moved or ())[:MOST])
    return {PLACEMENT: f"{asked}; moved={sf_string(named)}" if named else asked}
