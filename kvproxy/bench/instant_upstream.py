"""``python -m kvproxy.bench.instant_upstream ANNOUNCE_FILE``: a model behind OpenAI's API that takes no time to think.

The answer has ``max_tokens`` words, the same ones every time; streamed, each word is an event and a write of
its own. Its own cost is measured too, and subtracted from the cost of the proxies in front of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

from kvproxy.bench.server_process import announce_to
from kvproxy.server.run import serve
from kvproxy.server.shutdown import Drain

WORDS = 32
"""Length of an answer when the request does not say."""

WORD = "word "
DRAIN_S = 1.0


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """Answer ``POST /v1/chat/completions``, whole or streamed."""
    body = json.loads(await request.read())
    words = int(body.get("max_tokens") or WORDS)
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": words,
        "total_tokens": 9 + words,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    if not body.get("stream"):
        message = {"role": "assistant", "content": WORD * words, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return web.json_response(_frame(body, "chat.completion", [choice]) | {"usage": usage})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *[{"content": WORD}] * words, {}]
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None if delta else "stop"}
        await response.write(_event(_frame(body, "chat.completion.chunk", [choice])))
        await asyncio.sleep(0)
    if (body.get("stream_options") or {}).get("include_usage"):
        await response.write(_event(_frame(body, "chat.completion.chunk", []) | {"usage": usage}))
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def _frame(body: dict[str, Any], kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    frame = {"id": "chatcmpl-bench", "object": kind, "created": 1_700_000_000, "model": body["model"]}
    return frame | {"choices": choices}


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def make_app() -> web.Application:
    """Build the aiohttp application."""
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/chat/completions", chat_completions)
    return app


def main(announce_file: Path) -> None:
    """Serve until SIGTERM; writes the address to the announce file once it is bound."""
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(serve(make_app(), "127.0.0.1", 0, Drain(DRAIN_S), announce_to(announce_file)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
