"""Parser of the proxy's ``Cache-Status`` (RFC 9211) and ``Server-Timing`` headers: `cache_report`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import unquote

from typing_extensions import TypedDict

CacheOutcome = Literal["hit", "miss", "collapsed", "bypass", "pending"]


class CacheReport(TypedDict):
    """The cache report in an answer's `response_metadata["kvproxy"]`.

    `status` is `hit`; `miss`; `collapsed` where the prefill was shared with simultaneous readers; `bypass`
    for another provider's model; or `pending` where a stream began before it was decided and carried no usage.
    """

    status: CacheOutcome
    reason: str | None
    """Of a miss, from the proxy's closed list: `no-document`, `new-preamble`, `not-resident` …"""
    cause: str | None
    """Of a miss: what differed from the nearest text, `timestamp`, `tools-order` …, where the proxy knew it at the
    first token; of a fleet's hit the reason for no more of it: `rounded-to-block`, `evicted`. The proxy's
    docs/misses.md says what to do about each."""
    document: str | None
    """The published document at the head of the prompt, without its version; None where only an earlier
    prompt matched."""
    version: int | None
    tokens: int
    """The number of the prompt's tokens that were not computed for this request."""
    expected: int | None
    """In a stream of a fleet's answer: the number that the proxy expected, before the replica told it; else None."""
    exact: bool
    """True where tokens were taken from kept pages that, as the proxy has shown, give the bits of a prefill."""
    timings_ms: dict[str, float]
    """Milliseconds by phase: `match`, `queue`, `load`, `prefill`, `proxy`."""


def cache_report(headers: Mapping[str, str]) -> CacheReport | None:
    """Return the report in the headers of an answer, or None where no kvproxy answered.

    ``headers``: with names in lower case, or any case-insensitive mapping.
    """
    fields = _fields(headers.get("cache-status", ""))
    if fields is None:
        return None
    first, *notes = (note.strip() for note in fields.get("detail", "").split(";"))
    causes = [note[6:] for note in notes if note.startswith("cause=")]
    detail = [word for word in first.split(",") if word]
    tokens = next((int(w[7:]) for w in detail if re.fullmatch(r"tokens=\d+", w)), 0)
    expected = next((int(w[9:]) for w in detail if re.fullmatch(r"expected=\d+", w)), None)
    reasons = [w for w in detail if w not in ("exact", "inexact", "pending") and "=" not in w]
    if any(w.startswith("block=") for w in detail):
        causes.append("rounded-to-block")
    document, _, version = unquote(fields.get("key", "")).partition("@")
    return CacheReport(
        status=_status(fields, detail),
        reason=reasons[0] if reasons else None,
        cause=causes[0] if causes else None,
        document=document or None,
        version=int(version) if version.isdigit() else None,
        tokens=tokens if expected is None else expected,
        expected=expected,
        exact="exact" in detail,
        timings_ms=_timings(headers.get("server-timing", "")),
    )


def settled(report: CacheReport, cached_tokens: int) -> CacheReport:
    """Return a pending or expected report as a hit or a miss, now that the usage is known; any other one as it is."""
    if report["status"] != "pending" and report["expected"] is None:
        return report
    return {**report, "status": "hit" if cached_tokens else "miss", "tokens": cached_tokens}


def _status(fields: Mapping[str, str], detail: list[str]) -> CacheOutcome:
    if "hit" in fields:
        return "hit"
    if "collapsed" in fields:
        return "collapsed"
    if fields.get("fwd") == "bypass":
        return "bypass"
    return "pending" if "pending" in detail else "miss"


_PARAMETER = r';\s*([a-z*][a-z0-9_.*-]*)(?:=("(?:[^"\\]|\\.)*"|[^;,\s]*))?'
_OURS = re.compile(rf"(?:^|,)\s*kvproxy(?P<parameters>(?:\s*{_PARAMETER})*)")


def _fields(value: str) -> dict[str, str] | None:
    """Return the parameters of kvproxy's own entry; other caches may have added theirs, before or behind."""
    found = _OURS.search(value)
    if found is None:
        return None
    return {name: _unquoted(text) for name, text in re.findall(_PARAMETER, found["parameters"])}


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def _timings(value: str) -> dict[str, float]:
    found = re.findall(r"([A-Za-z][\w-]*)\s*;\s*dur=(\d+(?:\.\d+)?)", value)
    return {name: float(duration) for name, duration in found}
