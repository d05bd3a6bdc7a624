from __future__ import annotations

from typing import Any

import pytest

from kvproxy.bench.quote import QuoteRun, print_quote


def test_a_rate_is_of_the_tokens_behind_the_first() -> None:
    assert QuoteRun((1, 2, 3, 4, 5), 2.0, 5).rate == 2.0
    assert QuoteRun((1,), 0.0, 1).rate == 0.0


def result(**changes: Any) -> dict[str, Any]:
    row = {
        "answer": "goes on quoting",
        "prompt_tokens": 1621,
        "new_tokens": 80,
        "tokens_per_s": {"plain": 15.4, "drafts": 58.3, "transformers": 11.7, "transformers_lookup": 46.9},
        "ratio": 3.8,
        "transformers_ratio": 4.01,
        "steps": 19,
        "drafted": 72,
        "accepted": 61,
        "equal": True,
        "transformers_equal": False,
        "repeats": 3,
    }
    shape = {"cpu": "AVX512", "threads": 2}
    return {"machine": shape, "model": "small", "dtype": "bfloat16", "quote": [{**row, **changes}]}


def test_the_table_shows_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    print_quote(result())
    shown = capsys.readouterr().out
    for figure in (
        "1,621",
        "61/72",
        "15.4",
        "58.3",
        "3.80",
        "yes",
        "11.7",
        "46.9",
        "4.01",
        "no",
        "2 threads",
    ):
        assert figure in shown
