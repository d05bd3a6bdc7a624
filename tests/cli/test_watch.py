"""``kvproxy watch``: a line for each request."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.cli.watch import HEAD, NARROW_HEAD, WIDE, head, line


def entry(**fields: Any) -> dict[str, Any]:
    plain = {
        "at": 1_700_000_000.0,
        "client": "codex_exec/0.171.0",
        "model": "smollm2-135m",
        "status": 200,
        "outcome": "hit",
        "reason": None,
        "document": None,
        "prompt_tokens": 7481,
        "cached_tokens": 7470,
        "completion_tokens": 48,
        "ttft_s": 0.1,
        "total_s": 0.9,
    }
    return plain | fields


def test_a_hit_says_how_much_was_cached() -> None:
    told = line(entry(document="handbook@3")).plain
    assert "codex_exec/0.171.0" in told and "7,470 of 7,481 (99 %)" in told
    assert "0.10 s" in told and "0.90 s" in told and told.endswith("handbook@3")


def test_columns_stand_below_their_heads() -> None:
    told = line(entry()).plain
    assert told.index("(99 %)") + len("(99 %)") == HEAD.index("cached of prompt") + len("cached of prompt")


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ({"outcome": "miss", "reason": "new-preamble", "document": "h@1"}, "h@1 new-preamble"),
        ({"outcome": "miss", "reason": "no-document", "cause": "timestamp"}, "no-document (timestamp)"),
        ({"outcome": "miss", "reason": "no-document", "cause": "no-document"}, "  no-document"),
        ({"outcome": "refused", "status": 404, "reason": "model_not_found"}, "404 model_not_found"),
    ],
)
def test_a_miss_and_a_refusal_say_why(fields: dict[str, Any], end: str) -> None:
    assert line(entry(**fields)).plain.endswith(end)


def test_a_fleets_answer_says_replica_and_what_fills_no_block() -> None:
    fields = {"document": "h@3", "cause": "rounded-to-block", "rounded_tokens": 107, "replica": "rack2"}
    assert line(entry(**fields)).plain.endswith("h@3 (rounded-to-block) +107 of its last block on rack2")


def test_who_left_before_the_report_has_no_count() -> None:
    assert "? of 7,481" in line(entry(outcome="left", cached_tokens=None)).plain


def test_another_models_request_has_no_counts() -> None:
    none = dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens", "ttft_s"))
    assert "None" not in line(entry(outcome="bypass", **none)).plain


def test_what_went_by_is_told() -> None:
    assert "7 requests" in line({"missed": 7}).plain


def test_long_names_are_cut() -> None:
    told = line(entry(client="x" * 60, model="y" * 60)).plain
    assert "x" * 24 not in told and "…" in told


@pytest.mark.parametrize("width", [60, 80, 120, WIDE, 200])
def test_a_terminals_lines_are_never_wider_than_it(width: int) -> None:
    one = entry(outcome="miss", document="team/" + "h" * 120 + "@3", reason="no-document", cause="timestamp")
    told = line(one | {"cost": "0.01178", "currency": "USD", "saved": "0"}, width)
    assert told.cell_len <= width and told.plain.endswith("…") and len(head(width)) <= max(width, 60)
    assert ("codex_exec" in told.plain) is (width >= WIDE)
    end = told.plain.index("(99 %)") + len("(99 %)")
    assert end == head(width).index("cached of prompt") + len("cached of prompt")


def test_a_miss_says_why_before_its_price() -> None:
    told = line(entry(reason="asked-cold") | {"cost": "1", "currency": "USD", "saved": "0"}).plain
    assert told.index("asked-cold") < told.index("1 USD, saved 0")
    assert head(None) == HEAD and head(80) == NARROW_HEAD
