"""Resident memory of a process and all below it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import psutil

EVERY_S = 0.25


def tree(pid: int) -> list[psutil.Process]:
    """The process and its descendants; empty when it is gone."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def rss(pid: int) -> int:
    """Bytes; a page that two processes of the tree share counts twice."""
    total = 0
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


@dataclass(slots=True)
class Peak:
    rss: int = 0
    """Bytes."""


@asynccontextmanager
async def peak(pid: int | None) -> AsyncIterator[Peak]:
    """The most that :func:`rss` says while the block runs, sampled every ``EVERY_S`` and at its ends; 0 without a
    pid."""
    seen = Peak()
    if pid is None:
        yield seen
        return

    async def sample() -> None:
        while True:
            seen.rss = max(seen.rss, rss(pid))
            await asyncio.sleep(EVERY_S)

    sampler = asyncio.create_task(sample())
    try:
        yield seen
    finally:
        sampler.cancel()
        seen.rss = max(seen.rss, rss(pid))
