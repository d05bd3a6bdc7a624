"""``/inference/v1/generate`` of a fake replica."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from kvproxy.fake_replica.fake_replica import FakeReplica
from kvproxy.fake_replica.replica_options import ReplicaOptions
from tests.fake_replica.asking import PROMPT, post


@pytest.fixture
async def replica() -> AsyncIterator[FakeReplica]:
    async with FakeReplica(ReplicaOptions(scale_out=True)) as replica:
        yield replica


async def generate(replica: FakeReplica, **sampling: Any) -> dict[str, Any]:
    body = {"token_ids": PROMPT, "sampling_params": {"max_tokens": 4, **sampling}}
    status, told = await post(replica, "/inference/v1/generate", body)
    assert status == 200
    found: dict[str, Any] = told
    return found


async def test_a_forced_cold_read_says_the_same_and_is_not_cached(replica: FakeReplica) -> None:
    await generate(replica)
    hit, cold = await generate(replica), await generate(replica, skip_reading_prefix_cache=True)
    assert hit["usage"]["prompt_tokens_details"]["cached_tokens"] == 96
    assert cold["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert hit["choices"] == cold["choices"]


async def test_tokens_are_those_of_completions(replica: FakeReplica) -> None:
    body = {"prompt": PROMPT, "max_tokens": 4, "return_token_ids": True}
    _, whole = await post(replica, "/v1/completions", body)
    tokens = (await generate(replica))["choices"][0]["token_ids"]
    assert tokens == whole["choices"][0]["token_ids"]
    stream = {"token_ids": PROMPT, "sampling_params": {"max_tokens": 4}, "stream": True}
    _, chunks = await post(replica, "/inference/v1/generate", stream)
    assert [token for one in chunks for token in one["choices"][0]["token_ids"]] == tokens


async def test_it_is_off_unless_scale_out_is_on() -> None:
    async with FakeReplica() as replica:
        status, told = await post(replica, "/inference/v1/generate", {})
        assert (status, told["error"]["type"]) == (403, "PermissionDeniedError")


async def test_logprobs_name_tokens_by_their_ids(replica: FakeReplica) -> None:
    content = (await generate(replica, logprobs=2))["choices"][0]["logprobs"]["content"]
    assert len(content) == 4
    assert all(one["top_logprobs"][0]["token_id"] == one["token_id"] for one in content)
