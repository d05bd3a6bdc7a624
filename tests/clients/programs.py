"""Running a client's program in the environment that it belongs to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]

CURRENT = ".venv-clients"
OPENAI2 = ".venv-clients-openai2"
OWN = "own"
"""kvproxy's own environment."""

LIMIT_S = 900
"""Seconds. Ten times what the longest takes here, so that a slow and busy machine does not end it."""


def python_of(environment: str) -> Path:
    """Its interpreter; the test fails where ``make test-clients`` has not built it."""
    if environment == OWN:
        return Path(sys.executable)
    python = _ROOT / environment / "bin" / "python"
    if not python.exists():
        pytest.fail(f"needs {environment}, which `make test-clients` builds")
    return python


def run(environment: str, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """``script`` is a path below this folder. Proxies of the machine stay out of it."""
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    quiet = {"OPENAI_AGENTS_DISABLE_TRACING": "1", "PYTHONWARNINGS": "ignore", "TIKTOKEN_CACHE_DIR": ""}
    return subprocess.run(
        [str(python_of(environment)), str(_HERE / script), *arguments],
        env={**kept, **quiet, **variables},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
