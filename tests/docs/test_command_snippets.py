"""Every ``kvproxy …`` that a page shows is a command that is there, with options that it has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from kvproxy.cli.app import app

from .pages import PAGES, Snippet, logical_lines, name_of, snippets

_SHELLS = ("", "sh", "console", "indented", "inline")
_CALL = re.compile(r"(?:^|\$\(|&& |\| |; |=)kvproxy(?= )(?P<rest>[^\n]*)")
_ENDS = {"|", ">", ">>", "<", "2>", "&&", "||", ";", "&", "2>&1", "#"}
_PLACEHOLDER = re.compile(r"[…\[{]|^[A-Z][A-Z_:.]+$|^NAME")
ROOT_COMMAND: Any = typer.main.get_command(app)


def calls(snippet: Snippet) -> Iterator[list[str]]:
    """The words behind ``kvproxy`` of each call in a snippet."""
    if snippet.language not in _SHELLS or "\\n" in snippet.text:
        return
    for line in logical_lines(snippet.text):
        for match in _CALL.finditer(line):
            inner = match[0].startswith("$(")
            rest = match["rest"].partition(")")[0] if inner else match["rest"]
            yield from _words(rest)


def _words(rest: str) -> Iterator[list[str]]:
    try:
        words = shlex.split(rest.replace("…", " … "), comments=True)
    except ValueError:  # an apostrophe of a sentence
        words = rest.partition("'")[0].split()
    for position, word in enumerate(words):
        if word in _ENDS or word.startswith((">", "2>")):
            words = words[:position]
            break
        if word.endswith(";"):
            words = [*words[:position], word[:-1]]
            break
    yield words


def fault(words: list[str], *, whole: bool) -> str | None:
    """Return the fault of a call, or None. ``whole``: it is parsed as the command line would, arguments included."""
    command, rest = ROOT_COMMAND, list(words)
    while (inner := getattr(command, "commands", None)) is not None and rest:
        if rest[0] in ("--help", "--version"):
            return None
        if rest[0] not in inner:
            return None if _PLACEHOLDER.search(rest[0]) else f"no command '{rest[0]}'"
        command = inner[rest.pop(0)]
    if getattr(command, "commands", None) is not None:
        return None  # a group by its name alone
    if whole and not any(_PLACEHOLDER.search(word) for word in rest):
        try:
            command.make_context("kvproxy", rest)
        except Exception as e:  # click's own errors are private to typer
            return f"{type(e).__name__}: {getattr(e, 'message', e)}"
        return None
    known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)} | {"--help"}
    named = [
        w.partition("=")[0].strip("[],.;)") for w in (rest[: rest.index("--")] if "--" in rest else rest)
    ]
    unknown = [
        word for word in named if re.fullmatch(r"-[a-z]|--[a-z][a-z0-9-]*", word) and word not in known
    ]
    return f"no option {', '.join(unknown)}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_are_there(page: Path) -> None:
    faults = []
    for snippet in snippets(page):
        whole = snippet.language in ("sh", "console")
        for words in calls(snippet):
            told = fault(words, whole=whole)
            faults += [f"{snippet.where}: kvproxy {' '.join(words)}: {told}"] if told else []
    assert faults == []


def test_calls_are_found() -> None:
    found = [words for page in PAGES for snippet in snippets(page) for words in calls(snippet)]
    assert len(found) > 300
    sample = Snippet(
        PAGES[0],
        1,
        "sh",
        "",
        'eval "$(kvproxy env claude)"\n$ kvproxy docs list > x  # note\nA=$(kvproxy keys list)',
    )
    assert list(calls(sample)) == [["env", "claude"], ["docs", "list"], ["keys", "list"]]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("docs lits", "no command"),
        ("publish x.md --idd y", "No such option"),
        ("serve --port many", "valid integer"),
        ("publish x.md --id y", None),
    ],
)
def test_what_is_not_there_is_noticed(call: str, told: str | None) -> None:
    found = fault(shlex.split(call), whole=True)
    assert (found is None) if told is None else (found is not None and told in found)
    assert fault(["publish", "FILE", "--idd", "x"], whole=False) == "no option --idd"
