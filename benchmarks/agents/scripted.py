"""The real engine with a script for its answers: prompts are prefilled, kept and reused as ever.

The answers' text is scripted, since a small model calls no tools. Each prompt is compared with all before it, token
by token.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from kvproxy.backends.base import Generation, LocalBackend, PlacesClaim
from kvproxy.charging.request_bill import Bill
from kvproxy.core import Caller, ChatRequest, TextRequest
from kvproxy.events import Event, Finished, Started, TextDelta
from kvproxy.pipeline import Pipeline, Request
from kvproxy.reply import Reply
from kvproxy.telemetry.request_timer import Timings

SAID = "The note says that the launch is on Friday."

CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    (r"(.*[^a-z])?read_note", {}),
    (r"Read", {"file_path": "{cwd}/note.txt", "filepath": "{cwd}/note.txt"}),
    (r"read", {"filePath": "{cwd}/note.txt"}),
    (r"read_file", {"absolute_path": "{cwd}/note.txt", "file_path": "{cwd}/note.txt"}),
    (r"exec_command", {"cmd": "cat note.txt"}),
    (r"shell_command", {"command": "cat note.txt"}),
    (r"shell", {"command": ["cat", "note.txt"]}),
    (r"llm_time", {}),
    (r"weather", {"city": "Bern"}),
)
"""Tools that read and change nothing, by a pattern of their whole name; the first that a request has is called once."""


@dataclass(slots=True)
class Asked:
    """One request that reached the engine."""

    prompt_tokens: int
    identical: int
    """Leading tokens that an earlier request had too."""
    cached: int = 0
    called: str | None = None


@dataclass(slots=True)
class Script:
    """The scripted answers, with a record of the requests since ``begin``."""

    cwd: str = "."
    asked: list[Asked] = field(default_factory=list)
    seen: list[tuple[int, ...]] = field(default_factory=list)
    _answers: dict[str, str] = field(default_factory=dict)
    _calls: dict[str, str] = field(default_factory=dict)

    def begin(self, cwd: str) -> None:
        """Begin a session in this folder."""
        self.cwd = cwd
        self.asked = []

    def plan(self, request_id: str, request: Request) -> None:
        name = _wanted(request)
        if name is None:
            self._answers[request_id] = SAID
            return
        known = next(arguments for pattern, arguments in CALLS if re.fullmatch(pattern, name))
        tool = next(t for t in request.tools if t.name == name) if isinstance(request, ChatRequest) else None
        properties = (tool.parameters or {}).get("properties", {}) if tool is not None else {}
        arguments = {key: value for key, value in known.items() if key in properties}
        text = json.dumps(arguments).replace("{cwd}", self.cwd)
        self._calls[request_id] = name
        self._answers[request_id] = (
            f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": {text}}}\n</tool_call>'
        )

    def answer(self, generation: Generation) -> tuple[str, Asked]:
        tokens = generation.prompt.token_ids
        asked = Asked(len(tokens), max((_common(tokens, other) for other in self.seen), default=0))
        asked.called = self._calls.pop(generation.request_id, None)
        self.seen.append(tokens)
        self.asked.append(asked)
        return self._answers.pop(generation.request_id, SAID), asked


class ScriptedPipeline(Pipeline):
    """Passes each request's tools to the script."""

    def __init__(self, script: Script, **parts: Any) -> None:
        super().__init__(**parts)
        self._script = script

    async def serve(
        self,
        request: Request,
        caller: Caller,
        request_id: str,
        clock: Timings,
        claim: PlacesClaim | None = None,
        bill: Bill | None = None,
    ) -> Reply:
        self._script.plan(request_id, request)
        return await super().serve(request, caller, request_id, clock, claim, bill)


class ScriptedBackend:
    """The engine's backend; one token of every answer is computed, and the script's text is given instead."""

    def __init__(self, inner: LocalBackend, script: Script, delay_s: float) -> None:
        """``delay_s``: seconds added to every first token, as on a slow machine."""
        self._inner = inner
        self._script = script
        self._delay_s = delay_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def generate(self, generation: Generation) -> AsyncGenerator[Event, None]:
        text, asked = self._script.answer(generation)
        one = replace(generation, sampling=replace(generation.sampling, max_tokens=1), constraint=None)
        async with aclosing(self._inner.generate(one)) as events:
            async for event in events:
                if isinstance(event, Started):
                    asked.cached = event.cached_tokens
                    await asyncio.sleep(self._delay_s)
                    yield event
                    yield TextDelta(text, tokens=len(text) // 4)
                elif isinstance(event, Finished):
                    yield Finished("stop", replace(event.usage, completion_tokens=len(text) // 4))


def _wanted(request: Request) -> str | None:
    """Return the tool to call: the first known one, where the last message is the user's and not a tool's result."""
    if isinstance(request, TextRequest) or not request.tools or request.tool_choice.mode == "none":
        return None
    if request.messages[-1].role == "tool" or any(m.role == "tool" for m in request.messages[-2:]):
        return None
    names = [tool.name for tool in request.tools]
    return next((n for pattern, _ in CALLS for n in names if re.fullmatch(pattern, n)), None)


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
