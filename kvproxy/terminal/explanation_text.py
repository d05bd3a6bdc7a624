"""`explanation_text`: an explained miss for a terminal, the two sides below each other with the difference marked."""

from __future__ import annotations

import time
from typing import Any

from rich.text import Text

BEFORE = 48
"""Characters of the common text that are shown."""
BEHIND = 64
"""Characters that are shown of each side behind it."""

_VISIBLE = str.maketrans(
    {
        "\n": "\u23ce",
        "\r": "\u240d",
        "\t": "\u21e5",
        "\u00a0": "\u237d",
        "\u202f": "\u237d",
        "\ufeff": "\u2402",
    }
)


def explanation_text(told: dict[str, Any]) -> Text:
    """Return the answer of ``/kv/v1/explain`` as lines.

    Example: ``console().print(explanation_text(client.explain(body)))``
    """
    text = Text()
    hit = told["outcome"] == "hit"
    text.append(told["outcome"], style="bold green" if hit else "bold yellow")
    text.append(f": {told['cached_tokens']:,} of {told['prompt_tokens']:,} tokens are kept")
    text.append(f" ({told['reason']})" if told["reason"] else "")
    text.append(f", of {told['document']}" if told["document"] else "")
    if told["cause"]:
        text.append(f"\ncause: {told['cause']}", style="bold")
        text.append(f" - {told['meaning']}")
    if told.get("replica"):
        text.append(f"\n{_replica(told['replica'], told['cause'])}")
    if told["compared"]:
        text.append(f"\ncompared with {_other(told['compared'])}")
    if told["difference"]:
        _append_difference(text, told["difference"], told["compared"] or {})
    if told["do"]:
        text.append("\n-> ", style="bold")
        text.append(told["do"])
    return text


def _replica(replica: dict[str, Any], cause: str | None) -> str:
    """Return the replica of a fleet that would answer, and what it is believed to hold."""
    name = f"replica {replica['name']}" if replica["name"] else "a replica"
    line = f"{name}: {replica['expected_tokens']:,} tokens expected there, in blocks of {replica['block_tokens']}"
    if replica["rounded_tokens"]:
        line += f"; {replica['rounded_tokens']} tokens of the document fill no block and are computed"
    said = not replica["detail"] or cause == "rounded-to-block"  # whose detail is those tokens
    return line if said else f"{line}; {replica['detail']}"


def _other(compared: dict[str, Any]) -> str:
    common = compared["common_tokens"]
    shared = "" if common is None else f": {common:,} tokens in common"
    if compared["kind"] == "document":
        return f"{compared['id']}{shared}"
    at = time.strftime("%H:%M:%S", time.localtime(compared["at"]))
    return f"your request {compared['id']} of {at}{shared}"


def _append_difference(text: Text, difference: dict[str, Any], compared: dict[str, Any]) -> None:
    place = f"{difference['where']}, character {difference['character']:,}"
    if difference["counted_from"] != "message":
        place += f" of the {difference['counted_from']}"
    text.append(f"\nfirst difference: {place}{_tokens(difference['token'])}\n")
    before = difference["before"][-BEFORE:].translate(_VISIBLE)
    names = ("sent", compared.get("kind") or "other")
    width = max(map(len, names))
    for name, side in zip(names, (difference["sent"], difference["other"]), strict=True):
        text.append(f"\n  {name:{width}}  ", style="bold")
        text.append(before, style="dim")
        shown = _marked(side[:BEHIND])
        text.append(shown[:1] or "\u2403", style="bold reverse red")
        text.append(shown[1:])
    text.append("\n" + " " * (width + 4 + len(before)) + "^\n")


def _marked(side: str) -> str:
    """Return the text with its first character visible, even a space."""
    shown = side.translate(_VISIBLE)
    if shown.startswith(" "):
        return "\u2423" + shown[1:]
    return shown if shown[:1].isprintable() else f"\\u{ord(shown[0]):04x}{shown[1:]}"


def _tokens(token: dict[str, Any] | None) -> str:
    if token is None:
        return ""
    sides = [
        repr(token[name]) if token[name] is not None else "the end" for name in ("sent_text", "other_text")
    ]
    return f"; token {token['index']:,}: {sides[0]} and {sides[1]}"
