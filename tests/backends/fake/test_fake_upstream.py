from __future__ import annotations

from typing import get_args

import pytest

from kvproxy.backends.base import Endpoint
from kvproxy.backends.fake.fake_upstream import upstream_answer, upstream_chunks

KINDS = {
    "chat/completions": ("object", "chat.completion", "chat.completion.chunk"),
    "completions": ("object", "text_completion", "text_completion"),
    "responses": ("object", "response", None),
    "messages": ("type", "message", None),
    "embeddings": ("object", "list", None),
}


@pytest.mark.parametrize("endpoint", get_args(Endpoint))
def test_each_endpoint_has_its_own_format(endpoint: Endpoint) -> None:
    key, whole, chunk = KINDS[endpoint]
    answer = upstream_answer(endpoint, "far", "Hello.")
    assert answer[key] == whole and answer["model"] == "far"
    if endpoint == "embeddings":
        with pytest.raises(ValueError, match="never streamed"):
            list(upstream_chunks(endpoint, "far", "Hello."))
        return
    assert "Hello." in str(answer)
    chunks = list(upstream_chunks(endpoint, "far", "Hello."))
    assert any("Hello." in str(x) for x in chunks)
    if chunk is not None:
        assert {x[key] for x in chunks} == {chunk} and chunks[-1]["usage"]["prompt_tokens"] == 9
    else:
        assert chunks[-1]["type"] == {"responses": "response.completed", "messages": "message_stop"}[endpoint]
