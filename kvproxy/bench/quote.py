"""``kvproxy bench quote``: the gain of drafts from the prompt, on answers that quote it and on one that does not."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Table

from kvproxy.bench.engine.transformers_baseline import Baseline, Generated, load_plain
from kvproxy.bench.machine import engine_machine
from kvproxy.config import Config, default_cache_dir
from kvproxy.core import Caller, ChatRequest, Message, Sampling, TextPart, TextRequest
from kvproxy.engine.loop.sequence import Job, Sequence
from kvproxy.engine.models.source import resolve_model
from kvproxy.events import TextDelta
from kvproxy.stack.model_folders import ModelFolders
from kvproxy.stack.open_stack import Stack, open_stack
from kvproxy.terminal.tables import console

LOOKUP = 10
"""transformers' own advice for ``prompt_lookup_num_tokens``."""
DOCUMENT = 2500
"""Characters."""
BEGUN = 200
"""Characters of a quotation that a model is made to go on with."""
TASKS = (
    ("goes on quoting", None),
    ("asked to quote", "{document}\n\nRepeat the first section of this document word for word."),
    ("summarises", "{document}\n\nSummarise this document in a few sentences."),
    ("quotes nothing", "Write a short story about a lighthouse keeper and a storm."),
)
"""(the answer's kind, as far as a small model can; its question). The first is a text completion of
the document and the beginning of a quotation."""


@dataclass(frozen=True, slots=True)
class QuoteRun:
    """One answer: its tokens, their time, and the drafts behind them."""

    tokens: tuple[int, ...]
    seconds: float
    """From the first token to the last."""
    steps: int
    """Tiles that the answer took; for transformers, 0."""
    drafted: int = 0
    accepted: int = 0

    @property
    def rate(self) -> float:
        """Tokens per second behind the first token."""
        return (len(self.tokens) - 1) / self.seconds if self.seconds > 0 else 0.0


def bench_quote(
    config: Config,
    *,
    text: str,
    new_tokens: int,
    repeats: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure tokens per second behind the first token: this engine without drafts and with, and transformers'
    ``generate()`` without and with ``prompt_lookup_num_tokens``, on the same weights and token ids, greedy, in turn.

    Medians of ``repeats``. ``equal``: whether all answers of this engine have the same tokens.

    Example: ``bench_quote(config, text=text, new_tokens=128, repeats=3)``
    """
    return asyncio.run(_quote(config, text, new_tokens, repeats, progress or (lambda *_: None)))


async def _quote(
    config: Config, text: str, new: int, repeats: int, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    folder = resolve_model(config.model.path, revision=config.model.revision, cache_dir=default_cache_dir())
    with tempfile.TemporaryDirectory(prefix="kvproxy-bench-") as scratch:
        store = config.store.model_copy(update={"path": Path(scratch)})
        async with open_stack(config.model_copy(update={"store": store}), ModelFolders(folder)) as stack:
            load = partial(load_plain, str(folder.path), config.model.dtype, cache_dir=default_cache_dir())
            baseline = await stack.local.on_kernel_thread(lambda: Baseline(load(), config.model.device))
            assert isinstance(baseline, Baseline)
            shape = await stack.local.on_kernel_thread(engine_machine)
            rows = []
            for done, (name, ask) in enumerate(TASKS):
                progress(done, len(TASKS))
                token_ids = _prompt(stack, config.model.served_name, ask, text[:DOCUMENT])
                rows.append(await _row(stack, baseline, name, token_ids, new, repeats))
            progress(len(TASKS), len(TASKS))
    return {"machine": shape, "model": config.model.path, "dtype": config.model.dtype, "quote": rows}


async def _row(
    stack: Stack, baseline: Baseline, name: str, token_ids: tuple[int, ...], new: int, repeats: int
) -> dict[str, Any]:
    async def theirs(lookup: int | None) -> QuoteRun:
        answer = partial(baseline.answer, token_ids, new, lookup=lookup)
        made = await stack.local.on_kernel_thread(answer)
        assert isinstance(made, Generated)
        return QuoteRun(made.tokens, sum(made.gaps_s), 0)

    sides: dict[str, Callable[[], Any]] = {
        "plain": lambda: _ours(stack, token_ids, new, speculate=False),
        "drafts": lambda: _ours(stack, token_ids, new, speculate=True),
        "transformers": lambda: theirs(None),
        "transformers_lookup": lambda: theirs(LOOKUP),
    }
    runs: dict[str, list[QuoteRun]] = {side: [] for side in sides}
    await sides["plain"]()  # The prompt's pages are there from now on.
    for _ in range(repeats):
        for side, run in sides.items():
            runs[side].append(await run())
    answers = {r.tokens for side in ("plain", "drafts") for r in runs[side]}
    rates = {side: statistics.median(r.rate for r in made) for side, made in runs.items()}
    last = runs["drafts"][-1]
    return {
        "answer": name,
        "prompt_tokens": len(token_ids),
        "new_tokens": len(last.tokens),
        "tokens_per_s": {side: round(rate, 2) for side, rate in rates.items()},
        "ratio": round(rates["drafts"] / rates["plain"], 3),
        "transformers_ratio": round(rates["transformers_lookup"] / rates["transformers"], 3),
        "steps": last.steps,
        "drafted": last.drafted,
        "accepted": last.accepted,
        "equal": len(answers) == 1,
        "transformers_equal": runs["transformers"][-1].tokens == runs["transformers_lookup"][-1].tokens,
        "repeats": repeats,
    }


async def _ours(stack: Stack, token_ids: tuple[int, ...], new: int, *, speculate: bool) -> QuoteRun:
    counts = stack.local.drafts
    before = (counts.steps, counts.drafted, counts.accepted)
    job = Job(
        id="quote",
        token_ids=token_ids,
        sampling=Sampling(temperature=0.0),
        max_tokens=new,
        scope="bench",
        readable=("bench",),
        seed=0,
        speculate=speculate,
    )
    sequences: list[Sequence] = []
    times: list[float] = []
    async with aclosing(stack.local.run(job, None, sequences.append)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                times.append(time.perf_counter())
    (seq,) = sequences
    steps, drafted, accepted = (
        now - then for now, then in zip((counts.steps, counts.drafted, counts.accepted), before, strict=True)
    )
    tokens = tuple(seq.tokens[seq.prompt_tokens :])
    return QuoteRun(tokens, times[-1] - times[0] if times else 0.0, steps, drafted, accepted)


def _prompt(stack: Stack, model: str, ask: str | None, document: str) -> tuple[int, ...]:
    request: ChatRequest | TextRequest
    if ask is None:
        begun = f"{document}\n\nThe same text again, word for word:\n\n{document[:BEGUN]}"
        request = TextRequest(model, begun)
    else:
        request = ChatRequest(model, (Message("user", (TextPart(ask.format(document=document)),)),))
    return stack.composer.compose(request, Caller("bench", "bench")).token_ids


def print_quote(result: dict[str, Any]) -> None:
    """Print the table of ``kvproxy bench quote``."""
    machine = result["machine"]
    table = Table(
        "the answer",
        "prompt",
        "new",
        "steps",
        "accepted",
        "tok/s plain",
        "with drafts",
        "ratio",
        "same tokens",
        "transformers",
        "with lookup",
        "ratio",
        "same tokens",
        title=f"{result['model']}, {result['dtype']}, {machine['cpu']}, {machine['threads']} threads",
    )
    for row in result["quote"]:
        rates = row["tokens_per_s"]
        table.add_row(
            row["answer"],
            f"{row['prompt_tokens']:,}",
            str(row["new_tokens"]),
            str(row["steps"]),
            f"{row['accepted']}/{row['drafted']}",
            f"{rates['plain']:.1f}",
            f"{rates['drafts']:.1f}",
            f"{row['ratio']:.2f}",
            "yes" if row["equal"] else "NO",
            f"{rates['transformers']:.1f}",
            f"{rates['transformers_lookup']:.1f}",
            f"{row['transformers_ratio']:.2f}",
            "yes" if row["transformers_equal"] else "no",
        )
    console().print(table)
