"""Bodies of completions that are refused, by the name of the field."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from kvproxy.fake_replica.fake_replica import FakeReplica
from tests.fake_replica.asking import PROMPT


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"cache_salt": "handbook@3"}, "cache_salt"),
        ({"cache_salt": ""}, "cache_salt"),
        ({"cache_salt": "x" * 129}, "cache_salt"),
        ({"prompt": []}, None),
        ({"n": 0}, None),
        ({"prompt": None}, "prompt"),
        ({"max_tokens": "x"}, "body.max_tokens"),
        ({"prompt": list(range(2000))}, "input_tokens"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"logprobs": -2}, "logprobs"),
        ({"structured_outputs": {"json": {}, "regex": "a"}}, "structured_outputs"),
    ],
)
async def test_wrong_fields_are_refused_by_name(
    replica: FakeReplica, http: aiohttp.ClientSession, body: dict[str, Any], param: str | None
) -> None:
    async with http.post(f"{replica.url}/v1/completions", json={"prompt": PROMPT, **body}) as answer:
        error = (await answer.json())["error"]
        assert (answer.status, error["param"], error["code"]) == (400, param, 400)
