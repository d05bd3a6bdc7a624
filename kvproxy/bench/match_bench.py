"""``kvproxy bench match``: what it costs to find a known document in front of a question, among ever more documents."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from kvproxy.bench.engine.stored_prefixes import stored_cache
from kvproxy.bench.machine import machine
from kvproxy.core import Caller, ChatRequest, Message, Prompt, TextPart
from kvproxy.documents.library.document import Document, Framing, TokenizedDocument, etag_of
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.runtime.garbage_collection import frozen, own_clock
from kvproxy.terminal.tables import console

PHASES = ("find", "compose", "lookup", "all", "cpu")
"""``find`` is a part of ``compose``; ``all`` is compose and lookup, and ``cpu`` the processor time of these."""
_ALIKE = 16
"""Documents of the same length as the asked one that differ from it at their end alone."""
_NOTICE = (
    "This document belongs to the archive of the house. It is printed on both sides of every sheet. " * 2
)
_WORDS = (
    "account archive bridge canal cargo clerk council court deed duty estate export field fleet garden grain harbour "
    "house inquiry island judge labour ledger letter market member minute notice office order owner paper parish "
    "passage petition pledge port price record rent report river road sale school ship statute street survey tax "
    "tenant trade treaty tribunal valley vessel village voyage ward warrant wharf witness writ"
).split()


@dataclass(frozen=True, slots=True)
class MatchPlan:
    """A measurement: documents in the library, tokens of the asked one, requests for each size."""

    documents: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    """Ascending."""
    tokens: int = 50_000
    requests: int = 200
    seed: int = 0


def bench_match(
    folder: Path, plan: MatchPlan, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Measure detection and swap of one long document in front of a question, while the library grows.

    ``folder``: a model's, of which the tokenizer and the chat template are used and no weight. A third of the documents
    begin with the same notice, a third are another one and more text behind it, and ``_ALIKE`` differ from the asked
    one at its end alone. Each request has a question of its own. Times are microseconds of the wall clock, with garbage
    collected as in a server; bytes of the index are what the process grew by while documents were added that were in
    memory already, texts included.

    Example: ``bench_match(folder, MatchPlan(documents=(100, 1000), tokens=2000))``
    """
    composer = Composer(Tokenizer.load(folder), ChatTemplate.load(folder), Library(), [Framing("system")])
    text = _long_text(composer, plan.tokens, random.Random(plan.seed))
    asked = _published(composer, "asked", text)
    composer.library.add(asked)
    cache = stored_cache([("public", asked.prefixes[0].token_ids)])
    for n in range(_ALIKE):
        composer.library.add(_known(f"alike-{n}", f"{text[:-20]} another end {n}"))
    rows: list[dict[str, Any]] = []
    filler = _fillers(random.Random(plan.seed))
    for done, size in enumerate(plan.documents, start=1):
        with own_clock():
            row = _grow(composer.library, filler, size)
            with frozen():
                rows.append(row | _times(composer, cache, text, plan.requests))
        if progress is not None:
            progress(sum(plan.documents[:done]), sum(plan.documents))
    return {
        "machine": machine(),
        "model": folder.name,
        "tokens": len(asked.tokenized.token_ids),
        "characters": len(text),
        "requests": plan.requests,
        "match": rows,
    }


def _grow(library: Library, filler: Iterator[KnownDocument], size: int) -> dict[str, Any]:
    """Add documents until there are ``size``; return the cost of each."""
    before, begun = len(library), 0.0
    new = [next(filler) for _ in range(size - before)]
    gc.collect()
    memory, begun = psutil.Process().memory_info().rss, time.perf_counter()
    for known in new:
        library.add(known)
    seconds = time.perf_counter() - begun
    grown = psutil.Process().memory_info().rss - memory
    count = max(1, len(new))
    return {
        "documents": len(library),
        "add_us": round(seconds / count * 1e6, 2),
        "build_s": round(seconds, 3),
        "index_bytes_each": round(grown / count),
    }


def _times(composer: Composer, cache: KVCache, text: str, requests: int) -> dict[str, dict[str, float]]:
    """Return p50 and p99 of each phase, and fail where a request is no hit on the whole document."""
    spent: dict[str, list[float]] = {phase: [] for phase in PHASES}
    reader = Caller("reader", "tenant:reader")
    for n in range(requests):
        request = _request(text, n)
        body = request.messages[0].content[0]
        assert isinstance(body, TextPart)
        times, cpu = [time.perf_counter()], time.thread_time()
        prompt = composer.compose(request, reader)
        times.append(time.perf_counter())
        found = _lookup(cache, prompt, reader)
        times.append(time.perf_counter())
        spent["cpu"].append(time.thread_time() - cpu)
        composer.library.find_at_front(body.text, reader)
        times.append(time.perf_counter())
        (span,) = prompt.documents
        assert found >= span.end > len(text) // 8, "the request was no hit"
        for phase, begin, end in (("compose", 0, 1), ("lookup", 1, 2), ("all", 0, 2), ("find", 2, 3)):
            spent[phase].append(times[end] - times[begin])
    return {phase: _quantiles(seconds) for phase, seconds in spent.items()}


def _lookup(cache: KVCache, prompt: Prompt, reader: Caller) -> int:
    with cache.retain_match(prompt.token_ids, reader.readable, prompt.known) as match:
        return match.tokens


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"p50_us": round(cuts[49] * 1e6, 1), "p99_us": round(cuts[98] * 1e6, 1)}


def _request(text: str, n: int) -> ChatRequest:
    system = Message("system", (TextPart(f"{text}\n\nAnswer in a sentence. This is request {n}."),))
    question = Message("user", (TextPart(f"What does entry {n} say?"),))
    return ChatRequest("bench", (system, question))


def _long_text(composer: Composer, tokens: int, source: random.Random) -> str:
    lines: list[str] = []
    count = 0
    while count < tokens:
        some = [f"Entry {len(lines) + i}: {' '.join(source.choices(_WORDS, k=12))}." for i in range(50)]
        count += len(composer.encode("\n".join(some)))
        lines += some
    return "\n".join(lines)


def _published(composer: Composer, id: str, text: str) -> KnownDocument:
    tokenized = composer.tokenize(text)
    prefixes = tuple(composer.framed_prefix(text, tokenized, framing) for framing in composer.framings)
    return KnownDocument(_document(id, text), tokenized, prefixes)


def _document(id: str, text: str) -> Document:
    return Document(id, 1, text, etag_of(text), "public", "tenant:publisher", 0)


def _known(id: str, text: str) -> KnownDocument:
    return KnownDocument(_document(id, text), TokenizedDocument(text, "", (), (), 0, 0, 0), ())


def _fillers(source: random.Random) -> Iterator[KnownDocument]:
    """Yield short documents: of three, one begins as all do, one as no other, and one is the one before it and
    more."""
    number = 0
    while True:
        own = " ".join(source.choices(_WORDS, k=8))
        yield _known(f"d{number}", f"{_NOTICE}Sheet {number}: {own}.")
        alone = f"{own.capitalize()} {number}."
        yield _known(f"d{number + 1}", alone)
        yield _known(f"d{number + 2}", f"{alone} {own}.")
        number += 3


def print_match(result: dict[str, Any]) -> None:
    """Print the table of ``kvproxy bench match``."""
    out = console()
    table = Table("documents", "add", "index", *(f"{p} p50" for p in PHASES), "all p99", "cpu p99", box=None)
    for row in result["match"]:
        times = [f"{row[phase]['p50_us']:,.0f} us" for phase in PHASES]
        table.add_row(
            f"{row['documents']:,}",
            f"{row['add_us']:,.1f} us each",
            f"{row['index_bytes_each']:,} B each",
            *times,
            *(f"{row[phase]['p99_us']:,.0f} us" for phase in ("all", "cpu")),
        )
    out.print(table)
    out.print(
        f"A document of {result['tokens']:,} tokens ({result['characters']:,} characters) in front of a question, "
        f"{result['requests']} requests each; {result['machine']['cpu']}, Python {result['machine']['python']}.",
        soft_wrap=True,
    )
