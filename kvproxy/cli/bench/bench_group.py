"""The group that every ``kvproxy bench`` command joins."""

from __future__ import annotations

import typer

bench = typer.Typer(help="Measure, on this machine.", no_args_is_help=True)
