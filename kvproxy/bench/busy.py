"""``kvproxy bench busy``: start, prefill and decode beside busy processes, against the same alone."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.table import Table

from kvproxy.bench.machine import machine
from kvproxy.bench.server_process import Child, announced
from kvproxy.terminal.tables import console

NEW = 33
"""Tokens of the answer: 32 steps behind the first token."""
CHARACTERS = 4400
"""Of the prompt: some 1,000 tokens of English."""
MOST = 3.0
"""The largest ratio that is sound: a busy process on each core takes half of the machine, and waiting for a mate whose
turn is over takes its share."""
_START_S = 600.0
_BUSY = """import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""
"""Ends when its parent has ended, however that was."""
_NAME = "busy"


@dataclass(frozen=True, slots=True)
class PhaseTimes:
    """Seconds of one server's life."""

    start_s: float
    """From the command until it serves."""
    prefill_s: float
    """Until the first token of a prompt that was never sent before."""
    step_s: float
    """A token, behind the first one."""


def bench_busy(
    model: str,
    *,
    text: str,
    busy: int | None = None,
    repeats: int = 3,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Serve alone and beside ``busy`` processes, one for each core by default, in turn; medians of ``repeats``, after
    a start that is not counted. ``ok`` when no ratio is above MOST.

    The busy processes belong to the session of this one: where Linux shares the machine out by session
    (``sched_autogroup_enabled``), the server competes with them and not with a session of its own.

    Example: ``bench_busy("smollm2-135m", text=text, repeats=1)``
    """
    say = progress or (lambda *_: None)
    others = len(os.sched_getaffinity(0)) if busy is None else busy
    alone: list[PhaseTimes] = []
    beside: list[PhaseTimes] = []
    with tempfile.TemporaryDirectory(prefix="kvproxy-bench-") as scratch:
        say(0, 2 * repeats + 1)
        prompt_tokens, _ = _serve_once(model, _prompt(text, 0), threads, Path(scratch) / "first")
        for repeat in range(repeats):
            say(2 * repeat + 1, 2 * repeats + 1)
            prompt = _prompt(text, repeat + 1)
            alone.append(_serve_once(model, prompt, threads, Path(scratch) / f"alone-{repeat}")[1])
            say(2 * repeat + 2, 2 * repeats + 1)
            with busy_processes(others):
                beside.append(_serve_once(model, prompt, threads, Path(scratch) / f"beside-{repeat}")[1])
        say(2 * repeats + 1, 2 * repeats + 1)
    rows = phase_rows(alone, beside)
    return {
        "machine": machine(),
        "model": model,
        "busy_processes": others,
        "prompt_tokens": prompt_tokens,
        "new_tokens": NEW,
        "repeats": repeats,
        "busy": rows,
        "most": MOST,
        "ok": all(row["ratio"] <= MOST for row in rows),
    }


def phase_rows(alone: list[PhaseTimes], beside: list[PhaseTimes]) -> list[dict[str, Any]]:
    """Return a row for each phase: the medians of both and their ratio."""
    rows = []
    for what, name in (("start", "start_s"), ("prefill", "prefill_s"), ("decode step", "step_s")):
        quiet, loud = (statistics.median(asdict(t)[name] for t in times) for times in (alone, beside))
        rows.append({"what": what, "alone_s": quiet, "beside_s": loud, "ratio": round(loud / quiet, 2)})
    return rows


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Within the block, so many processes of plain niceness use all the time that they get."""
    others = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
        for other in others:
            other.wait()


def _prompt(text: str, number: int) -> str:
    """Return a prompt that no other number's begins like."""
    return f"Copy {number}. {text[number * 100 : number * 100 + CHARACTERS]}"


def _serve_once(model: str, prompt: str, threads: int | None, folder: Path) -> tuple[int, PhaseTimes]:
    """Return the prompt's tokens, and the times of a server that lives for this one request."""
    folder.mkdir()
    config = {
        "server": {"port": 0},
        "model": {"path": model, "name": _NAME} | ({} if threads is None else {"threads": threads}),
        "store": {"path": str(folder / "store")},
    }
    file, url = folder / "kvproxy.yaml", folder / "kvproxy.url"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = (sys.executable, "-m", "kvproxy", "serve", "--config", str(file), "--announce-file", str(url))
    began = time.perf_counter()
    with Child("kvproxy", command, announced(url), folder, start_s=_START_S) as child:
        start = time.perf_counter() - began
        tokens, prefill, step = timed_completion(child.url, prompt)
    return tokens, PhaseTimes(start, prefill, step)


def timed_completion(url: str, prompt: str) -> tuple[int, float, float]:
    """Return the prompt's tokens, the seconds to the first token of its completion, and those of each further one."""
    fields = {
        "model": _NAME,
        "prompt": prompt,
        "max_tokens": NEW,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/completions", json.dumps(fields).encode(), headers)
    usage: dict[str, Any] = {}
    seen: list[float] = []
    began = time.perf_counter()
    with urllib.request.urlopen(request) as answer:
        for line in answer:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line.removeprefix(b"data: "))
            if event.get("choices"):
                seen.append(time.perf_counter() - began)
            usage = event.get("usage") or usage
    if usage.get("completion_tokens") != NEW or len(seen) < 2:
        raise AssertionError(f"an answer of {NEW} tokens was asked for: {len(seen)} events, {usage}")
    if (usage.get("prompt_tokens_details") or {}).get("cached_tokens"):
        raise AssertionError("a cold prompt was served from kept pages")
    return int(usage["prompt_tokens"]), seen[0], (seen[-1] - seen[0]) / (NEW - 1)


def print_busy(result: Mapping[str, Any]) -> None:
    """Print the table of ``kvproxy bench busy``."""
    out = console()
    found = result["machine"]
    title = f"{result['model']}, {found['cores']} cores ({found['cpu']}), {result['busy_processes']} busy processes"
    table = Table("what", "alone", "beside", "ratio", title=title)
    for row in result["busy"]:
        alone, beside = (f"{row[name] * 1e3:,.1f} ms" for name in ("alone_s", "beside_s"))
        table.add_row(row["what"], alone, beside, f"{row['ratio']:.2f}")
    out.print(table)
    out.print(
        f"A prompt of {result['prompt_tokens']:,} tokens and an answer of {result['new_tokens']}; medians of "
        f"{result['repeats']}. {'Sound' if result['ok'] else 'NOT sound'}: at most {result['most']:.0f} times.",
        soft_wrap=True,
    )
