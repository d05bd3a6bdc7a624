"""Completions whole and streamed."""

from __future__ import annotations

import aiohttp

from kvproxy.fake_replica.fake_replica import FakeReplica
from tests.fake_replica.asking import PROMPT, ask, chunks


async def test_a_stream_says_the_same_and_its_usage_comes_last(
    replica: FakeReplica, http: aiohttp.ClientSession
) -> None:
    whole = await ask(http, replica, return_token_ids=True)
    told = await chunks(http, replica, return_token_ids=True, stream_options={"include_usage": True})
    tokens = [token for one in told[:-1] for token in one["choices"][0]["token_ids"]]
    assert tokens == whole["choices"][0]["token_ids"]
    assert "".join(one["choices"][0]["text"] for one in told[:-1]) == whole["choices"][0]["text"]
    assert told[0]["choices"][0]["prompt_token_ids"] == PROMPT
    assert all("usage" not in one for one in told[:-1])
    assert told[-1]["usage"]["prompt_tokens_details"] == {"cached_tokens": 96}
    assert told[-1]["system_fingerprint"] == replica.engine.fingerprint
