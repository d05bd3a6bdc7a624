"""A recipe as lines for a shell, and a program started with it."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kvproxy.agents.recipe import Recipe
from kvproxy.errors import SetupError


def shell_lines(recipe: Recipe) -> str:
    """For ``eval "$(kvproxy env …)"``: exports, and everything else as comments. A POSIX shell reads it."""
    folder = f"${{TMPDIR:-/tmp}}/kvproxy-{recipe.command}"
    lines = [f"# {recipe.note}"] if recipe.note else []
    if recipe.files:
        lines.append(f"# or put the files into {recipe.where}")
        lines.append(f'mkdir -p "{folder}"')
    for name, text in recipe.files.items():
        lines.append(f"cat > \"{folder}/{name}\" <<'KVPROXY_END'\n{text}KVPROXY_END")
    for name, value in recipe.variables.items():
        lines.append(f"export {name}={_quoted(value, folder)}")
    if recipe.arguments:
        told = " ".join(_quoted(argument, folder) for argument in recipe.arguments)
        lines.append(f"# then: {recipe.command} {told}")
    return "\n".join(lines) + "\n"


def run(recipe: Recipe, command: Sequence[str]) -> int:
    """Start ``command`` with the recipe's variables, files and arguments; returns its exit status.

    Files stand in a folder of their own that is gone afterwards: no settings are touched. The arguments are put
    behind the first word where that is the recipe's program. Raises SetupError where there is no such program.
    """
    with tempfile.TemporaryDirectory(prefix="kvproxy-") as folder:
        for name, text in recipe.files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        variables = {name: value.replace("{folder}", folder) for name, value in recipe.variables.items()}
        program, *rest = command
        more = recipe.arguments if Path(program).name == recipe.command else ()
        call = [program, *(argument.replace("{folder}", folder) for argument in more), *rest]
        try:
            return subprocess.run(call, env={**os.environ, **variables}, check=False).returncode
        except OSError as e:
            raise SetupError(f"cannot start {program}: {e.strerror}; is it installed?") from e


def _quoted(value: str, folder: str) -> str:
    """For a shell, which is to fill in ``folder``."""
    if "{folder}" not in value:
        return shlex.quote(value)
    return '"' + value.replace("{folder}", folder) + '"'
