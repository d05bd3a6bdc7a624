"""A report on a prompt as the API tells it: cut to what is shown, and of the documented type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import TypeAdapter

from kvproxy.core import (
    ANONYMOUS,
    Decision,
    DocumentRef,
    Hit,
    Miss,
    MissCause,
    MissReason,
    Prompt,
    Span,
    TextRequest,
)
from kvproxy.core.miss_remedies import REMEDIES
from kvproxy.core.replica_choice import ReplicaChoice
from kvproxy.explain.miss_explainer import AskedPrompt, FoundCause
from kvproxy.explain.miss_report import DifferingToken, MissReport
from kvproxy.explain.previous_requests import KeptRequest, packed
from kvproxy.explain.request_outline import Place, RequestOutline
from kvproxy.explain.text_difference import TextDifference
from kvproxy.server.answers.explanation_view import SHOWN, explanation_view
from kvproxy.wire.explanations.explanation_answer import KvExplanation

HANDBOOK = DocumentRef("handbook", 3)
MISSED = Miss(MissReason.NO_DOCUMENT)
DIFFERENCE = TextDifference(13, "Today is Nov ", "30.", "29.")
EARLIER = KeptRequest("chatcmpl-1", 1_700_000_000.5, packed((1, 2)), RequestOutline())
TYPE: TypeAdapter[Any] = TypeAdapter(KvExplanation)


def texts(ids: Sequence[int]) -> list[str]:
    return [f"<{id}>" for id in ids]


def view(
    found: FoundCause, decision: Decision = MISSED, token: DifferingToken | None = None
) -> dict[str, Any]:
    asked = AskedPrompt(TextRequest("small", "x"), Prompt((1, 2, 3)), ANONYMOUS, decision)
    told = explanation_view(MissReport(asked, found, token, "message"), texts)
    assert TYPE.validate_python(told, strict=True) == told
    return dict(told)


def test_a_hit_says_what_was_found_and_no_remedy() -> None:
    told = view(FoundCause(None), Hit(2, HANDBOOK))
    assert (told["outcome"], told["document"], told["cached_tokens"]) == ("hit", "handbook@3", 2)
    assert told["prompt_tokens"] == 3
    for name in ("reason", "cause", "meaning", "do", "compared", "difference", "replica"):
        assert told[name] is None, name


ROUNDED = ReplicaChoice("10.0.0.7:8000", "handbook@3", 896, 128)
EVICTED = ReplicaChoice(
    "10.0.0.7:8000", "handbook@3", 0, 128, MissCause.EVICTED, "evicted at 2026-11-30T12:00:04Z"
)
LONG = Prompt(tuple(range(1010)), (Span(HANDBOOK, 3, 1003),))


def fleet_view(decision: Decision, *, names: bool = False) -> dict[str, Any]:
    asked = AskedPrompt(TextRequest("small", "x"), LONG, ANONYMOUS, decision)
    # What the explainer finds beside a hit is another request of the tenant; the fleet's reason comes first.
    report = MissReport(asked, FoundCause(decision.cause or MissCause.TOO_SHORT), None, "message")
    told = explanation_view(report, texts, names=names)
    assert TYPE.validate_python(told, strict=True) == told
    return dict(told)


def test_a_fleets_hit_says_what_fills_no_block() -> None:
    told = fleet_view(Hit(896, HANDBOOK, MissCause.ROUNDED_TO_BLOCK, ROUNDED), names=True)
    assert (told["outcome"], told["cause"]) == ("hit", "rounded-to-block")
    assert told["do"] == REMEDIES[MissCause.ROUNDED_TO_BLOCK].do
    assert told["replica"] == {
        "name": "10.0.0.7:8000",
        "expected_tokens": 896,
        "block_tokens": 128,
        "rounded_tokens": 107,
        "detail": "",
    }


def test_a_fleets_miss_says_when_it_was_evicted_and_names_no_replica_to_everybody() -> None:
    told = fleet_view(Miss(MissReason.NOT_RESIDENT, HANDBOOK, MissCause.EVICTED, EVICTED))
    assert (told["reason"], told["cause"]) == ("not-resident", "evicted")
    assert (told["replica"]["name"], told["replica"]["detail"]) == (None, "evicted at 2026-11-30T12:00:04Z")
    assert "10.0.0.7" not in str(told)


@pytest.mark.parametrize("cause", MissCause)
def test_a_miss_says_its_cause_in_words(cause: MissCause) -> None:
    told = view(FoundCause(cause))
    assert (told["outcome"], told["reason"], told["cause"]) == ("miss", "no-document", cause.value)
    assert (told["meaning"], told["do"]) == (REMEDIES[cause].meaning, REMEDIES[cause].do)
    assert told["cached_tokens"] == 0


def test_the_other_side_is_a_request_or_a_document() -> None:
    assert view(FoundCause(None, request=EARLIER, common=2))["compared"] == {
        "kind": "request",
        "id": "chatcmpl-1",
        "at": 1_700_000_000.5,
        "common_tokens": 2,
    }
    assert view(FoundCause(None, document=HANDBOOK))["compared"] == {
        "kind": "document",
        "id": "handbook@3",
        "at": None,
        "common_tokens": None,
    }
    both = view(FoundCause(None, document=HANDBOOK, request=EARLIER))
    assert both["compared"]["kind"] == "request"


@pytest.mark.parametrize(
    ("place", "where"), [(0, "messages[0]"), (2, "messages[2]"), ("tools", "tools"), (None, "prompt")]
)
def test_the_difference_has_its_place(place: Place | None, where: str) -> None:
    shown = view(FoundCause(MissCause.TIMESTAMP, place=place, difference=DIFFERENCE))["difference"]
    assert (shown["where"], shown["character"], shown["counted_from"]) == (where, 13, "message")
    assert (shown["before"], shown["sent"], shown["other"]) == ("Today is Nov ", "30.", "29.")
    assert shown["token"] is None


def test_no_more_than_the_surroundings_are_shown() -> None:
    long = TextDifference(900, "a" * 400 + "b" * SHOWN, "c" * SHOWN + "d" * 400, "e" * SHOWN + "f" * 400)
    shown = view(FoundCause(MissCause.UNKNOWN, difference=long))["difference"]
    assert (shown["before"], shown["sent"], shown["other"]) == ("b" * SHOWN, "c" * SHOWN, "e" * SHOWN)


def test_equal_texts_have_no_difference_and_one_that_ends_has_one() -> None:
    equal = TextDifference(9, "the same ", "", "")
    assert view(FoundCause(None, difference=equal))["difference"] is None
    ended = TextDifference(9, "the same ", "", "and more")
    token = DifferingToken(3, None, 77)
    shown = view(FoundCause(MissCause.UNKNOWN, difference=ended), token=token)["difference"]
    assert (shown["sent"], shown["other"]) == ("", "and more")
    assert shown["token"] == {
        "index": 3,
        "sent": None,
        "sent_text": None,
        "other": 77,
        "other_text": "<77>",
    }
