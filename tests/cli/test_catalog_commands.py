from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kvproxy.cli.app import app
from kvproxy.client import Client
from kvproxy.wire.market.quote_types import money_body

QUOTE: dict[str, Any] = {
    "decision": "hit", "reason": "", "prompt_tokens": 3800, "cached_tokens": 3584, "max_tokens": 64,
    "hit": money_body(2_872_000, "USD"), "miss": money_body(19_000_000, "USD"), "saved": money_body(16_128_000, "USD"),
    "most": money_body(19_960_000, "USD"),
    "documents": [{"document": "handbook@3", "publisher": "acme", "tokens": 3584}],
}  # fmt: skip
ENTRY: dict[str, Any] = {
    "document": "handbook@3", "tokens": {"m": 3774}, "publisher": "acme", "licence": None, "reads": 7, "price": {},
    "verified": {"exact": True},
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of the client's calls; they answer QUOTE and, for the second hash of a text, ENTRY."""
    calls: list[dict[str, Any]] = []

    def quote(self: Client, request: Any = None, **given: Any) -> dict[str, Any]:
        calls.append({"request": request, **given})
        return QUOTE

    def catalog(self: Client, **given: Any) -> list[dict[str, Any]]:
        calls.append(given)
        return [ENTRY] if given["sha256"] is None or len(calls) == 2 else []

    monkeypatch.setattr(Client, "quote", quote)
    monkeypatch.setattr(Client, "catalog", catalog)
    return calls


def run(*arguments: str | Path, stdin: str | None = None) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments], input=stdin)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_request_a_text_and_a_document_are_told_apart(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    (tmp_path / "request.json").write_text(json.dumps(request))
    (tmp_path / "text.md").write_text(" words \n")
    told = run("quote", tmp_path / "request.json")
    assert "hit: 3,584 of 3,800 prompt tokens" in told and "now 0.002872 USD, cold 0.019" in told
    run("quote", tmp_path / "text.md", "--max-tokens", "5")
    run("quote", "handbook@3")
    assert json.loads(run("quote", "-", "--json", stdin="words")) == QUOTE
    assert asked[0]["request"] == request
    assert asked[1]["sha256"] == asked[3]["sha256"] != "" and asked[1]["max_tokens"] == 5
    assert asked[2]["document"] == "handbook@3"


def test_a_text_is_found_by_either_hash(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "text.md").write_text(" words \n")
    told = run("catalog", "--sha256-of", tmp_path / "text.md")
    assert told == "handbook@3  3,774 tokens  by acme  free  (no licence named, 7 reads, verified exact)\n"
    assert len({call["sha256"] for call in asked}) == 2


def test_nothing_found_is_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "catalog", lambda self, **given: [])
    result = CliRunner().invoke(app, ["catalog"])
    assert result.exit_code == 1 and "nothing on offer" in result.stdout
