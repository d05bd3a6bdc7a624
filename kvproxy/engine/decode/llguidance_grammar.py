"""A grammar compiled with llguidance, and its state in one answer, which masks sampling.

llguidance is imported here and in ``grammar_trials`` only. Chosen over xgrammar, which masks in 22 us instead of 35 but
takes seconds to compile a schema and needs a torch of its own choice.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from llguidance import LLMatcher

from kvproxy.core import GrammarText, LeftOut
from kvproxy.engine.decode.constraint import TokenConstraint
from kvproxy.engine.decode.grammar_trials.trial_server import compile_fault, parser_limits
from kvproxy.engine.decode.special_tokens import load_tables, special_in
from kvproxy.errors import KVProxyError

ANSWER_S = 2.0
TOKEN_S = 0.005
"""Seconds of the engine thread that the masks of one answer may take: ANSWER_S, and TOKEN_S more for each token. A mask
takes 0.1 to 1 ms, and rarely 5; the library's limits alone allow 10 to 20 for each of an answer's tokens."""


class BrokenGrammar(KVProxyError):
    """The library refuses a grammar as a whole. Clients see it only when no single schema is to blame."""


class TokenizerTables:
    """The library's form of a tokenizer. Immutable; any thread."""

    def __init__(self, folder: Path, eos_ids: frozenset[int], vocab_size: int) -> None:
        source = (folder / "tokenizer.json").read_text(encoding="utf-8")
        self.eos_ids = eos_ids
        self.vocab_size = vocab_size
        self.tokenizer = load_tables(source, eos_ids, vocab_size)
        self.special = special_in(source, self.tokenizer)
        """Added tokens that a grammar must name as tokens; it would not find them by their text."""


class LlguidanceGrammar:
    """A compiled grammar. Immutable; each answer starts a state of its own."""

    def __init__(self, tables: TokenizerTables, written: GrammarText) -> None:
        """Compile ``written``. Raises BrokenGrammar."""
        self.text = written.text
        self._left_out = written.left_out
        self._tables = tables
        self._matcher = LLMatcher(tables.tokenizer, written.text, log_level=0, limits=parser_limits())
        if fault := compile_fault(self._matcher):
            raise BrokenGrammar(fault_line(fault))

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The parts of the client's constraint that the grammar does not enforce."""
        return self._left_out

    def start(self) -> TokenConstraint:
        """Return the state of one answer, at its beginning."""
        return GrammarState(self._matcher.deep_copy(), self._tables)


class GrammarState:
    """The state of one answer in its grammar; see :class:`~kvproxy.engine.decode.constraint.TokenConstraint`."""

    def __init__(self, matcher: LLMatcher, tables: TokenizerTables) -> None:
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
            raise KVProxyError(f"this answer's grammar cannot go on: {fault_line(self._matcher.get_error())}")


def fault_line(message: str) -> str:
    """Return the first line of a message, with the parser's error line behind it."""
    lines = message.strip().splitlines() or ["the grammar library gives no reason"]
    detail = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), None)
    return lines[0] if detail is None else f"{lines[0].rstrip(':')}: {detail}"
