"""An explanation in the terminal: two lines below each other, with a mark below the difference."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.terminal.explanation_text import explanation_text

TOLD: dict[str, Any] = {
    "outcome": "miss",
    "reason": "no-document",
    "cause": "timestamp",
    "meaning": "a date differs",
    "do": "move it",
    "document": None,
    "prompt_tokens": 3774,
    "cached_tokens": 0,
    "compared": {"kind": "request", "id": "chatcmpl-1", "at": 1_700_000_000.0, "common_tokens": 14},
    "difference": {
        "where": "messages[0]",
        "character": 17,
        "counted_from": "message",
        "before": "Be kind.\nToday is 2026-11-",
        "sent": "30.\nYou are",
        "other": "29.\nYou are",
        "token": {"index": 14, "sent": 5, "sent_text": "30", "other": 6, "other_text": None},
    },
}


def test_the_difference_is_marked_in_both_lines() -> None:
    lines = explanation_text(TOLD).plain.splitlines()
    assert lines[:2] == [
        "miss: 0 of 3,774 tokens are kept (no-document)",
        "cause: timestamp - a date differs",
    ]
    assert lines[2].startswith("compared with your request chatcmpl-1 of ")
    assert lines[2].endswith(": 14 tokens in common")
    assert lines[3] == "first difference: messages[0], character 17; token 14: '30' and the end"
    sent, other, mark = lines[5:8]
    assert sent == "  sent     Be kind.\u23ceToday is 2026-11-30.\u23ceYou are"
    assert other == "  request  Be kind.\u23ceToday is 2026-11-29.\u23ceYou are"
    assert mark == " " * sent.index("30.") + "^"
    assert lines[-1] == "-> move it"


@pytest.mark.parametrize(
    ("side", "shown"),
    [
        (" x", "\u2423x"),
        ("\u00a0x", "\u237dx"),
        ("", "\u2403"),
        ("\u200bx", "\\u200bx"),
        ("\r\n", "\u240d\u23ce"),
    ],
)
def test_a_difference_that_cannot_be_seen_is_shown(side: str, shown: str) -> None:
    told = {**TOLD, "difference": {**TOLD["difference"], "before": "", "sent": side}}
    assert explanation_text(told).plain.splitlines()[5] == f"  sent     {shown}"


def test_a_hit_without_a_difference_is_one_line() -> None:
    none = dict.fromkeys(("reason", "cause", "meaning", "do", "compared", "difference"))
    told = {**TOLD, **none, "outcome": "hit", "cached_tokens": 3700, "document": "handbook@3"}
    assert explanation_text(told).plain == "hit: 3,700 of 3,774 tokens are kept, of handbook@3"


@pytest.mark.parametrize(
    ("name", "begins"), [("10.0.0.7:8000", "replica 10.0.0.7:8000: 896"), (None, "a replica: 896")]
)
def test_a_fleets_replica_is_described(name: str | None, begins: str) -> None:
    replica = {
        "name": name,
        "expected_tokens": 896,
        "block_tokens": 128,
        "rounded_tokens": 107,
        "detail": "as of now",
    }
    lines = explanation_text({**TOLD, "replica": replica}).plain.splitlines()
    assert lines[2] == (
        f"{begins} tokens expected there, in blocks of 128; 107 tokens of the document fill no block and are "
        "computed; as of now"
    )
    rounded = explanation_text({**TOLD, "cause": "rounded-to-block", "replica": replica}).plain
    assert rounded.splitlines()[2].endswith("fill no block and are computed")


def test_a_document_is_named() -> None:
    told = {**TOLD, "compared": {"kind": "document", "id": "handbook@3", "at": None, "common_tokens": None}}
    told["difference"] = {**TOLD["difference"], "counted_from": "text", "token": None}
    lines = explanation_text(told).plain.splitlines()
    assert lines[2] == "compared with handbook@3"
    assert lines[3] == "first difference: messages[0], character 17 of the text"
    assert lines[6].startswith("  document  ")
