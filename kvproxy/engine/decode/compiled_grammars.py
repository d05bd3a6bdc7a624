"""`Grammars`: compiles constraints into grammars off the event loop, and keeps the compiled ones.

A grammar is compiled in another process first: see ``grammar_trials``.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kvproxy.core import Caller, Constraint, GrammarText
from kvproxy.core.answer_format import JsonFormat
from kvproxy.engine.decode.grammar_trials.attempt import Attempt
from kvproxy.engine.decode.grammar_trials.tenant_turns import TenantTurns
from kvproxy.engine.decode.grammar_trials.trial_client import TrialClient
from kvproxy.engine.decode.llguidance_grammar import (
    BrokenGrammar,
    LlguidanceGrammar,
    TokenizerTables,
    fault_line,
)
from kvproxy.errors import InvalidRequest, UnsupportedSchema

logger = logging.getLogger(__name__)

Check = Callable[[str], str | None]


class Writer(Protocol):
    """Writes a constraint as the text of a grammar: ``kvproxy.wire.answer_formats.answer_grammar.grammar_of``."""

    def __call__(self, constraint: Constraint, special: Collection[str], check: Check) -> GrammarText: ...


@dataclass
class _Running:
    task: asyncio.Task[LlguidanceGrammar]
    attempt: Attempt
    callers: int = 0


class Grammars:
    """Compiles the grammars of one model, and keeps the most recently used ones.

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
        """Make a compiler, which reads the tokenizer at the first compilation.

        ``vocab_size``: width of the model's logits, which may exceed the tokenizer's. ``kept``: number of grammars
        that stay compiled. Example: ``Grammars(folder, frozenset({2}), 49_152, grammar_of)``
        """
        self._folder = tokenizer_folder
        self._eos_ids = eos_ids
        self._vocab_size = vocab_size
        self._write = write
        self._limit = kept
        self._kept: OrderedDict[bytes, LlguidanceGrammar] = OrderedDict()
        self._running: dict[bytes, _Running] = {}
        self._turns = TenantTurns()
        self._trials = TrialClient(tokenizer_folder, vocab_size, eos_ids)
        self._tables: TokenizerTables | None = None
        self._building = threading.Lock()

    async def prepare(self) -> None:
        """Build the tokenizer's tables, so that the first request need not wait for them.

        A tokenizer without tables is no failure of the server: requests with a grammar get InvalidRequest.
        """
        try:
            await asyncio.to_thread(self.tables)
            self._trials.start()
        except InvalidRequest as e:
            logger.warning("structured output is off, and requests for it are refused: %s", e.message)

    async def compile(self, constraint: Constraint, caller: Caller) -> LlguidanceGrammar:
        """Compile a constraint, or return the grammar that is kept for it.

        Equal constraints of one scope that are compiled at the same time share the work, which ends when its last
        caller leaves. Another scope's grammars are never found: the time of a compilation must not reveal other
        tenants' requests. Raises UnsupportedSchema, InvalidRequest, KVProxyError.
        """
        try:
            # The repr is fast and covers the whole constraint, key order included.
            text = f"{caller.cache_scope}\0{constraint!r}"
            key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
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
        """Compile as :meth:`compile` does, in the calling thread and without the kept grammars."""
        tables = self.tables()
        attempt = attempt or Attempt(self._trials)
        try:
            return _compiled(tables, self._write(constraint, tables.special, lambda grammar: None), attempt)
        except BrokenGrammar:
            # Each schema is tried alone only now, to name the one to blame or to leave it out.
            written = self._write(
                constraint, tables.special, lambda grammar: attempt.check(grammar, part=True)
            )
        try:
            return _compiled(tables, written, attempt)
        except BrokenGrammar as e:
            raise _whole_fault(constraint, e.message) from e

    def close(self) -> None:
        """End all compilations under way; their callers get Unavailable."""
        self._trials.close()

    def tables(self) -> TokenizerTables:
        """Return the tokenizer's tables, blocking while they are built. Raises InvalidRequest if it can have none."""
        with self._building:
            if self._tables is None:
                self._tables = TokenizerTables(self._folder, self._eos_ids, self._vocab_size)
            return self._tables

    def _keep(self, key: bytes, done: asyncio.Task[LlguidanceGrammar]) -> None:
        running = self._running.get(key)
        if running is not None and running.task is done:
            del self._running[key]
        # Reading the exception also marks it as seen when every caller has left.
        if done.cancelled() or done.exception() is not None:
            return
        self._kept[key] = done.result()
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)


def _compiled(tables: TokenizerTables, written: GrammarText, attempt: Attempt) -> LlguidanceGrammar:
    """Compile ``written`` after a trial. Raises BrokenGrammar, also when the trial takes too much time or memory."""
    if fault := attempt.check(written.text):
        raise BrokenGrammar(fault_line(fault))
    return LlguidanceGrammar(tables, written)


def _whole_fault(constraint: Constraint, reason: str) -> UnsupportedSchema:
    """Return the client's error for a grammar that is refused as a whole.

    For a regex or a grammar it names the field: the constraint has no other part.
    """
    wanted = constraint.format
    if wanted is None or isinstance(wanted, JsonFormat):
        return UnsupportedSchema(
            f"The constraint cannot be enforced as a whole ({reason}). Make the schema simpler."
        )
    return UnsupportedSchema(
        f"Invalid '{wanted.param}': it cannot be enforced ({reason}).", param=wanted.param
    )
