"""`bench_explain`: the processor time of finding a miss's cause, beside that of composing the same prompt."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from rich.table import Table

from kvproxy.core import Caller, ChatRequest, Message, Miss, MissReason, TextPart
from kvproxy.documents.library.document import Document, Framing, TokenizedDocument, etag_of
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.explain.miss_explainer import AskedPrompt, MissExplainer
from kvproxy.explain.previous_requests import PreviousRequests
from kvproxy.terminal.tables import console

T = TypeVar("T")

_CALLER = Caller("bench", "tenant:bench")
_DOCUMENTS = 200


def bench_explain(model_folder: Path, text: str, *, rounds: int = 20) -> dict[str, Any]:
    """Measure, for a prompt with ``text`` behind a date: composing it, keeping it, and finding its cause beside as many
    earlier ones. Milliseconds of one thread's processor time, means over the rounds; each has another date.

    Example: ``bench_explain(folder, Path("handbook.md").read_text())["cause_ms"]``
    """
    library = Library()
    composer = Composer(
        Tokenizer.load(model_folder), ChatTemplate.load(model_folder), library, [Framing("system")]
    )
    _publish_others(library, composer, text)
    previous = PreviousRequests(ttl_s=3600, max_requests=rounds, max_memory=256 * 2**20)
    explainer = MissExplainer(library, composer.decode, previous)
    days = [
        f"It is 2026-{n % 12 + 1:02}-{n % 28 + 1:02} {n % 24:02}:{n % 60:02}.\n{text}"
        for n in range(2 * rounds)
    ]
    requests = [_request(day) for day in days]
    compose_ms, prompts = _mean_ms([partial(composer.compose, request, _CALLER) for request in requests])
    asked = [
        AskedPrompt(request, prompt, _CALLER, Miss(MissReason.NO_DOCUMENT))
        for request, prompt in zip(requests, prompts, strict=True)
    ]
    kept, sent = asked[:rounds], asked[rounds:]
    remember_ms, _ = _mean_ms([partial(explainer.remember, one, str(n)) for n, one in enumerate(kept)])
    explainer.cause(sent[0])  # warm
    cause_ms, causes = _mean_ms([partial(explainer.cause, one) for one in sent])
    return {
        "tokens": len(prompts[-1].token_ids),
        "kept": len(previous),
        "causes": sorted({str(cause) for cause in causes}),
        "compose_ms": compose_ms,
        "remember_ms": remember_ms,
        "cause_ms": cause_ms,
    }


def _mean_ms(works: Sequence[Callable[[], T]]) -> tuple[float, list[T]]:
    """Return the milliseconds of each, and their results. Reading a thread's clock may cost as much as one of them, so
    it is read once for all."""
    began = time.thread_time()
    results = [work() for work in works]
    return round((time.thread_time() - began) * 1000 / len(works), 3), results


def _request(text: str) -> ChatRequest:
    messages = (Message("system", (TextPart(text),)), Message("user", (TextPart("What is it about?"),)))
    return ChatRequest("bench", messages)


def _publish_others(library: Library, composer: Composer, text: str) -> None:
    """Add documents that begin as ``text`` does, for the nearest one to be looked for among."""
    for n in range(_DOCUMENTS):
        other = f"{text[: len(text) // 2]} Part {n}."
        document = Document(f"other-{n}", 1, other, etag_of(other), "public", _CALLER.scope, 0)
        core = other.strip()
        tokenized = TokenizedDocument(core, etag_of(core), (), (), 0, 0, 0)
        library.add(KnownDocument(document, tokenized, ()))


def print_explain(result: dict[str, Any]) -> None:
    """Print the result of :func:`bench_explain`."""
    table = Table("step", "ms")
    for name in ("compose", "remember", "cause"):
        table.add_row(name, f"{result[f'{name}_ms']:.3f}")
    console().print(table)
    console().print(
        f"{result['tokens']:,} tokens, {result['kept']} earlier requests; {', '.join(result['causes'])}"
    )
