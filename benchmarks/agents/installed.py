"""Installs the agents from npm and PyPI, once, into a folder of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.agents.programs import HERE, Program


def bin_folders(folder: Path) -> list[Path]:
    """Return the folders of the installed programs, for PATH."""
    return [
        folder / "node_modules/.bin",
        *(home / "bin" for home in sorted(folder.iterdir()) if (home / "bin").is_dir()),
    ]


def install(programs: Iterable[Program], folder: Path) -> None:
    """Install the programs' packages, unless the same versions are installed."""
    folder.mkdir(parents=True, exist_ok=True)
    for script in (HERE / "js").iterdir():  # Node looks for packages from where a script lies
        shutil.copy(script, folder)
    npm = sorted({package for program in programs for package in program.npm})
    pip = sorted({package for program in programs for package in program.pip})
    done = folder / "installed.json"
    if done.exists() and json.loads(done.read_text()) == {"npm": npm, "pip": pip}:
        return
    node = shutil.which("npm")
    if node is None:
        sys.exit("this needs Node.js 20 and npm")
    (folder / "package.json").write_text(json.dumps({"private": True, "type": "module"}))
    subprocess.run(
        [node, "install", "--no-package-lock", "--no-audit", "--no-fund", *npm], cwd=folder, check=True
    )
    for package in pip:
        home = folder / package.partition("==")[0]
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        subprocess.run([home / "bin/python", "-m", "pip", "install", "--quiet", package], check=True)
    done.write_text(json.dumps({"npm": npm, "pip": pip}))
