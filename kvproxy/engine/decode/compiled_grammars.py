"""Grammars that mask the sampling: compiled once off the event loop, then a state for each answer.

A grammar is compiled in another process first, see ``grammar_trials``; llguidance is imported in the two. Chosen over
xgrammar, which masks in 22 us instead of 35 but takes seconds to compile a schema and needs a torch of its own choice.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer

from kvproxy.core import Caller, Constraint, GrammarText, LeftOut
from kvproxy.core.answer_format import JsonFormat
from kvproxy.engine.decode.constraint import TokenConstraint
from kvproxy.engine.decode.grammar_trials.attempt import Attempt
from kvproxy.engine.decode.grammar_trials.tenant_turns import TenantTurns
from kvproxy.engine.decode.grammar_trials.trial_client import TrialClient
from kvproxy.engine.decode.grammar_trials.trial_server import compile_fault, parser_limits
from kvproxy.errors import InvalidRequest, KVProxyError, UnsupportedSchema

logger = logging.getLogger(__name__)

ANSWER_S = 2.0
TOKEN_S = 0.005
"""Seconds of the engine's thread that the masks of one answer may take: so many, and so many more for each token. A
mask takes 0.1 to 1 ms, and rarely 5; the library's limits alone allow 10 to 20 for each of an answer's tokens."""

Check = Callable[[str], str | None]


class Writer(Protocol):
    """What turns a constraint into a grammar's text: ``kvproxy.wire.answer_formats.answer_grammar.grammar_of``."""

    def __call__(self, constraint: Constraint, special: Collection[str], check: Check) -> GrammarText: ...


class BrokenGrammar(KVProxyError):
    """The library does not take a grammar as a whole. Never shown where a schema is to blame."""


@dataclass
class _Running:
    task: asyncio.Task[LlguidanceGrammar]
    attempt: Attempt
    callers: int = 0


class Grammars:
    """Compiled grammars of one model, the most recently used kept.

    The tables of the tokenizer (0.2 s for 49k tokens, 1 to 2.5 s for Qwen3's 152k) are built once, by the first
    compilation or :meth:`prepare`, in a worker thread.
    """

    def __init__(
        self,
        tokenizer_folder: Path,
        eos_ids: frozenset[int],
        vocab_size: int,
        write: Writer,
        *,
        kept: int = 128,
    ) -> None:
        """``vocab_size``: width of the model's logits, which may exceed the tokenizer's. ``kept``: how many
        grammars stay compiled."""
        self._folder = tokenizer_folder
        self._eos_ids = eos_ids
        self._vocab_size = vocab_size
        self._write = write
        self._limit = kept
        self._kept: OrderedDict[bytes, LlguidanceGrammar] = OrderedDict()
        self._running: dict[bytes, _Running] = {}
        self._turns = TenantTurns()
        self._trials = TrialClient(tokenizer_folder, vocab_size, eos_ids)
        self._tables: Tables | None = None
        self._building = threading.Lock()

    async def prepare(self) -> None:
        """Build the tokenizer's tables, so that the first request need not wait for them. A tokenizer that has
        none is no failure of the server: whoever asks for a grammar is told."""
        try:
            await asyncio.to_thread(self.tables)
            self._trials.start()
        except InvalidRequest as e:
            logger.warning("structured output is off: %s", e.message)

    async def compile(self, constraint: Constraint, caller: Caller) -> LlguidanceGrammar:
        """Equal constraints of one scope that are compiled at the same time share the work, which ends when its last
        caller leaves. Another scope's are never found: how long it takes must not tell what others asked for.

        Raises UnsupportedSchema, InvalidRequest, KVProxyError.
        """
        try:
            # The constraint as it is, key order included: its repr is fast and tells all of it.
            told = f"{caller.cache_scope}\0{constraint!r}"
            key = hashlib.sha256(told.encode("utf-8", "surrogatepass")).digest()
        except RecursionError as e:
            raise UnsupportedSchema("A schema is nested too deeply to be enforced.") from e
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        running = self._running.get(key)
        if running is None:
            attempt = Attempt(self._trials)
            task = asyncio.create_task(self._in_turn(constraint, caller.scope, attempt))
            running = self._running[key] = _Running(task, attempt)
            task.add_done_callback(lambda done: self._keep(key, done))
        running.callers += 1
        try:
            return await asyncio.shield(running.task)
        finally:
            running.callers -= 1
            if running.callers == 0 and not running.task.done():
                if self._running.get(key) is running:
                    del self._running[key]
                running.attempt.end()

    async def _in_turn(self, constraint: Constraint, tenant: str, attempt: Attempt) -> LlguidanceGrammar:
        async with self._turns.turn(tenant):
            return await asyncio.to_thread(self.compile_now, constraint, attempt)

    def compile_now(self, constraint: Constraint, attempt: Attempt | None = None) -> LlguidanceGrammar:
        """As :meth:`compile`, in the calling thread and without the cache."""
        tables = self.tables()
        attempt = attempt or Attempt(self._trials)
        try:
            return _compiled(tables, self._write(constraint, tables.special, lambda grammar: None), attempt)
        except BrokenGrammar:
            # Only now each schema is tried alone: to name the one to blame, or to do without it.
            written = self._write(
                constraint, tables.special, lambda grammar: attempt.check(grammar, part=True)
            )
        try:
            return _compiled(tables, written, attempt)
        except BrokenGrammar as e:
            raise _whole_fault(constraint, e.message) from e

    def close(self) -> None:
        """End whatever is being compiled; its callers get Unavailable."""
        self._trials.close()

    def tables(self) -> Tables:
        """Blocks while they are being built. Raises InvalidRequest for a tokenizer that can have none."""
        with self._building:
            if self._tables is None:
                self._tables = Tables(self._folder, self._eos_ids, self._vocab_size)
            return self._tables

    def _keep(self, key: bytes, done: asyncio.Task[LlguidanceGrammar]) -> None:
        running = self._running.get(key)
        if running is not None and running.task is done:
            del self._running[key]
        # Reading the exception also marks it as seen where every caller has left.
        if done.cancelled() or done.exception() is not None:
            return
        self._kept[key] = done.result()
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)


class Tables:
    """A tokenizer as the library wants it. Immutable once made; any thread."""

    def __init__(self, folder: Path, eos_ids: frozenset[int], vocab_size: int) -> None:
        source = (folder / "tokenizer.json").read_text(encoding="utf-8")
        self.eos_ids = eos_ids
        self.vocab_size = vocab_size
        try:
            if not eos_ids:
                raise ValueError("it names no end token")
            self.tokenizer = LLTokenizer(source, n_vocab=vocab_size, eos_token=sorted(eos_ids))
        except ValueError as e:
            raise InvalidRequest(
                f"This model cannot be held to a schema or made to call a tool: its tokenizer does not fit ({e})."
            ) from e
        added = json.loads(source).get("added_tokens", ())
        self.special = frozenset(
            token["content"] for token in added if self.tokenizer.is_special_token(token["id"])
        )
        """Added tokens that a grammar names as tokens; it would not find them by their text."""


class LlguidanceGrammar:
    """Immutable; each answer starts a state of its own."""

    def __init__(self, tables: Tables, written: GrammarText) -> None:
        """Raises BrokenGrammar."""
        self.text = written.text
        self._left_out = written.left_out
        self._tables = tables
        self._matcher = LLMatcher(tables.tokenizer, written.text, log_level=0, limits=parser_limits())
        if fault := compile_fault(self._matcher):
            raise BrokenGrammar(_line(fault))

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        return self._left_out

    def start(self) -> TokenConstraint:
        return GrammarState(self._matcher.deep_copy(), self._tables)


class GrammarState:
    """One answer's place in its grammar; see :class:`~kvproxy.engine.decode.constraint.TokenConstraint`."""

    def __init__(self, matcher: LLMatcher, tables: Tables) -> None:
        self._matcher = matcher
        self._eos_ids = tables.eos_ids
        self._vocab_size = tables.vocab_size
        self._ended = False
        self._left_s = ANSWER_S

    def mask(self, logits: torch.Tensor) -> None:
        """logits: float32 [vocab]."""
        began = time.thread_time()
        self._mask(logits)
        # Only ever ends an answer, so that no token depends on a clock.
        self._left_s += TOKEN_S - (time.thread_time() - began)
        if self._left_s < 0:
            raise KVProxyError("this answer's grammar takes too long to be followed: make the schema simpler")

    def _mask(self, logits: torch.Tensor) -> None:
        if self.done:
            blocked = np.ones(self._vocab_size, dtype=np.uint8)
            blocked[list(self._eos_ids)] = 0
        else:
            allowed = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
            self._raise_if_broken()
            blocked = np.unpackbits(np.invert(allowed), count=self._vocab_size, bitorder="little")
        if logits.device.type == "cpu":
            # Not masked_fill_: it wakes the OpenMP team for 50 us of work, which takes 20 ms on a busy machine.
            np.copyto(logits.numpy(), -np.inf, where=blocked.view(np.bool_))
        else:
            logits.masked_fill_(torch.from_numpy(blocked.view(np.bool_)).to(logits.device), float("-inf"))

    def accept(self, token_id: int) -> None:
        """Raises KVProxyError when the token could not follow, which a masked sampler never chooses."""
        if self._ended or (token_id in self._eos_ids and self._matcher.is_accepting()):
            self._ended = True
            return
        if not self._matcher.consume_token(token_id):
            self._raise_if_broken()
            raise KVProxyError(f"token {token_id} cannot follow in this answer's grammar")

    def valid(self, token_ids: Sequence[int]) -> int:
        if self._ended:
            return 0
        # Of a copy (0.6 us): a draft that breaks a limit of the library must not break the answer.
        trial = self._matcher.deep_copy()
        count = int(trial.validate_tokens(list(token_ids)))
        return 0 if trial.is_error() else count

    @property
    def done(self) -> bool:
        if self._ended:
            return True
        stopped = self._matcher.is_stopped()
        if stopped:
            self._raise_if_broken()
        return stopped

    def _raise_if_broken(self) -> None:
        if self._matcher.is_error():
            raise KVProxyError(f"this answer's grammar cannot go on: {_line(self._matcher.get_error())}")


def _compiled(tables: Tables, written: GrammarText, attempt: Attempt) -> LlguidanceGrammar:
    """Raises BrokenGrammar, also for what only the trial shows: too much work."""
    if fault := attempt.check(written.text):
        raise BrokenGrammar(_line(fault))
    return LlguidanceGrammar(tables, written)


def _whole_fault(constraint: Constraint, reason: str) -> UnsupportedSchema:
    """Of a regex or a grammar, its field is to blame, and it stands beside nothing else that could be."""
    wanted = constraint.format
    if wanted is None or isinstance(wanted, JsonFormat):
        return UnsupportedSchema(f"What is asked for cannot be enforced as a whole: {reason}")
    return UnsupportedSchema(
        f"Invalid '{wanted.param}': it cannot be enforced ({reason}).", param=wanted.param
    )


def _line(message: str) -> str:
    """The first line of a message, and what a parser behind it says is wrong."""
    lines = message.strip().splitlines() or ["the library does not say why"]
    why = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), None)
    return lines[0] if why is None else f"{lines[0].rstrip(':')}: {why}"
