"""A minimal server that keeps transformers' KV cache between requests: OpenAI's chat API, greedy, on a CPU.

``python kept_cache.py MODEL_FOLDER --port PORT``; needs torch, transformers and aiohttp, and nothing of kvproxy.
Requests are computed one after another on one thread: torch called from a changing thread was up to twice as
slow. The last few prompts' caches are kept; a request copies the one that it shares the longest prefix with.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from aiohttp import web
from tokenizers.decoders import DecodeStream
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

KEPT = 4


@dataclass
class Kept:
    """A prompt's tokens and the cache of just these."""

    salt: str
    tokens: list[int]
    cache: DynamicCache

    def shares(self, salt: str, tokens: list[int]) -> int:
        """Count the tokens of a prompt that it has; never all of them, for the last one's logits are needed."""
        if salt != self.salt:
            return 0
        same = 0
        for mine, theirs in zip(self.tokens, tokens[:-1], strict=False):
            if mine != theirs:
                break
            same += 1
        return same


@dataclass
class Usage:
    prompt: int = 0
    cached: int = 0
    completion: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }


@dataclass
class Model:
    folder: Path
    kept: list[Kept] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(self.folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.bfloat16).eval()
        end = self.model.generation_config.eos_token_id
        self.ends = set(end if isinstance(end, list) else [end])

    @torch.inference_mode()
    def answer(self, body: dict[str, Any], usage: Usage) -> Iterator[str]:
        """Yield pieces of text, decoded greedily; counts tokens into ``usage``."""
        chat = self.tokenizer.apply_chat_template(
            body["messages"], add_generation_prompt=True, tokenize=True, return_dict=True
        )
        tokens: list[int] = chat["input_ids"]
        salt = str(body.get("cache_salt", ""))
        cache, cached = self._copy(salt, tokens)
        usage.prompt, usage.cached = len(tokens), cached
        decoder, step = DecodeStream(skip_special_tokens=True), tokens[cached:]
        for _ in range(int(body.get("max_tokens") or 256)):
            output = self.model(torch.tensor([step]), past_key_values=cache, use_cache=True, logits_to_keep=1)
            token = int(output.logits[0, -1].argmax())
            usage.completion += 1
            if token in self.ends and not body.get("ignore_eos"):
                break
            piece = decoder.step(self.tokenizer.backend_tokenizer, token)
            if piece:
                yield piece
            step = [token]
        if cached < len(tokens) // 2:  # a new document: the answer behind it is taken off, the prompt stays
            cache.crop(-(cache.get_seq_length() - len(tokens)))
            self.kept = [Kept(salt, tokens, cache), *self.kept][:KEPT]

    def _copy(self, salt: str, tokens: list[int]) -> tuple[DynamicCache, int]:
        best = max(self.kept, key=lambda k: k.shares(salt, tokens), default=None)
        shared = best.shares(salt, tokens) if best is not None else 0
        if best is None or shared == 0:
            return DynamicCache(), 0
        cache = copy.deepcopy(best.cache)
        cache.crop(shared - len(best.tokens))
        return cache, shared


def handler(model: Model, thread: ThreadPoolExecutor) -> Callable[[web.Request], Any]:
    async def chat(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        usage, loop = Usage(), asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()

        def compute() -> None:
            try:
                for piece in model.answer(body, usage):
                    loop.call_soon_threadsafe(pieces.put_nowait, piece)
            finally:
                loop.call_soon_threadsafe(pieces.put_nowait, None)

        computed = loop.run_in_executor(thread, compute)
        if not body.get("stream"):
            await computed
            text = "".join(iter(lambda: pieces.get_nowait() or "", ""))
            message = {"role": "assistant", "content": text}
            return web.json_response(
                {"choices": [{"index": 0, "message": message}], "usage": usage.as_json()}
            )
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while (piece := await pieces.get()) is not None:
            await response.write(event(choices=[{"index": 0, "delta": {"content": piece}}]))
        await computed
        await response.write(event(choices=[], usage=usage.as_json()) + b"data: [DONE]\n\n")
        return response

    return chat


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"object": "chat.completion.chunk", **fields}).encode() + b"\n\n"


async def models(request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "model", "object": "model"}]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    thread = ThreadPoolExecutor(max_workers=1)
    model = thread.submit(Model, args.model).result()
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/chat/completions", handler(model, thread))
    app.router.add_get("/v1/models", models)
    web.run_app(app, host="127.0.0.1", port=args.port, print=None)


if __name__ == "__main__":
    main()
