from __future__ import annotations

import json

from kvproxy.errors import Overloaded
from kvproxy.events import Finished, Likelihood, ReasoningDelta, Started, TextDelta, TokenLogprob, Usage
from kvproxy.server.dashboard.playground_stream import PlaygroundStream, token_texts


def told(data: bytes) -> tuple[str, object]:
    name, value = data.decode().rstrip("\n").split("\n")
    return name.removeprefix("event: "), json.loads(value.removeprefix("data: "))


def test_a_piece_has_the_bytes_of_its_tokens_half_characters_too() -> None:
    halves = tuple(TokenLogprob(Likelihood(at, part, -0.1)) for at, part in enumerate((b"\xc3", b"\xa9")))
    assert token_texts(halves) == ["c3", "a9"]
    assert told(PlaygroundStream().event(0, TextDelta("é", 2, halves))) == (
        "piece",
        {"text": "é", "tokens": ["c3", "a9"]},
    )
    reasoning = told(PlaygroundStream().event(0, ReasoningDelta("hm")))
    assert reasoning == ("piece", {"text": "hm", "tokens": [], "reasoning": True})


def test_the_end_has_the_final_counts_and_a_price_only_where_there_is_one() -> None:
    stream = PlaygroundStream()
    free = told(stream.end(Usage(100, 7, 90)))
    assert free == ("done", {"prompt_tokens": 100, "cached_tokens": 90, "completion_tokens": 7})
    assert stream.event(0, Finished("stop", Usage(100, 7, 90))) == b"", "the end tells it"
    assert stream.begin(Started(0, False, 0.0, 0.0, 0.0), prompt_tokens=1, choices=1) == b""
    name, body = told(stream.error(Overloaded("full", retry_after_s=1)))
    assert name == "error" and isinstance(body, dict) and body["error"]["message"] == "full"
    assert stream.pulse().startswith(b":")
