"""The summary that an agent is told of a document."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.mcp_server.tool_results import summary


def framing(name: str, resident_tokens: int) -> dict[str, Any]:
    return {"name": name, "tokens": 900, "resident_tokens": resident_tokens, "bytes": 1}


@pytest.mark.parametrize(
    ("framings", "cached"),
    [
        ([framing("user", 900), framing("system", 880)], 880),
        ([framing("system", 0), framing("user", 900)], 0),
        ([framing("user", 900), framing("agent", 256)], 900),
        ([], 0),
    ],
)
def test_what_is_kept_is_told_for_the_place_where_ask_puts_it(
    framings: list[dict[str, Any]], cached: int
) -> None:
    info = {
        "id": "a/b",
        "version": 3,
        "current": False,
        "visibility": "public",
        "characters": 9,
        "tokens": 870,
        "framings": framings,
        "quarantined": "a page differs",
        "pinned": True,
    }
    told = summary(info)
    assert told.replicas == 0
    info["pinned"], framing_held = "best effort", {**framing("user", 896), "replicas": [{"tokens": 896}]}
    of_fleet = summary({**info, "framings": [framing_held, framing("system", 0)]})
    assert (of_fleet.pinned, of_fleet.replicas) == ("best effort", 1)
    assert (told.reference, told.uri, told.cached_tokens) == ("a/b@3", "kv://a/b@3", cached)
    assert (told.current, told.pinned, told.quarantined) == (False, True, "a page differs")
