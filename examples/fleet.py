"""A fleet on this machine: PostgreSQL, two vLLM replicas, two proxies in front, and a client of both; then all ends.

A document is published through proxy A, which prefills it on one replica. Both proxies answer questions about it from
that replica's cache. A text that nobody published is asked about twice. Then: where the document's KV is, why a request
would miss, and what the client saw. `make fleet` installs vLLM's CPU build first; --fake does without it.

    python examples/fleet.py
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from _proxy import BUNDLED_MODEL, read
from rich.table import Table

from kvproxy.bench.fleets.fleet_servers import KEY, FakePlan, ProxyPlan, fake_server_process, fleet_proxy
from kvproxy.bench.private_postgres import private_postgres
from kvproxy.bench.server_process import Child, started_together, terminated_as_interrupted
from kvproxy.bench.vllm_server import FLEET_PYTHON, VllmPlan, vllm_server
from kvproxy.client import Client
from kvproxy.config import default_cache_dir
from kvproxy.engine.models.source import resolve_model
from kvproxy.errors import KVProxyError
from kvproxy.terminal.explanation_text import explanation_text
from kvproxy.terminal.tables import console

DOCUMENT = "acme/license"
QUESTIONS = (
    "What does this license say about patents?",
    "Who may use the trademarks of the Licensor?",
    "May I sell copies?",
    "Is there any warranty?",
)
UNPUBLISHED = 6000
"""Characters of the other text."""
BLOCKS = 1024
"""KV blocks of a fake replica, of 32 tokens each."""


@dataclass(frozen=True, slots=True)
class SeenAnswer:
    """One answer, as its client saw it."""

    through: str
    about: str
    prompt_tokens: int
    cached_tokens: int
    first_s: float
    total_s: float
    status: str
    text: str


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    arguments.add_argument(
        "--document", default="apache-2.0.txt", help="a UTF-8 text, published through proxy A"
    )
    arguments.add_argument("--other", default="gpl-3.txt", help="its start stays unpublished")
    arguments.add_argument("--max-tokens", type=int, default=16, help="of each answer")
    arguments.add_argument("--fake", action="store_true", help="fake replicas, which answer nonsense")
    arguments.add_argument("--stay", action="store_true", help="serve on, until Ctrl-C")
    given = arguments.parse_args()
    try:
        with terminated_as_interrupted(), tempfile.TemporaryDirectory(prefix="kvproxy-fleet-") as made:
            folder = Path(made)
            with log_ends(folder):
                run(folder, given)
    except KeyboardInterrupt:
        say("interrupted; everything is ended")
        sys.exit(130)
    except KVProxyError as e:
        sys.exit(f"fleet: {e}")


def run(folder: Path, given: argparse.Namespace) -> None:
    model = resolve_model(BUNDLED_MODEL, cache_dir=default_cache_dir()).path
    say("starting PostgreSQL")
    with private_postgres() as database:
        say(
            f"starting two replicas of {BUNDLED_MODEL}"
            + ("" if given.fake else ", which takes a minute or two")
        )
        replicas = [replica(number, model, folder, fake=given.fake) for number in range(2)]
        with started_together(replicas, say):
            urls = [one.url for one in replicas]
            plan = ProxyPlan(BUNDLED_MODEL, model, urls, database.url, secret=secrets.token_bytes(32))
            proxies = [fleet_proxy(f"proxy-{letter}", plan, folder) for letter in "ab"]
            say("starting two proxies on one database")
            with started_together(proxies, say):
                show(proxies, read(given.document), read(given.other)[:UNPUBLISHED], given.max_tokens)
                if given.stay:
                    stay(proxies, replicas)
        say("ending everything")


@contextmanager
def log_ends(folder: Path) -> Iterator[None]:
    """Show how each server's log ends where anything fails: the logs go with the folder."""
    try:
        yield
    except KVProxyError:
        for log in sorted(folder.glob("*.log")):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
            print(f"--- {log.stem}", *lines, sep="\n", file=sys.stderr)
        raise


def replica(number: int, model: Path, folder: Path, *, fake: bool) -> Child:
    name = f"replica-{number}"
    if fake:
        return fake_server_process(name, FakePlan(BUNDLED_MODEL, model, BLOCKS), folder)
    cores = str(number % (os.cpu_count() or 1))
    return vllm_server(name, FLEET_PYTHON, VllmPlan(model, BUNDLED_MODEL, cores), folder)


def show(proxies: Sequence[Child], published: str, unpublished: str, max_tokens: int) -> None:
    a, b = proxies
    with client(a) as http:
        told = http.publish(DOCUMENT, published)
    info = told["info"]
    say(f"{DOCUMENT} is published through proxy A: {info['tokens']:,} tokens in {told['prefill_s']:.1f} s")
    answers = [
        ask(a, "unpublished, cold", text(unpublished), QUESTIONS[3], max_tokens),
        ask(a, "unpublished, again", text(unpublished), QUESTIONS[2], max_tokens),
        ask(a, DOCUMENT, reference(), QUESTIONS[0], max_tokens),
        ask(b, DOCUMENT, reference(), QUESTIONS[1], max_tokens),
        ask(a, f"{DOCUMENT}, as text", text(published), QUESTIONS[2], max_tokens),
        ask(b, f"{DOCUMENT}, as text", text(published), QUESTIONS[3], max_tokens),
    ]
    print_answers(answers)
    for proxy in proxies:
        with client(proxy) as http:
            print_residency(proxy.name, http.document(DOCUMENT))
    with client(b) as http:
        changed = chat(text(published.replace("the", "The", 1)), QUESTIONS[0], max_tokens)
        say("a text with one letter changed, explained by proxy B:")
        console().print(explanation_text(http.explain(changed)))


def ask(proxy: Child, about: str, head: list[dict[str, str]], question: str, max_tokens: int) -> SeenAnswer:
    """Stream one answer. The engine's own count of cached tokens comes with its last event."""
    body = chat(head, question, max_tokens) | {"stream": True, "stream_options": {"include_usage": True}}
    began, first, said, usage = time.perf_counter(), None, "", {}
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=proxy.url, headers=headers, timeout=600, trust_env=False) as http:
        with http.stream("POST", "/v1/chat/completions", json=body) as response:
            if response.is_error:
                sys.exit(f"{proxy.name} answered {response.status_code}: {response.read().decode()[:400]}")
            for event in events(response):
                piece = "".join(choice["delta"].get("content") or "" for choice in event.get("choices", ()))
                if piece and first is None:
                    first = time.perf_counter() - began
                said, usage = said + piece, event.get("usage") or usage
            status = response.headers.get("cache-status", "")
    total = time.perf_counter() - began
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return SeenAnswer(proxy.name, about, usage["prompt_tokens"], cached, first or total, total, status, said)


def events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        if line.startswith("data: {"):
            event = json.loads(line.removeprefix("data: "))
            if "error" in event:
                sys.exit(f"the stream broke off: {event['error']}")
            yield event


def chat(head: list[dict[str, str]], question: str, max_tokens: int) -> dict[str, Any]:
    messages = [{"role": "system", "content": head}, {"role": "user", "content": question}]
    return {"model": BUNDLED_MODEL, "messages": messages, "max_tokens": max_tokens, "temperature": 0}


def text(whole: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": whole}]


def reference() -> list[dict[str, str]]:
    return [{"type": "kv_document", "document": DOCUMENT}]


def print_answers(answers: Sequence[SeenAnswer]) -> None:
    table = Table("through", "asked about", "prompt", "cached", "TTFT", "whole", "Cache-Status", "answer")
    for one in answers:
        tokens = f"{one.prompt_tokens:,}", f"{one.cached_tokens:,}"
        times = f"{one.first_s * 1000:,.0f} ms", f"{one.total_s * 1000:,.0f} ms"
        table.add_row(one.through, one.about, *tokens, *times, one.status, " ".join(one.text.split())[:40])
    console().print(table)


def print_residency(proxy: str, info: dict[str, Any]) -> None:
    """Print where the document's KV is, as one proxy has it from the replicas' events."""
    say(f"{proxy}: {info['id']}@{info['version']}, {info['tokens']:,} tokens, is on")
    table = Table("framing", "replica", "tokens", "tier", "since")
    for framing in info["framings"]:
        for held in framing["replicas"]:
            since = time.strftime("%H:%M:%S", time.localtime(held["since"])) if held["since"] else "-"
            table.add_row(framing["name"], held["replica"], f"{held['tokens']:,}", held["tier"], since)
    console().print(table)


def stay(proxies: Sequence[Child], replicas: Sequence[Child]) -> None:
    for child in (*proxies, *replicas):
        say(f"{child.name} serves at {child.url}")
    say(f"the proxies' API key is {KEY}; Ctrl-C ends everything")
    signal.pause()


@contextmanager
def client(proxy: Child) -> Iterator[Client]:
    with Client(proxy.url, KEY) as http:
        yield http


def say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
