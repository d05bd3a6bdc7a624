from __future__ import annotations

import json

import pytest

from kvproxy.receipts.statement_file import StatementFile, parse_statement, receipts_in


def test_a_statement_as_the_api_returns_it_and_its_bare_jws() -> None:
    told = {"object": "kv_statement", "jws": "s.s.s", "receipts": ["a.b.c", "d.e.f"], "checkpoint": "note"}
    assert parse_statement(json.dumps(told)) == StatementFile("s.s.s", ("a.b.c", "d.e.f"), "note")
    assert parse_statement(" s.s.s\n") == StatementFile("s.s.s", (), None)
    assert parse_statement(json.dumps({**told, "checkpoint": 7})).checkpoint is None


@pytest.mark.parametrize("text", ["{", "{}", '{"jws": 1}', '{"jws": "a.b.c", "receipts": ' + "[" * 60_000])
def test_what_is_no_statement(text: str) -> None:
    with pytest.raises(ValueError):
        parse_statement(text)


def test_receipts_in_lists_of_lists() -> None:
    assert list(receipts_in([["a.b.c"], {"data": [{"jws": "d.e.f"}]}, 7, None])) == ["a.b.c", "d.e.f"]
