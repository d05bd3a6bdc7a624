"""``python -m kvproxy.fake_replica``: a fake replica as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from kvproxy.fake_replica.fake_replica import FakeReplica
from kvproxy.fake_replica.replica_options import ReplicaOptions
from kvproxy.fake_replica.replica_text import ModelText


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m kvproxy.fake_replica",
        description="A replica of vLLM without a model, for trying out fleets. Prints its addresses as JSON.",
    )
    default = ReplicaOptions()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--model", default=default.model, help="the name in /v1/models")
    parser.add_argument(
        "--tokenizer", type=Path, help="a folder with tokenizer and chat template; else bytes"
    )
    parser.add_argument("--blocks", type=int, default=default.blocks)
    parser.add_argument("--block-size", type=int, default=default.block_tokens)
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--max-num-seqs", type=int, default=default.most_running)
    parser.add_argument("--prefill-tokens-per-s", type=float)
    parser.add_argument("--decode-s", type=float, default=0.0)
    parser.add_argument("--answer-words", type=int, default=default.answer_words)
    parser.add_argument("--api-key")
    parser.add_argument("--enable-scale-out", action="store_true")
    parser.add_argument("--events-endpoint", help="bound or connected by vLLM's rule")
    parser.add_argument("--replay-endpoint")
    parser.add_argument("--event-form", choices=("map", "array", "sglang"), default="map")
    parser.add_argument("--topic", default="")
    parser.add_argument("--no-events", action="store_true")
    return parser.parse_args()


def _options(given: argparse.Namespace) -> ReplicaOptions:
    return ReplicaOptions(
        model=given.model,
        block_tokens=given.block_size,
        blocks=given.blocks,
        max_model_len=given.max_model_len,
        most_running=given.max_num_seqs,
        prefill_tokens_per_s=given.prefill_tokens_per_s,
        decode_s=given.decode_s,
        answer_words=given.answer_words,
        api_key=given.api_key,
        scale_out=given.enable_scale_out,
        events=not given.no_events,
        event_form=given.event_form,
        events_endpoint=given.events_endpoint,
        replay_endpoint=given.replay_endpoint,
        topic=given.topic,
    )


async def _serve(given: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    text = ModelText.load(given.tokenizer) if given.tokenizer else None
    async with FakeReplica(_options(given), text=text, host=given.host, port=given.port) as replica:
        told = {
            "url": replica.url,
            "events": replica.events_endpoint,
            "replay": replica.replay_endpoint,
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(_serve(_arguments()))
