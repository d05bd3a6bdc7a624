"""`Report`: the measurements of one server. Lists hold every repetition, in order; tables take their medians."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil


@dataclass(slots=True)
class Reads:
    """A document of one size: a cold reader, then a warm one with another question."""

    prompt_tokens: int | None = None
    """As the server counts."""
    cold_ms: list[float] = field(default_factory=list)
    warm_ms: list[float] = field(default_factory=list)
    cold_cached: list[int | None] = field(default_factory=list)
    """Tokens from the cache, by the server's own report; None where it reports none."""
    warm_cached: list[int | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Crowd:
    """Readers of one hot document, all at once, each with a question of their own."""

    readers: int
    wall_s: float
    """From the first request to the last answer's end."""
    tokens: int
    """Of all answers."""
    rss_mb: float | None
    """The most that the server's processes held meanwhile."""

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.wall_s


@dataclass(frozen=True, slots=True)
class Pair:
    """One question, asked cold and asked again of a document that another question had made warm."""

    tokens: int
    """Of the cold answer."""
    warm_differs_at: int | None
    """The first character that is another one; None: equal."""
    cold_differs_at: int | None
    """The first difference between two cold answers."""
    cold_asked_twice: bool
    """False where asking cold changes the prompt, so that there is nothing to compare."""


@dataclass(slots=True)
class Report:
    name: str
    title: str = ""
    cold: str = ""
    """The way to force a cold read: a value of prompts.Cold."""
    start_s: float | None = None
    load: float = 0.0
    """The machine's load average before the measurement, from other work."""
    gap_ms: list[float] = field(default_factory=list)
    """Milliseconds from token to token, one stream, a tiny prompt."""
    tiny_ms: list[float] = field(default_factory=list)
    """TTFT of the tiny prompt."""
    reads: dict[str, Reads] = field(default_factory=dict)
    """By prompt tokens as they were meant."""
    crowd_tokens: int = 0
    crowds: list[Crowd] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    """Stage -> the reason why it is missing or not whole."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def from_json(fields: dict[str, Any]) -> Report:
    """Of :meth:`Report.as_json`."""
    return Report(
        **fields
        | {
            "reads": {size: Reads(**r) for size, r in fields["reads"].items()},
            "crowds": [Crowd(**c) for c in fields["crowds"]],
            "pairs": [Pair(**p) for p in fields["pairs"]],
        }
    )


def differs_at(one: str, other: str) -> int | None:
    """Return the first index at which two texts differ; None when they are equal."""
    if one == other:
        return None
    same = (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(same, min(len(one), len(other)))


def machine() -> dict[str, Any]:
    """Describe the machine, to be quoted with every figure."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": platform.platform(),
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
