"""Chat of a fake replica."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kvproxy.fake_replica.fake_replica import FakeReplica
from kvproxy.fake_replica.replica_options import ReplicaOptions
from tests.fake_replica.asking import post


@pytest.fixture
async def replica() -> AsyncIterator[FakeReplica]:
    async with FakeReplica(ReplicaOptions(scale_out=True)) as replica:
        yield replica


async def test_a_chat_is_the_completion_of_its_rendered_tokens(replica: FakeReplica) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    _, tokens = await post(replica, "/tokenize", {"messages": messages})
    _, chat = await post(replica, "/v1/chat/completions", {"messages": messages, "max_tokens": 8})
    _, whole = await post(replica, "/v1/completions", {"prompt": tokens["tokens"], "max_tokens": 8})
    assert chat["choices"][0]["message"]["content"] == whole["choices"][0]["text"]
