"""Generator of docs/reference/commands.md: every command of the command line with its arguments and options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from deploy.docs.markdown_text import cell, wrapped
from kvproxy.cli.app import app

_HEAD = """# Commands

Every command of `kvproxy`, as `--help` prints it. A foreseen failure is one line on stderr; the status is 2 where
nothing could be started, else 1. Commands that speak to a running proxy take `--url` (`KVPROXY_URL`, default
`http://127.0.0.1:8321`) and `--api-key` (`KVPROXY_API_KEY`).

## Environment variables

| variable | is |
| --- | --- |
"""

_VARIABLES = {
    "KVPROXY_CONFIG": "the configuration file, where `--config` names none",
    "KVPROXY_URL": "the running proxy, where `--url` names none; also of `kvproxy.Client()`",
    "KVPROXY_API_KEY": "its API key, where `--api-key` gives none; also of `kvproxy.Client()`",
    "KVPROXY_MCP_TOKEN": "the bearer token that `kvproxy mcp --http` asks for",
    "KVPROXY_INSTRUCTIONS": "another instruction set of the CPU kernels, such as `avx2`, to find a fault",
}
"""Each one that the product reads; tests/docs/test_generated_pages.py compares them with the source."""

_TAIL = "\nThis page is made from the command line itself by `python -m deploy.docs.write_pages`.\n"


def commands_page() -> str:
    """Return the Markdown of docs/reference/commands.md."""
    variables = "".join(f"| `{name}` | {about} |\n" for name, about in _VARIABLES.items())
    commands = "".join(_command(name, command) for name, command in all_commands())
    return _HEAD + variables + _TAIL + commands


def all_commands() -> Iterator[tuple[str, Any]]:
    """Yield every command that is no group by its whole name, ``kvproxy docs show``, in alphabetical order."""
    yield from _below("kvproxy", typer.main.get_command(app))


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for part in sorted(inner):
        if not inner[part].hidden:
            yield from _below(f"{name} {part}", inner[part])


def _command(name: str, command: Any) -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = command.get_usage(context).partition(": ")[2]
    rows = [
        _row(parameter, context) for parameter in command.params if not getattr(parameter, "hidden", False)
    ]
    table = "| argument or option | is | |\n| --- | --- | --- |\n" + "".join(rows) if rows else ""
    return (
        f"\n## {name}\n\n```\n{' '.join(usage.split())}\n```\n\n{wrapped(_escaped(command.help or ''))}\n"
        + (f"\n{table}" if table else "")
    )


def _row(parameter: Any, context: Any) -> str:
    if parameter.param_type_name == "argument":
        shown = f"`{(parameter.metavar or parameter.name.upper()).replace('|', ' or ')}`"
    else:
        names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
        shown = names if parameter.is_flag else f"{names} {_type(parameter.display_type(context))}"
    notes = [
        "required" if parameter.required else "",
        "may be repeated" if parameter.multiple or parameter.nargs == -1 else "",
        f"`{parameter.envvar}`" if isinstance(parameter.envvar, str) else "",
        _default(parameter),
    ]
    told = "; ".join(note for note in notes if note)
    return f"| {shown} | {cell(_escaped(parameter.help or ''))} | {told} |\n"


def _type(shown: str) -> str:
    """Return the type of an option's value, of typer's ``<int range> [x>=1]``: ``number, x>=1``."""
    name, _, limits = shown.partition(" [")
    words = {
        "str": "text",
        "int": "number",
        "int range": "number",
        "float": "number",
        "float range": "number",
    }
    bare = name.strip("<>").removeprefix("list[").removesuffix("]").replace("|", " or ")
    return _escaped(words.get(bare, bare) + (f", {limits.removesuffix(']')}" if limits else ""))


def _default(parameter: Any) -> str:
    value = parameter.default
    if value is None or isinstance(value, bool) or callable(value) or value in ((), [], ""):
        return ""
    return f"default `{value}`"


def _escaped(text: str) -> str:
    """Return a help text as Markdown in which nothing reads like HTML or a link."""
    return text.replace("<", "&lt;").replace("[", "\\[")
