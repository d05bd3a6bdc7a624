"""`publish_many`: runs a bulk publish with a progress bar, and prints a table of what became of each source."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing

import typer

from kvproxy.cli.bulk.bulk_run import BulkOptions, BulkResult, BulkRun
from kvproxy.cli.bulk.bulk_sources import BulkSource
from kvproxy.cli.bulk.fetch_text import fetch_text

INTERRUPTED = 130
"""The exit status of a run that was ended by Ctrl-C, as shells have it."""


def publish_many(
    sources: Sequence[BulkSource],
    options: BulkOptions,
    url: str,
    api_key: str | None,
    *,
    follow: bool,
    as_json: bool,
) -> int:
    """Publish all sources, print the results, and return the exit status: 0, or 1 where some failed.

    Example: ``publish_many(plan_sources(["docs"]), options, HERE, None, follow=False, as_json=False)``
    """
    from kvproxy.client import Client
    from kvproxy.terminal.progress import Progress

    def fetch(where: str) -> str:
        return fetch_text(where, most_bytes=options.most_bytes, follow=follow)

    results: list[BulkResult] = []
    interrupted = False
    with Client(url, api_key) as client, Progress("publish", unit="documents") as progress:
        progress(0, len(sources))
        with closing(BulkRun(client, options, fetch).results(sources)) as run:
            try:
                for result in run:
                    results.append(result)
                    progress(len(results), len(sources))
            except KeyboardInterrupt:
                interrupted = True
    order = {source: at for at, source in enumerate(sources)}
    results.sort(key=lambda result: order[result.source])
    _print(results, as_json=as_json)
    if interrupted:
        typer.echo(f"interrupted: {len(sources) - len(results)} are left; the same command goes on", err=True)
        return INTERRUPTED
    return 1 if any(result.outcome == "failed" for result in results) else 0


def _print(results: Sequence[BulkResult], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "source": r.source.where,
                "id": r.source.id,
                "outcome": r.outcome,
                "note": r.note,
                "tokens": r.tokens,
                "computed_tokens": r.computed,
            }
            for r in results
        ]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from kvproxy.terminal.bulk_table import print_results

    print_results([(r.source.where, r.source.id, r.outcome, r.note, r.tokens) for r in results])
    counts = Counter(result.outcome for result in results)
    told = [f"{counts[o]} {o}" for o in ("published", "would publish", "unchanged", "failed") if counts[o]]
    typer.echo(", ".join(told) or "nothing to publish")
