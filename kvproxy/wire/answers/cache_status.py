"""``Cache-Status`` (RFC 9211) and ``Server-Timing`` header values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvproxy.core import Decision, DocumentRef, Hit, Miss, MissCause
from kvproxy.events import Started

BYPASS = "kvproxy; fwd=bypass"
"""For another provider's model: no lookup took place here."""

PENDING = 'kvproxy; detail="pending"'
"""For a stream that had to be kept alive before it was decided, or while a hit waited its turn: neither hit nor miss is
claimed, and the final value follows as a comment in the stream."""


def early_status(decision: Decision | None) -> str:
    """Return the value for a stream that must start before its first event.

    A decided miss is stated with its reason, since a miss stays one; whether its prefill was shared follows in the
    comment.
    """
    if not isinstance(decision, Miss):
        return PENDING
    key = "" if decision.document is None else f"; key={sf_string(str(decision.document))}"
    return f"kvproxy; fwd=miss{key}; detail={sf_string(_why(decision))}"


def cache_status(
    decision: Decision, started: Started, *, exact: bool, moved: Sequence[DocumentRef] = ()
) -> str:
    """Return the header's value for the final ``decision``, after a lost hit became a miss.

    A shared prefill was forwarded and collapsed, as RFC 9211 defines it: it was not computed for this request alone,
    but it was not there when the request came. ``exact`` claims bit equality for the tokens taken from pages: the
    engine has shown at its start that pages give the bits of a prefill. Where it has not, nothing is claimed.

    ``moved``: documents that were moved to the front, of which the detail tells the number.

    A miss reads ``detail="no-document; cause=timestamp"``, without a cause that was not known in time.

    Of a fleet: ``detail="expected=896"`` in a stream, whose replica tells the number at its end;
    ``tokens=896,block=128`` where the rest of the document fills no block; ``tokens=128; cause=evicted`` where the
    replica has less of it for another reason. No replica is named: the header goes to every reader, and replicas have
    internal addresses.

    Example: ``cache_status(hit, started, exact=True) == 'kvproxy; hit; key="handbook@3"; detail="tokens=512,exact"'``.
    """
    key = "" if decision.document is None else f"; key={sf_string(str(decision.document))}"
    if isinstance(decision, Hit):
        detail = _taken(decision, started, exact=exact)
        outcome = "fwd=miss; collapsed" if started.collapsed else "hit"
    else:
        detail = _why(decision)
        outcome = "fwd=miss; collapsed" if started.collapsed else "fwd=miss"
    detail += f"; moved={len(moved)}" if moved else ""
    return f"kvproxy; {outcome}{key}; detail={sf_string(detail)}"


def _taken(hit: Hit, started: Started, *, exact: bool) -> str:
    """Return the tokens of a hit, with the reason that a fleet's replica has no more of the document."""
    if not started.confirmed:
        return f"expected={started.cached_tokens}"
    detail = f"tokens={started.cached_tokens}" + (",exact" if exact else "")
    if hit.cause is MissCause.ROUNDED_TO_BLOCK and hit.choice is not None:
        return f"{detail},block={hit.choice.block_tokens}"
    return detail if hit.cause is None else f"{detail}; cause={hit.cause.value}"


def _why(miss: Miss) -> str:
    """Return a miss's reason, with its cause where that is known and says more."""
    told = miss.cause is not None and miss.cause.value != miss.reason.value
    return f"{miss.reason.value}; cause={miss.cause.value}" if told and miss.cause else miss.reason.value


def server_timing(durations_s: Mapping[str, float]) -> str:
    """Write durations in seconds as ``match;dur=0.41, load;dur=0.0``; the header counts in milliseconds."""
    return ", ".join(f"{name};dur={seconds * 1000:.3f}" for name, seconds in durations_s.items())


def sf_string(text: str) -> str:
    """Write a string of RFC 8941: printable ASCII, quotes and backslashes escaped, others percent-encoded."""
    encoded = "".join(c if " " <= c <= "~" else _percent(c) for c in text)
    return '"' + encoded.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "replace"))
