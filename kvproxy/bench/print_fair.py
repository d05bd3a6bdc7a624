"""Output of ``kvproxy bench fair``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from kvproxy.terminal.tables import console


def print_fair(result: Mapping[str, Any]) -> None:
    """Print the tables of ``kvproxy bench fair``."""
    out = console()
    plan, machine, hits = result["plan"], result["machine"], result["hits"]
    prompt = f"{plan['prompt_tokens']:,} tokens"
    if plan["known"]:
        prompt += f", the first {plan['known']:,} of them resident"
    table = Table(
        "prefill in the gaps",
        "gap p50",
        "p99",
        "beside it p50",
        "p99",
        "max",
        "p99 / quiet p50",
        "prefill",
        "/ alone",
        "tokens/s",
        "quiet",
        title=f"{plan['streams']} streams beside a cold prompt of {prompt}, milliseconds",
    )
    for row in result["streams"]:
        quiet, during = row["undisturbed"], row["during"]
        table.add_row(
            row["prefill"],
            *(_ms(quiet[q]) for q in ("p50_s", "p99_s")),
            *(_ms(during[q]) for q in ("p50_s", "p99_s", "max_s")),
            f"{row['p99_ratio']:.2f}",
            f"{row['prefill_s']:,.2f} s",
            f"{row['prefill_ratio']:.2f}",
            f"{row['tokens_per_s']:,.1f}",
            f"{row['undisturbed_tokens_per_s']:,.1f}",
        )
    out.print(table)
    out.print(
        f"A hit on {plan['document']:,} tokens with a tail of {plan['tail']}: first token after "
        f"{_ms(hits['alone_s'])} ms with nobody else, {_ms(hits['during_s'])} ms (at most "
        f"{_ms(hits['during_max_s'])}) beside such a prompt: {hits['ratio']:.2f} times.",
        soft_wrap=True,
    )
    crowd = result["crowd"]
    out.print(
        f"Beside {crowd['admitted']:,} of {crowd['sequences']:,} sequences of one tenant, {crowd['waiting']:,} of them "
        f"waiting, another's cold prompt of {plan['crowd']['visitor']:,} tokens: first token after "
        f"{_ms(crowd['beside_s'])} ms (at most {_ms(crowd['beside_max_s'])}), {_ms(crowd['alone_s'])} ms alone: "
        f"{crowd['ratio']:.2f} times.",
        soft_wrap=True,
    )
    out.print(
        f"{result['model']}, {result['dtype']}; {machine['cpu']}, {machine['threads']} threads, torch "
        f"{machine['torch']}. Gaps as the engine hands out tokens, drafts off; quiet: before and after the prompt, "
        "in the same answers. whole tiles: as engines do that cut prompts into chunks of a fixed size.",
        soft_wrap=True,
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f}"
