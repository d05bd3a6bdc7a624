"""Compiled grammars that mask sampling: compiled once off the event loop, with a state for each answer.

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
"""Seconds of the engine thread that the masks of one answer may take: ANSWER_S, and TOKEN_S more for each token. A mask
takes 0.1 to 1 ms, and rarely 5; the library's limits alone allow 10 to 20 for each of an answer's tokens."""

Check = Callable[[str], str | None]


class Writer(Protocol):
    """Writes a constraint as the text of a grammar: ``kvproxy.wire.answer_formats.answer_grammar.grammar_of``."""

    def __call__(self, constraint: Constraint, special: Collection[str], check: Check) -> GrammarText: ...


class BrokenGrammar(KVProxyError):
    """The library refuses a grammar as a whole. Clients see it only when no single schema is to blame."""


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
        self._tables: Tables | None = None
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

    def tables(self) -> Tables:
        """Return the tokenizer's tables, blocking while they are built. Raises InvalidRequest if it can have none."""
        with self._building:
            if self._tables is None:
                self._tables = Tables(self._folder, self._eos_ids, self._vocab_size)
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


class Tables:
    """The library's form of a tokenizer. Immutable; any thread."""

    def __init__(self, folder: Path, eos_ids: frozenset[int], vocab_size: int) -> None:
        source = (folder / "tokenizer.json").read_text(encoding="utf-8")
        self.eos_ids = eos_ids
        self.vocab_size = vocab_size
        try:
            if not eos_ids:
                raise ValueError("it has no end token")
            self.tokenizer = LLTokenizer(source, n_vocab=vocab_size, eos_token=sorted(eos_ids))
        except ValueError as e:
            raise InvalidRequest(
                f"This model cannot be held to a schema or made to call a tool: its tokenizer does not fit ({e})."
            ) from e
        added = json.loads(source).get("added_tokens", ())
        self.special = frozenset(
            token["content"] for token in added if self.tokenizer.is_special_token(token["id"])
        )
        """Added tokens that a grammar must name as tokens; it would not find them by their text."""


class LlguidanceGrammar:
    """A compiled grammar. Immutable; each answer starts a state of its own."""

    def __init__(self, tables: Tables, written: GrammarText) -> None:
        """Compile ``written``. Raises BrokenGrammar."""
        self.text = written.text
        self._left_out = written.left_out
        self._tables = tables
        self._matcher = LLMatcher(tables.tokenizer, written.text, log_level=0, limits=parser_limits())
        if fault := compile_fault(self._matcher):
            raise BrokenGrammar(_line(fault))

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The parts of the client's constraint that the grammar does not enforce."""
        return self._left_out

    def start(self) -> TokenConstraint:
        """Return the state of one answer, at its beginning."""
        return GrammarState(self._matcher.deep_copy(), self._tables)


class GrammarState:
    """The state of one answer in its grammar; see :class:`~kvproxy.engine.decode.constraint.TokenConstraint`."""

    def __init__(self, matcher: LLMatcher, tables: Tables) -> None:
        self._matcher = matcher
        self._eos_ids = tables.eos_ids
        self._vocab_size = tables.vocab_size
        self._ended = False
        self._left_s = ANSWER_S

    def mask(self, logits: torch.Tensor) -> None:
        """Set the logits of tokens that cannot follow to -inf, in place. logits: float32 [vocab]."""
        began = time.thread_time()
        self._mask(logits)
        # The limit only ends an answer, so that no token depends on a clock.
        self._left_s += TOKEN_S - (time.thread_time() - began)
        if self._left_s < 0:
            raise KVProxyError(
                "this answer's grammar takes too much time to enforce; make the schema simpler"
            )

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
        """Advance by a token. Raises KVProxyError for one that cannot follow, which a masked sampler never chooses."""
        if self._ended or (token_id in self._eos_ids and self._matcher.is_accepting()):
            self._ended = True
            return
        if not self._matcher.consume_token(token_id):
            self._raise_if_broken()
            raise KVProxyError(f"token {token_id} cannot follow in this answer's grammar")

    def valid(self, token_ids: Sequence[int]) -> int:
        """Count the leading tokens of a draft that could follow. Changes nothing."""
        if self._ended:
            return 0
        # On a copy (0.6 us): a draft that breaks a limit of the library must not break the answer.
        trial = self._matcher.deep_copy()
        count = int(trial.validate_tokens(list(token_ids)))
        return 0 if trial.is_error() else count

    @property
    def done(self) -> bool:
        """Whether only an end token can follow."""
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
    """Compile ``written`` after a trial. Raises BrokenGrammar, also when the trial takes too much time or memory."""
    if fault := attempt.check(written.text):
        raise BrokenGrammar(_line(fault))
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


def _line(message: str) -> str:
    """Return the first line of a message, with the parser's error line behind it."""
    lines = message.strip().splitlines() or ["the grammar library gives no reason"]
    detail = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), None)
    return lines[0] if detail is None else f"{lines[0].rstrip(':')}: {detail}"
