"""The operator's policy for reading requests, and the record of fields that were left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from kvproxy.core import LeftOut


@dataclass(frozen=True, slots=True)
class ReadingPolicy:
    """The ``requests`` section of the config.

    Where a request asks for a thing that is not available here, and can be answered without it, it either is (and the
    answer says so) or is refused with a 400 that names the field.
    """

    hosted_tools: Literal["leave_out", "refuse"] = "leave_out"
    """Tools that only their provider's servers can run, such as ``web_search``."""
    unreadable_history: Literal["note", "refuse"] = "note"
    """Images and other items that the model cannot read, before the last user message: ``note`` puts a short note to
    the model in their place."""
    store_false: Literal["response", "nothing"] = "response"
    """The meaning of ``store: false``. Agents send it with every request (Codex does) and live from the reuse of their
    own prompts, so ``response`` is the default: what OpenAI means, which is the response alone."""
    client_metadata: tuple[str, ...] = ("x-anthropic-billing-header:*",)
    """Lines at the head of the system text that are for a client's own servers, and kept out of the prompt. ``*``
    stands for anything."""
    volatile_openings: tuple[str, ...] = ()
    """Lines at the head of the system text that are put at its end: names of ``opening_rules.NAMED``, or lines with
    ``*``."""


LENIENT = ReadingPolicy()
"""The default: every request that can be answered is answered."""


@dataclass(slots=True)
class RequestReading:
    """One request being read. Every parser of a dialect takes it and adds the fields it drops to ``left_out``."""

    policy: ReadingPolicy = LENIENT
    left_out: list[LeftOut] = field(default_factory=list)

    def retains(self, store: object) -> bool:
        """Return whether a request with this ``store`` may leave anything behind."""
        return store is not False or self.policy.store_false == "response"

    def leave_out(self, param: str, kind: str) -> None:
        """Record that the field at ``param`` is not honoured. ``kind`` is a word for it, never a client's text."""
        self.left_out.append(LeftOut(param, kind))
