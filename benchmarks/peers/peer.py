"""`Peer`: the protocol of every peer's script: its installation, its start, its requests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from benchmarks.prompts import Cold
from benchmarks.server import Launch, NotStarted


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of a peer, and the model that it serves."""

    folder: Path
    """All peers' folder, absolute."""
    model: Path
    """A model's folder as transformers reads it, absolute."""
    threads: int


class Peer(ABC):
    name: str
    title: str
    """With its version."""
    cold: Cold
    ignore_eos = False
    """Whether the server knows ``ignore_eos``."""
    start_s = 300.0

    @abstractmethod
    def install(self, place: Place) -> None:
        """Install below ``place.folder``; a second call does the missing steps only. Raises NotStarted."""

    @abstractmethod
    def launch(self, place: Place, port: int) -> Launch:
        """Serve ``place.model`` on 127.0.0.1. Raises NotStarted."""


def venv(folder: Path, *requirements: tuple[str, ...], remove: tuple[str, ...] = ()) -> Path:
    """A virtual environment's interpreter; each group of ``requirements`` is one pip run, in order. It counts as
    done when all of them were installed."""
    python, done = folder / "bin" / "python", folder / "complete"
    wanted = repr((requirements, remove))
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "venv", str(folder))
    for group in requirements:
        run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *group)
    if remove:
        run(str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *remove)
    done.write_text(wanted, encoding="utf-8")
    return python


def run(*command: str) -> None:
    """Run a command in this environment without PYTHONPATH. Raises NotStarted with its last lines of output."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=env)
    except OSError as e:
        raise NotStarted(f"{command[0]}: {e.strerror}") from e
    if done.returncode != 0:
        said = (done.stderr or done.stdout).splitlines()[-5:]
        raise NotStarted(f"`{' '.join(command)}` failed: " + " | ".join(said))
