"""`PromptSizes`: tokens of a trace's prompts as replicas count them, for the bound that nothing can pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kvproxy.bench.fleets.reading_trace import ReadingStep, ReadingTrace
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.routing.best_possible import PartRead, best_possible_hits


@dataclass(frozen=True, slots=True)
class PromptSizes:
    """Tokens of prompts and of the parts in front that readers of one document share."""

    documents: tuple[int, ...]
    """Tokens of each document's shared part, the template's head included."""
    prompts: tuple[int, ...]
    """Tokens of each step's prompt, in the order given."""


def measure_prompts(trace: ReadingTrace, steps: Sequence[ReadingStep], model: Path) -> PromptSizes:
    """Render and tokenise every prompt of ``steps`` with the tokenizer and template in ``model``.

    Example: ``measure_prompts(trace, trace.steps, folder).documents``
    """
    tokenizer, template = Tokenizer.load(model), ChatTemplate.load(model)

    def ids(step: ReadingStep) -> list[int]:
        found: list[int] = []
        for piece in tokenizer.pieces(template.render(trace.messages(step), {})):
            found += [piece] if isinstance(piece, int) else tokenizer.encode_text(piece)
        return found

    shared = []
    for number in range(len(trace.documents)):
        one, other = (ids(ReadingStep("", number, question)) for question in ("Yes?", "No."))
        shared.append(next(n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]))
    return PromptSizes(tuple(shared), tuple(len(ids(step)) for step in steps))


def best_possible_rate(
    steps: Sequence[ReadingStep], sizes: PromptSizes, *, counted: int, block_tokens: int, blocks: int
) -> float:
    """Return the share of prompt tokens of the last ``counted`` steps that one cache of all replicas' ``blocks``
    together, which knows the future, would have had.

    Example: ``best_possible_rate(steps, sizes, counted=200, block_tokens=32, blocks=640)``
    """
    reads = []
    for number, step in enumerate(steps):
        shared = sizes.documents[step.document] // block_tokens
        rest = -(-sizes.prompts[number] // block_tokens) - shared
        reads.append([PartRead(step.document, shared, shared), PartRead(-1 - number, 0, rest)])
    hits = best_possible_hits(reads, blocks)[-counted:]
    return sum(hits) * block_tokens / sum(sizes.prompts[-counted:])
