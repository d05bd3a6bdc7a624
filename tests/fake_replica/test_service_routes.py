"""Endpoints that do not generate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
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


async def test_wrong_tokenizer_and_template_show(replica: FakeReplica) -> None:
    messages = {"messages": [{"role": "user", "content": "Hi"}]}
    _, before = await post(replica, "/tokenize", messages)
    replica.faults.wrong_template = True
    _, after = await post(replica, "/tokenize", messages)
    assert before["tokens"] != after["tokens"]
    replica.faults.wrong_tokenizer = True
    _, text = await post(replica, "/tokenize", {"prompt": "a"})
    assert text["tokens"] == [98]


async def test_text_goes_there_and_back(replica: FakeReplica) -> None:
    _, told = await post(replica, "/tokenize", {"prompt": "Hé"})
    assert told["count"] == 3
    assert await post(replica, "/detokenize", {"tokens": told["tokens"]}) == (200, {"prompt": "Hé"})


async def test_metrics_name_the_cache(replica: FakeReplica) -> None:
    await generate(replica)
    await generate(replica)
    async with aiohttp.ClientSession() as http, http.get(f"{replica.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    labels = '{engine="0",model_name="fake-model"}'
    assert f"vllm:prefix_cache_hits_total{labels} 96.0" in lines
    assert f"vllm:prefix_cache_queries_total{labels} 200.0" in lines
    assert any('block_size="16"' in line and 'num_gpu_blocks="512"' in line for line in lines)


async def test_health_follows_its_faults(replica: FakeReplica) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{replica.url}/health") as answer:
            assert (answer.status, await answer.read()) == (200, b"")
        replica.faults.health_status = 503
        async with http.get(f"{replica.url}/health") as answer:
            assert answer.status == 503
