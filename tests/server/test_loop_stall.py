"""Large bodies do not hold the event loop: each of its callbacks takes at most 50 ms of its own thread's time.

The test measures the processor time of the loop's thread, beside a calibration: a slow or a busy machine passes too.
``kvproxy bench stall`` measures the loop's waits, those for the interpreter's lock among them.
"""

from __future__ import annotations

import io
import time
from asyncio import events
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from aiohttp.test_utils import TestClient, TestServer

from kvproxy.bench.stalls.stall_cases import CASES, StallCase, tool_results
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.pipeline import Pipeline
from kvproxy.served_model import ServedModel
from kvproxy.server.app import build_app
from tests.callback_time import slowness
from tests.documents.models import write_model
from tests.server.doubles import make_proxy

MOST_S = 0.05
BODY = 5 * 2**18
"""Bytes: just large enough for the threads of large work."""
NAMES = (
    *("messages of 16,000 characters", "messages of one character", "empty parts", "{} everywhere"),
    *("numbers everywhere", "arguments of one call, text"),
    *("arguments of one call, an object", "tools", "token biases"),
    *("a text completion's prompt", "a prompt of token ids", "items of a response"),
)
CHOSEN = [
    *(case for case in CASES if case.name in NAMES),
    StallCase("results in the opposite order", "/v1/chat/completions", tool_results(5_000, reverse=True)),
]


@contextmanager
def longest_callback(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Measure the longest callback of the loop in this thread, in seconds of processor time."""
    longest, run = [0.0], events.Handle._run

    def timed(handle: events.Handle) -> None:
        begun = time.thread_time()
        try:
            run(handle)
        finally:
            longest[0] = max(longest[0], time.thread_time() - begun)

    with monkeypatch.context() as patch:
        patch.setattr(events.Handle, "_run", timed)
        yield longest


@pytest.fixture(scope="module")
def composer(tmp_path_factory: pytest.TempPathFactory) -> Composer:
    folder = write_model(tmp_path_factory.mktemp("stall"), "qwen3")
    return Composer(Tokenizer.load(folder), ChatTemplate.load(folder), Library())


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
async def test_no_callback_is_long(
    case: StallCase, composer: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = make_proxy(max_body=2 * BODY)
    proxy.backend.info = replace(proxy.backend.info, max_context=8192, max_kv_tokens=8192)
    pipeline = Pipeline(
        models=[ServedModel.of(proxy.backend, composer)], misses=proxy.misses, default_max_tokens=4
    )
    components = replace(proxy.components, pipeline=pipeline)
    assert case.body is not None
    body = case.body(BODY)
    slower = slowness()
    async with TestClient(TestServer(build_app(components))) as http:
        await (await http.post(case.path, data=b"{}")).read()
        with longest_callback(monkeypatch) as longest:
            answer = await http.post(case.path, data=io.BytesIO(body))
            told = await answer.read()
    assert answer.status in (200, 400), told[:200]
    assert longest[0] <= MOST_S * slower
