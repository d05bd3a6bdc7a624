"""A real model's misses: the cause is in the header with the first token, and /kv/v1/explain shows the difference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.e2e.served import Served
from tests.e2e.texts import document

TEXT = document("rules", 1_200)


def body(day: str) -> dict[str, Any]:
    system = {"role": "system", "content": f"Today is {day}.\n{TEXT}"}
    return {"messages": [system, {"role": "user", "content": "Why?"}], "max_tokens": 2, "model": "rules"}


def post(url: str, path: str, sent: dict[str, Any]) -> tuple[dict[str, Any], str]:
    request = Request(url + path, json.dumps(sent).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=120) as response:
        return json.load(response), response.headers.get("Cache-Status", "")


def test_a_date_in_front_costs_the_prompt_and_is_named(smollm2: Path, tmp_path: Path) -> None:
    with Served(tmp_path, smollm2, {"model": {"name": "rules"}}) as proxy:
        url = proxy.url
        _, first = post(url, "/v1/chat/completions", body("2026-11-29"))
        _, second = post(url, "/v1/chat/completions", body("2026-11-30"))
        told, _ = post(url, "/kv/v1/explain", {**body("2026-12-01"), "previous": True})
        post(url, "/kv/v1/documents", {"id": "rules", "text": TEXT})
        behind, _ = post(url, "/kv/v1/explain", body("2026-12-01"))
    assert first == 'kvproxy; fwd=miss; detail="no-document"'
    assert second == 'kvproxy; fwd=miss; detail="no-document; cause=timestamp"', "a prefill takes far longer"
    assert (told["outcome"], told["cause"]) == ("miss", "timestamp")
    assert told["difference"]["before"].endswith("Today is 2026-1")
    assert told["difference"]["token"]["sent_text"] == "2"
    assert (behind["cause"], behind["compared"]["id"]) == ("timestamp", "rules@1")
