from __future__ import annotations

import asyncio
import json
from typing import Any

import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kvproxy.bench.busy import NEW, PhaseTimes, busy_processes, phase_rows, print_busy, timed_completion


def test_ratios_are_of_medians() -> None:
    alone = [PhaseTimes(1.0, 2.0, 0.1), PhaseTimes(1.0, 2.0, 0.1), PhaseTimes(9.0, 9.0, 9.0)]
    beside = [PhaseTimes(2.0, 3.0, 0.4), PhaseTimes(2.0, 3.0, 0.4), PhaseTimes(0.1, 0.1, 0.1)]
    rows = phase_rows(alone, beside)
    assert [(row["what"], row["ratio"]) for row in rows] == [
        ("start", 2.0),
        ("prefill", 1.5),
        ("decode step", 4.0),
    ]


def test_busy_processes_end_with_the_block() -> None:
    before = psutil.Process().children()
    with pytest.raises(KeyError), busy_processes(2):
        assert len(psutil.Process().children()) == len(before) + 2
        raise KeyError
    assert psutil.Process().children() == before


@pytest.mark.parametrize(("cached", "tokens"), [(0, NEW), (256, NEW), (0, 3)])
async def test_only_a_whole_answer_to_a_cold_prompt_is_timed(cached: int, tokens: int) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert (await request.json())["max_tokens"] == NEW
        answer = web.StreamResponse()
        await answer.prepare(request)
        usage = {
            "prompt_tokens": 974,
            "completion_tokens": tokens,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        events: list[dict[str, Any]] = [{"choices": [{"text": "a"}]}] * tokens
        for event in (*events, {"choices": [], "usage": usage}):
            await answer.write(f"data: {json.dumps(event)}\n\n".encode())
        await answer.write(b"data: [DONE]\n\n")
        return answer

    app = web.Application()
    app.router.add_post("/v1/completions", handler)
    async with TestServer(app) as server:
        timing = asyncio.to_thread(timed_completion, str(server.make_url("")).rstrip("/"), "prompt")
        if cached or tokens != NEW:
            with pytest.raises(AssertionError):
                await timing
        else:
            prompt_tokens, first, step = await timing
            assert prompt_tokens == 974 and first > 0 and step >= 0


def test_the_table_says_what_is_not_sound(capsys: pytest.CaptureFixture[str]) -> None:
    rows = phase_rows([PhaseTimes(1.0, 1.0, 0.01)], [PhaseTimes(2.0, 3.5, 0.02)])
    result = {
        "machine": {"cores": 2, "cpu": "a processor"},
        "model": "m",
        "busy_processes": 2,
        "prompt_tokens": 974,
        "new_tokens": NEW,
        "repeats": 1,
        "busy": rows,
        "most": 3.0,
        "ok": False,
    }
    print_busy(result)
    out = capsys.readouterr().out
    assert "NOT sound" in out and "3.50" in out and "2 busy processes" in out
