"""`kept_difference`: the first difference of a request that is still remembered from the nearest one before it.

What is remembered are token ids, by the scope of their caller: they are turned back into text here, for that caller
alone, and nothing of it is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.explain.previous_requests import KeptRequest, PreviousRequests
from kvproxy.explain.token_difference import Decode, TokenWindow, token_difference

AROUND = 240
"""Characters that are shown on either side of a difference."""
_WINDOW = TokenWindow(before=AROUND, after=AROUND)


@dataclass(frozen=True, slots=True)
class KeptDifference:
    """One remembered request beside the nearest one before it."""

    request: KeptRequest
    other: KeptRequest
    common: int
    """Tokens of the common beginning."""
    sent_token: int | None
    """The first token that differs, of the request; None where it ends there."""
    other_token: int | None
    before: str
    """Text in front of the difference, which both have."""
    sent: str
    """The request's text from the difference on."""
    theirs: str
    """The other's."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A request that is still remembered, without another one to compare it with."""

    request: KeptRequest


def kept_difference(
    previous: PreviousRequests, decode: Decode, scope: str, id: str
) -> KeptDifference | Remembered | None:
    """Return the difference of a request of ``scope``; None where it is not remembered, or not of this scope.

    Requests that came later are passed over, so that the comparison is the one that was to be made when it missed.
    Example: ``kept_difference(explainer.previous, composer.decode, caller.scope, "chatcmpl-1")``
    """
    request = previous.find(scope, id)
    if request is None:
        return None
    near = previous.nearest_before(scope, request)
    if near is None:
        return Remembered(request)
    ours, theirs, common = request.token_ids, near.request.token_ids, near.common
    difference = token_difference(ours, theirs, common, decode, _WINDOW)
    return KeptDifference(
        request,
        near.request,
        common,
        ours[common] if common < len(ours) else None,
        theirs[common] if common < len(theirs) else None,
        difference.before[-AROUND:],
        difference.sent[:AROUND],
        difference.other[:AROUND],
    )
