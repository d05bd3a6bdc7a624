"""The shape of this machine, to be quoted with every figure."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import psutil


def machine() -> dict[str, Any]:
    """``memory``: bytes."""
    return {
        "cpu": _cpu_name(),
        "cores": psutil.cpu_count(logical=True),
        "memory": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def engine_machine() -> dict[str, Any]:
    """Describe the machine and its kernels. Call it on the kernel thread: it names that thread's number of OMP
    threads."""
    # Load generators use this file too, and need no torch.
    from kvproxy.bench.engine.transformers_baseline import kernels_found

    return machine() | kernels_found()


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
