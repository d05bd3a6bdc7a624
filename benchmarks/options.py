"""Options that ``benchmarks.run`` and ``benchmarks.peers`` share."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

from benchmarks.peers.peer import Place

FOLDER = Path(".peers")


def existing(name: str) -> Path:
    """An option's file or folder that is read."""
    if not Path(name).exists():
        raise argparse.ArgumentTypeError(f"there is no {name}")
    return Path(name)


def writable(name: str) -> Path:
    """An option's file that is written when all is measured: known before."""
    file = Path(name)
    if file.is_dir() or (file.parent.exists() and not os.access(file.parent, os.W_OK | os.X_OK)):
        raise argparse.ArgumentTypeError(f"{name} cannot be written")
    return file


def add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the peers; default: ./.peers")
    parser.add_argument(
        "--model", type=existing, help="its folder; default: SmolLM2-135M from kvproxy's cache"
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="of each server; default: all cores"
    )


def read_place(args: argparse.Namespace) -> Place:
    args.folder.mkdir(parents=True, exist_ok=True)
    model = args.model if args.model is not None else bundled()
    return Place(args.folder.resolve(), model.resolve(), args.threads)


def bundled() -> Path:
    """The folder that ``kvproxy serve --model smollm2-135m`` serves, converted now when it never was."""
    from kvproxy.config import default_cache_dir
    from kvproxy.engine.models.smollm2 import bundled_model

    return bundled_model(default_cache_dir())


def terminate_as_interrupt() -> None:
    """SIGTERM ends the ``with`` blocks as Ctrl-C does, so that the servers go too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
