"""Traces which modules an execution passes through. A *stay* begins whenever it goes from one module to another one.

Rules, so that the figures are those of a careful reader:

- Only frames of the traced package count; libraries between two of its frames are passed over.
- An ``await`` that rests is no move: the task's frames stay as they are until it goes on. A value that a generator
  yields is one, to its consumer, and so is the next request for a value.
- A return that the caller passes on in the same line (``return f(x)``) is no stay of that caller.
- A loop is read once: a call that was made before, by the same function in the same line, is no stay, nor is the
  return from it, unless something within it was not called before.
- A property is data: to read it is no stay.
- Each task, and each thread without one, is a lane of its own.
"""

from __future__ import annotations

import ast
import asyncio
import dis
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Literal

YIELD, SEND, CACHE = dis.opmap["YIELD_VALUE"], dis.opmap["SEND"], dis.opmap["CACHE"]
MADE = dis.opmap["RETURN_GENERATOR"]

Place = tuple[str, str]
"""A module and the qualified name of a function in it."""


@dataclass(frozen=True)
class Move:
    """One call of a function of the package, or one return to it."""

    kind: Literal["call", "return"]
    place: Place
    """The module in which execution is after the move."""
    stack: tuple[int, ...]
    """Numbers of the calls that are open after it, outermost first."""
    number: int
    """Of the call that begins or ends."""
    line: int
    """Of a call: where its caller is."""
    passed_on: bool = False
    """For a return: the function returned in its turn, in the same line."""


@dataclass(frozen=True)
class Stay:
    """A run of moves within one module, begun by ``kind``."""

    kind: Literal["call", "return"]
    module: str
    functions: tuple[str, ...]


@dataclass
class Lane:
    """The moves of one task or thread."""

    name: str
    moves: list[Move] = field(default_factory=list)
    places: dict[int, Place] = field(default_factory=dict)
    """By number of a call: its function."""
    open: list[tuple[FrameType, int]] = field(default_factory=list)
    _returned: tuple[int, int, int] = (-1, -1, -1)
    """The last return: index of its move, number of the call that it came back to, and its line then."""

    def push(self, frame: FrameType, place: Place) -> None:
        if any(frame is known for known, _ in self.open):
            return  # it rested in an await, and goes on
        number = len(self.places)
        line = self.open[-1][0].f_lineno if self.open else 0
        self.places[number] = place
        self.open.append((frame, number))
        self.moves.append(Move("call", place, self._stack(), number, line))

    def pop(self, frame: FrameType) -> None:
        at = next((i for i in reversed(range(len(self.open))) if self.open[i][0] is frame), None)
        if at is None:
            return
        index, number, line = self._returned
        if index == len(self.moves) - 1 and number == self.open[at][1] and line == frame.f_lineno:
            self.moves[index] = replace(self.moves[index], passed_on=True)
        ended = self.open[at][1]
        del self.open[at:]
        if self.open:
            outer, number = self.open[-1]
            self.moves.append(Move("return", self.places[number], self._stack(), ended, 0))
            self._returned = (len(self.moves) - 1, number, outer.f_lineno)

    def forget(self, frame: FrameType) -> None:
        """A coroutine or generator was made, not entered."""
        if self.open and self.open[-1][0] is frame:
            self.open.pop()
            self.moves.pop()

    def _stack(self) -> tuple[int, ...]:
        return tuple(number for _, number in self.open)


class StayTracer:
    """Traces ``package`` on every thread that starts within :meth:`running`, and on the one that enters it.

    Example: ``with StayTracer("kvproxy").running() as tracer: serve()``
    """

    def __init__(self, package: str) -> None:
        self._package = package
        self._modules: dict[CodeType, str | None] = {}
        self.lanes: dict[object, Lane] = {}

    @contextmanager
    def running(self) -> Iterator[StayTracer]:
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        try:
            yield self
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    @property
    def lane(self) -> Lane:
        """The lane of the caller."""
        try:
            task = asyncio.current_task()
        except RuntimeError:
            task = None
        thread = threading.current_thread()
        key: object = thread if task is None else task
        if key not in self.lanes:
            name = (
                f"thread {thread.name}"
                if task is None
                else f"task {getattr(task.get_coro(), '__qualname__', '?')}"
            )
            self.lanes[key] = Lane(name)
        return self.lanes[key]

    def _module(self, frame: FrameType) -> str | None:
        code = frame.f_code
        if code not in self._modules:
            name = frame.f_globals.get("__name__", "")
            own = name == self._package or name.startswith(f"{self._package}.")
            generated = code.co_filename.startswith("<")  # a dataclass's own methods
            self._modules[code] = None if not own or generated or _is_property(code) else name
        return self._modules[code]

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        if event not in ("call", "return"):
            return
        module = self._module(frame)
        if module is None or frame.f_code.co_name == "<module>":
            return
        if event == "call":
            self.lane.push(frame, (module, frame.f_code.co_qualname))
        elif not _rests(frame):
            lane = self.lane
            (lane.forget if _opcode(frame, frame.f_lasti) == MADE else lane.pop)(frame)


def _is_property(code: CodeType) -> bool:
    return code.co_firstlineno in _property_lines(code.co_filename)


@cache
def _property_lines(path: str) -> frozenset[int]:
    """The first lines of a file's properties: those of their decorators."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return frozenset(
        node.decorator_list[0].lineno
        for node in functions
        if any(isinstance(d, ast.Name) and d.id.endswith("property") for d in node.decorator_list)
    )


def _opcode(frame: FrameType, offset: int) -> int:
    return frame.f_code.co_code[offset]


def _rests(frame: FrameType) -> bool:
    """Whether a frame that is left is within an ``await`` or ``yield from``, and will go on there."""
    at = frame.f_lasti
    if _opcode(frame, at) != YIELD:
        return False
    at -= 2
    while _opcode(frame, at) == CACHE:
        at -= 2
    return _opcode(frame, at) == SEND


def stays(lane: Lane, moves: Sequence[Move]) -> list[Stay]:
    """The stays of ``moves``, a part of a lane's.

    Example: ``stays(lane, lane.moves)``
    """
    found: list[Stay] = []
    for move in _first_time(lane, moves):
        module, function = move.place
        if found and found[-1].module == module:
            last = found[-1]
            if function not in last.functions:
                found[-1] = replace(last, functions=(*last.functions, function))
        else:
            found.append(Stay(move.kind, module, (function,)))
    return found


def _first_time(lane: Lane, moves: Sequence[Move]) -> Iterator[Move]:
    """Without the calls that were made before and hold nothing new."""
    seen: set[tuple[Place | None, int, Place]] = set()
    again: dict[int, Move] = {}  # open calls that were made before, outermost first
    for move in moves:
        if move.kind == "call":
            caller = lane.places[move.stack[-2]] if len(move.stack) > 1 else None
            site = (caller, move.line, move.place)
            if site in seen:
                again[move.number] = move
            else:
                seen.add(site)
                yield from again.values()
                again.clear()
                yield move
        elif again.pop(move.number, None) is None and not move.passed_on:
            yield move


def deepest_chain(lane: Lane, moves: Sequence[Move]) -> list[Place]:
    """The open calls, outermost first, where they pass through most modules; one function for each module in a row."""

    def chain(move: Move) -> list[Place]:
        places = [lane.places[number] for number in move.stack]
        return [p for i, p in enumerate(places) if i == 0 or places[i - 1][0] != p[0]]

    return max(map(chain, moves), key=len, default=[])
