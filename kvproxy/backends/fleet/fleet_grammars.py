"""`FleetGrammars`: constraints written as grammars for replicas, and tried here first, so that the client's error names
its field."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from pathlib import Path

from kvproxy.core import Caller, Constraint, GrammarText
from kvproxy.core.answer_format import JsonFormat
from kvproxy.engine.decode.grammar_trials.attempt import Attempt
from kvproxy.engine.decode.grammar_trials.tenant_turns import TenantTurns
from kvproxy.engine.decode.grammar_trials.trial_client import TrialClient
from kvproxy.engine.decode.special_tokens import grammar_specials
from kvproxy.errors import UnsupportedSchema
from kvproxy.wire.answer_formats.answer_grammar import grammar_of

_KEPT = 128


class FleetGrammars:
    """Writes the grammars of one tokenizer. The replica compiles them again, for its own engine.

    Example: ``text = (await grammars.written(constraint, caller)).text``
    """

    def __init__(self, folder: Path, vocab_size: int, eos_ids: frozenset[int]) -> None:
        """``folder``: with ``tokenizer.json``, which the first constraint reads.

        Example: ``FleetGrammars(folder, tokenizer.size, tokenizer.eos_ids)``
        """
        self._folder, self._vocab_size, self._eos_ids = folder, vocab_size, eos_ids
        self._trials = TrialClient(folder, vocab_size, eos_ids)
        self._turns = TenantTurns()
        self._special: frozenset[str] | None = None
        self._kept: OrderedDict[tuple[str, str], GrammarText] = OrderedDict()

    async def written(self, constraint: Constraint, caller: Caller) -> GrammarText:
        """Return the grammar of a constraint, from the caller's own kept ones where it is there.

        Raises UnsupportedSchema, InvalidRequest, Unavailable.
        """
        try:
            key = (caller.cache_scope, repr(constraint))
        except RecursionError as e:
            raise UnsupportedSchema("A schema is nested too deeply to be enforced.") from e
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        attempt = Attempt(self._trials)
        try:
            async with self._turns.turn(caller.scope):
                text = await asyncio.to_thread(self._write, constraint, attempt)
        finally:
            attempt.end()
        self._kept[key] = text
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return text

    def close(self) -> None:
        """End the trials under way; blocks for a moment."""
        self._trials.close()

    def _write(self, constraint: Constraint, attempt: Attempt) -> GrammarText:
        if self._special is None:
            self._special = grammar_specials(self._folder, self._eos_ids, self._vocab_size)
        written = grammar_of(constraint, self._special, lambda grammar: None)
        if attempt.check(written.text) is None:
            return written
        # Each schema is tried alone only now, to name the one to blame or to leave it out.
        written = grammar_of(constraint, self._special, lambda grammar: attempt.check(grammar, part=True))
        if (fault := attempt.check(written.text)) is not None:
            raise _whole_fault(constraint, fault.splitlines()[0][:300] if fault else "no reason given")
        return written


def _whole_fault(constraint: Constraint, reason: str) -> UnsupportedSchema:
    wanted = constraint.format
    if wanted is None or isinstance(wanted, JsonFormat):
        return UnsupportedSchema(
            f"The constraint cannot be enforced as a whole ({reason}). Make the schema simpler.",
            param=None if wanted is None else wanted.param,
        )
    return UnsupportedSchema(
        f"Invalid '{wanted.param}': it cannot be enforced ({reason}).", param=wanted.param
    )
